#!/usr/bin/env bash
# The national run: every local government of a list, with people, planned, approved and applied against the sandbox in a
# temporary folder. Then the same again in the same folder: it must plan nothing.
# usage: national.sh MUSUBI ORGS PEOPLE_PER_ORG [FLAG...]
set -euo pipefail
if (($# < 3)); then
  echo 'usage: national.sh MUSUBI ORGS PEOPLE_PER_ORG [FLAG...]' >&2
  exit 2
fi
musubi=$1 orgs=$2 people=$3
shift 3
if [[ ! -r $orgs ]]; then
  cat >&2 <<TEXT
make national: $orgs can't be read.
It needs the national list of local governments as CSV (the file localgov.csv of code4fukui/localgovjp).
Say where it is: make national ORGS=/path/to/localgov.csv
TEXT
  exit 2
fi

data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

# run prints the closing line of JSON on standard output and leaves progress on standard error.
run() {
  "$musubi" demo --headless --json --data "$data" --listen 127.0.0.1:0 --sandbox-listen 127.0.0.1:0 \
    --orgs "$orgs" --people-per-org "$people" "$@" | tail -n 1
}
check() { # check RUN JSON PATTERN MEANING
  if [[ ! $2 =~ $3 ]]; then
    printf 'make national: %s run: %s\n  %s\n' "$1" "$4" "$2" >&2
    exit 1
  fi
}

echo "first run: everything is planned, approved and applied"
SECONDS=0
first=$(run "$@")
echo "$first"
echo "first run: $SECONDS s"
check first "$first" '"ok": ?true' 'the state of the SaaS is not what was planned'

echo "second run: nothing is left to plan"
SECONDS=0
second=$(run "$@")
echo "$second"
echo "second run: $SECONDS s"
check second "$second" '"ok": ?true' 'the state of the SaaS is not what was planned'
check second "$second" '"planned": ?0[,}]' 'it planned something though nothing had changed'
