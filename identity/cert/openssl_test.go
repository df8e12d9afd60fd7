package cert_test

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/ocsp"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// opensslConfig is a small CA of openssl's own: root, intermediate, holders, responder, lists of a partition.
const opensslConfig = `
[ca]
default_ca = one
[one]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 1
[req]
distinguished_name = dn
prompt = no
string_mask = utf8only
utf8 = yes
[dn]
C = JP
O = TEST
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[inter]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
certificatePolicies = 1.3.6.1.4.1.99999.1
nameConstraints = critical,permitted;dirName:holders
[holders]
C = JP
O = TEST
[holder]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
authorityKeyIdentifier = keyid:always,issuer:always
certificatePolicies = 1.3.6.1.4.1.99999.1
issuerAltName = dirName:holders
crlDistributionPoints = point
[point]
fullname = dirName:partition
[partition]
C = JP
O = TEST
OU = Mihon-shi CRLDP
[responder]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
authorityKeyIdentifier = keyid:always
[complete]
authorityKeyIdentifier = keyid:always
[partitioned]
authorityKeyIdentifier = keyid:always
issuingDistributionPoint = critical,@scope
[scope]
fullname = dirName:partition
`

// opensslCA is a folder in which openssl plays a CA.
type opensslCA struct {
	t   *testing.T
	dir string
}

func (o opensslCA) run(args ...string) string {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "openssl", args...)
	cmd.Dir = o.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (o opensslCA) write(name, text string) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o opensslCA) der(name string) []byte {
	o.t.Helper()
	block, _ := pem.Decode(must(os.ReadFile(filepath.Join(o.dir, name))))
	if block == nil {
		o.t.Fatalf("%s is no PEM", name)
	}
	return block.Bytes
}

// certify makes a key and a certificate for it; by is the issuer's name, empty for a self-signed one.
func (o opensslCA) certify(name, by, extensions string, serial int, algorithm ...string) {
	o.t.Helper()
	o.run(append([]string{"genpkey", "-out", name + ".key"}, algorithm...)...)
	subject := "/C=JP/O=TEST/CN=試験 " + name
	if by == "" {
		o.run("req", "-config", "ca.cnf", "-utf8", "-new", "-x509", "-key", name+".key", "-subj", subject, "-extensions", extensions, "-days", "30", "-set_serial", fmt.Sprint(serial), "-out", name+".pem")
		return
	}
	o.run("req", "-config", "ca.cnf", "-utf8", "-new", "-key", name+".key", "-subj", subject, "-out", name+".csr")
	o.run("x509", "-req", "-in", name+".csr", "-CA", by+".pem", "-CAkey", by+".key", "-extfile", "ca.cnf", "-extensions", extensions, "-days", "20", "-set_serial", fmt.Sprint(serial), "-out", name+".pem")
}

func (o opensslCA) list(by, extensions, index string) []byte {
	o.t.Helper()
	o.write("index.txt", index)
	o.run("ca", "-config", "ca.cnf", "-gencrl", "-cert", by+".pem", "-keyfile", by+".key", "-crlexts", extensions, "-out", "list.pem")
	return o.der("list.pem")
}

// TestOpensslMadeIsUnderstood: chains, lists and OCSP answers that openssl made, by each kind of key.
func TestOpensslMadeIsUnderstood(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed (deploy/ci/setup.sh)")
		}
		t.Skip("openssl is not installed")
	}
	for kind, algorithm := range map[string][]string{
		"RSA":   {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"P-256": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		"P-384": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
	} {
		t.Run(kind, func(t *testing.T) {
			o := opensslCA{t, t.TempDir()}
			o.write("ca.cnf", opensslConfig)
			o.write("crlnumber", "1000\n")
			o.certify("root", "", "root", 1, algorithm...)
			o.certify("inter", "root", "inter", 2, algorithm...)
			o.certify("good", "inter", "holder", 0x10, algorithm...)
			o.certify("bad", "inter", "holder", 0x11, algorithm...)
			o.certify("held", "inter", "holder", 0x12, algorithm...)
			o.certify("responder", "inter", "responder", 0x13, algorithm...)
			o.judge()
		})
	}
}

func (o opensslCA) judge() {
	t := o.t
	now := time.Now().UTC()
	expiry, yesterday := now.AddDate(0, 0, 20).Format("060102150405Z"), now.AddDate(0, 0, -1).Format("060102150405Z")
	index := fmt.Sprintf("V\t%s\t\t10\tunknown\t/CN=good\nR\t%s\t%s,keyCompromise\t11\tunknown\t/CN=bad\nR\t%s\t%s,holdInstruction,1.2.840.10040.2.1\t12\tunknown\t/CN=held\n",
		expiry, expiry, yesterday, expiry, yesterday)
	root := o.list("root", "complete", "")
	complete, partition := o.list("inter", "complete", index), o.list("inter", "partitioned", index)
	anchors := must(cert.ParseAnchors([][]byte{o.der("root.pem")}))
	generic := profile(cert.Generic)
	verify := func(name string, answers []cert.Answer, lists ...[]byte) cert.Verdict {
		in := cert.Input{
			Time: time.Now(), Leaf: o.der(name + ".pem"), Intermediates: [][]byte{o.der("inter.pem")}, Answers: answers,
			Options: cert.Options{Policies: []pkix.OID{policyOne}, RequireExplicitPolicy: true},
		}
		for _, l := range lists {
			readList(&in, l)
		}
		return generic.Verify(anchors, in)
	}
	for name, code := range map[string]cert.Code{"good": cert.OK, "bad": cert.Revoked, "held": cert.OnHold} {
		expect(t, verify(name, nil, root, complete), code)
		expect(t, verify(name, nil, root, partition), code)
		expect(t, verify(name, nil, root), cert.RevocationUnknown)
	}
	issuer := must(pkix.ParseCertificate(o.der("inter.pem")))
	asked := ocsp.Issuer{Name: issuer.Subject, Key: &issuer.Key}
	policy := ocsp.DefaultPolicy()
	policy.Nonce = ocsp.NonceRequired
	for _, c := range []struct {
		name   string
		serial byte
		status ocsp.Status
		code   cert.Code
	}{{"good", 0x10, ocsp.Good, cert.OK}, {"bad", 0x11, ocsp.Revoked, cert.Revoked}, {"held", 0x12, ocsp.Revoked, cert.OnHold}, {"", 0x55, ocsp.Unknown, ""}} {
		for _, how := range [][]string{{"-rsigner", "responder.pem", "-rkey", "responder.key"}, {"-rsigner", "responder.pem", "-rkey", "responder.key", "-resp_key_id"}, {"-rsigner", "inter.pem", "-rkey", "inter.key"}} {
			for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
				nonce := bytes.Repeat([]byte{c.serial}, 32)
				o.write("request.der", string(must(ocsp.NewRequest(asked, []byte{c.serial}, h, nonce))))
				o.run(append([]string{"ocsp", "-index", "index.txt", "-CA", "inter.pem", "-reqin", "request.der", "-respout", "answer.der", "-ndays", "1"}, how...)...)
				raw := must(os.ReadFile(filepath.Join(o.dir, "answer.der")))
				got, err := ocsp.Check(raw, ocsp.Question{Issuer: asked, Serial: []byte{c.serial}, Nonce: nonce}, time.Now(), policy)
				if err != nil || got.Status != c.status || (got.Responder == nil) != (how[1] == "inter.pem") {
					t.Errorf("%s, %v, %v: %+v, %v", c.name, how, h, got, err)
				}
				if c.name != "" {
					expect(t, verify(c.name, []cert.Answer{{DER: raw, Nonce: nonce}}, root), c.code)
				}
			}
		}
	}
	// The holder of a certificate signs an answer about another: what x/crypto/ocsp would take.
	o.write("request.der", string(must(ocsp.NewRequest(asked, []byte{0x10}, crypto.SHA1, nil))))
	o.run("ocsp", "-index", "index.txt", "-CA", "inter.pem", "-reqin", "request.der", "-respout", "answer.der", "-ndays", "1", "-rsigner", "held.pem", "-rkey", "held.key")
	expect(t, verify("good", []cert.Answer{{DER: must(os.ReadFile(filepath.Join(o.dir, "answer.der")))}}, root), cert.RevocationBad)
}
