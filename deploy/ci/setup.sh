#!/usr/bin/env bash
# Installs what the tests start by themselves: PostgreSQL (binaries only, no running cluster), Chromium, a Japanese font, openssl;
# test vectors of certificates, lists and OCSP that others made (python3-cryptography-vectors); curl with a key in SoftHSM behind PKCS#11, which
# plays a card; certutil and pk12util (libnss3-tools), which put a test card where Chromium looks for certificates; xmlsec1, another reader
# of signed and encrypted XML; and Apache's binaries with mod_auth_mellon, a SAML service provider, without a running server.
# For Debian and its relatives. Expects Go, gcc, make and node 20 to be there already, and says which is missing.
# Does nothing where everything is there, so it is safe to run again.
set -euo pipefail

missing=()
for program in go gcc make node npm; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
  echo "setup: not installed: ${missing[*]}; install them first (node 20 or newer)" >&2
  exit 1
fi
major=$(node --version | sed -E 's/^v([0-9]+).*/\1/')
if ((major < 20)); then
  echo "setup: node $(node --version) is too old; 20 or newer is needed" >&2
  exit 1
fi

has_postgres() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_chromium() { command -v chromium >/dev/null; }
has_font()     { command -v fc-list >/dev/null && [[ -n $(fc-list :lang=ja family 2>/dev/null) ]]; }
has_openssl()  { command -v openssl >/dev/null; }
has_vectors()  { [[ -d /usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data/crls ]]; }
has_token()    {
  command -v curl >/dev/null && command -v softhsm2-util >/dev/null && [[ -e /usr/lib/softhsm/libsofthsm2.so ]] &&
    compgen -G '/usr/lib/*/engines-3/pkcs11.so' >/dev/null
}
has_nss()      { command -v certutil >/dev/null && command -v pk12util >/dev/null; }
has_xmlsec()   { command -v xmlsec1 >/dev/null; }
has_mellon()   { [[ -x /usr/sbin/apache2 && -e /usr/lib/apache2/modules/mod_auth_mellon.so ]]; }
complete()     { has_postgres && has_chromium && has_font && has_openssl && has_vectors && has_token && has_nss && has_xmlsec && has_mellon; }

if complete; then
  echo 'setup: PostgreSQL, Chromium, a Japanese font, openssl, the test vectors, curl, SoftHSM, the tools of NSS, xmlsec1 and mod_auth_mellon are installed'
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo 'setup: this is no Debian; install PostgreSQL, Chromium, a Japanese font, openssl, python3-cryptography-vectors, curl, softhsm2, libengine-pkcs11-openssl, libnss3-tools, xmlsec1, apache2-bin and libapache2-mod-auth-mellon by hand' >&2
  exit 1
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo 'setup: run this as root, or install sudo' >&2; exit 1; }
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { # quiet unless it fails
  local try
  for try in 1 2 3; do
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1 && return 0
    echo "setup: apt-get $1 failed (try $try of 3)" >&2
    tail -n 20 "$log" >&2
    sleep $((try * 2))
  done
  return 1
}

apt update
if ! has_postgres; then
  # The tests make clusters of their own in temporary folders; the package must not start one.
  apt install -y --no-install-recommends postgresql-common
  "${as_root[@]}" sed -ri 's/^#?create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  apt install -y --no-install-recommends postgresql
fi
if ! has_chromium || ! has_font; then
  apt install -y --no-install-recommends chromium fonts-noto-cjk fontconfig
fi
if ! has_openssl || ! has_vectors; then
  apt install -y --no-install-recommends openssl python3-cryptography-vectors
fi
if ! has_token; then
  apt install -y --no-install-recommends curl softhsm2 libengine-pkcs11-openssl
fi
if ! has_nss; then
  apt install -y --no-install-recommends libnss3-tools
fi
if ! has_xmlsec; then
  apt install -y --no-install-recommends xmlsec1
fi
if ! has_mellon; then
  apt install -y --no-install-recommends apache2-bin libapache2-mod-auth-mellon
fi
complete || { echo 'setup: something is still missing after the installation' >&2; exit 1; }
echo 'setup: installed'
