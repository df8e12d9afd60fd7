package crl

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// opensslReasons are the reasons as the index file of openssl ca has them.
var opensslReasons = map[pkix.Reason]string{
	pkix.KeyCompromise: "keyCompromise", pkix.CACompromise: "CACompromise", pkix.AffiliationChanged: "affiliationChanged",
	pkix.Superseded: "superseded", pkix.CessationOfOperation: "cessationOfOperation", pkix.CertificateHold: "certificateHold",
}

// Lists that openssl makes are read, by both readings, and say what its index says.
func TestOpenSSLLists(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed (deploy/ci/setup.sh)")
		}
		t.Skip("openssl is not installed")
	}
	for _, c := range []struct {
		name, key, digest, extensions string
		entries                       int
		check                         func(*pkix.ListInfo) bool
	}{
		{"RSA", "rsa:2048", "sha256", "", 300, func(i *pkix.ListInfo) bool { return i.Scope == nil && i.Authority.KeyID != nil }},
		{"P-256", "ec -pkeyopt ec_paramgen_curve:P-256", "sha256", "", 5, func(*pkix.ListInfo) bool { return true }},
		{"P-384", "ec -pkeyopt ec_paramgen_curve:P-384", "sha384", "", 5, func(*pkix.ListInfo) bool { return true }},
		{"none revoked", "rsa:2048", "sha256", "", 0, func(i *pkix.ListInfo) bool { return i.EntryCount == 0 }},
		{
			"a partition", "rsa:2048", "sha512", "issuingDistributionPoint=critical,@idp\n[idp]\nfullname=dirName:dn\nonlyuser=TRUE\n[dn]\nO=TEST\nCN=partition 13\n", 5,
			func(i *pkix.ListInfo) bool {
				return i.Scope != nil && i.Scope.OnlyUser && len(i.Scope.FullName) == 1 && strings.Contains(i.Scope.FullName[0].String(), "partition 13")
			},
		},
		{
			"some reasons, below the issuer", "rsa:2048", "sha256",
			"issuingDistributionPoint=critical,@idp\n[idp]\nrelativename=dn\nonlysomereasons=keyCompromise,CACompromise\n[dn]\nCN=p\n", 5,
			func(i *pkix.ListInfo) bool {
				return i.Scope != nil && i.Scope.RelativeName != nil && i.Scope.SomeReasons == 0b110
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			raw, pub, entries := opensslList(t, openssl, dir, c.key, c.digest, c.extensions, c.entries)
			l, err := Parse(raw, Rules{}, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if err := l.CheckSignature(pub, anySignature); err != nil {
				t.Error(err)
			}
			s, err := Load{Key: pub, Policy: anySignature, Bits: 16}.Read(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(l.Info()) || !SameScope(l.Info(), s.Info()) || l.Info().EntryCount != c.entries || string(l.Info().Number) != "\x10\x01" {
				t.Errorf("%+v", l.Info())
			}
			for _, o := range entries {
				for _, list := range []Held{l, s} {
					if r, ok := list.Lookup(l.Info().Issuer, o.serial); !ok || r.Reason != o.reason || !r.At.Equal(o.at) {
						t.Errorf("%x: %v %v, want %v", o.serial, ok, r, o)
					}
				}
			}
		})
	}
}

// opensslList makes a list of so many entries with openssl ca -gencrl, in a folder that is there for it alone.
func opensslList(t *testing.T, openssl, dir, key, digest, extensions string, count int) ([]byte, *pkix.PublicKey, []one) {
	t.Helper()
	var entries []one
	var index strings.Builder
	for i := range count {
		o := one{integerOf(int64(i*i*31 + 1))[2:], revokedAt.Add(time.Duration(i) * time.Minute), pkix.Reason(i % 7)}
		entries = append(entries, o)
		why := ""
		if o.reason != 0 {
			why = "," + opensslReasons[o.reason]
		}
		if i%11 == 1 { // keyCompromise with the day since when
			why = ",keyTime,20240102030405Z"
			entries[i].reason = pkix.KeyCompromise
		}
		fmt.Fprintf(&index, "R\t350101000000Z\t%s%s\t%X\tunknown\t/CN=TEST %d\n", o.at.Format("060102150405Z"), why, o.serial, i)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("index.txt", index.String())
	write("crlnumber", "1001\n")
	write("c.cnf", "[req]\ndistinguished_name=n\nprompt=no\nx509_extensions=v\n[v]\nsubjectKeyIdentifier=hash\nbasicConstraints=critical,CA:TRUE\n"+
		"keyUsage=critical,cRLSign,keyCertSign\n[n]\nC=JP\nO=TEST\nCN=TEST CA\n[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\n"+
		"certificate=ca.pem\nprivate_key=ca.key\ndefault_crl_days=2\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\n"+extensions)
	run := func(args ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	run(append([]string{"req", "-x509", "-config", "c.cnf", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "9", "-newkey"}, strings.Fields(key)...)...)
	run("ca", "-config", "c.cnf", "-gencrl", "-md", digest, "-out", "list.pem")
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			t.Fatalf("%s: no PEM", name)
		}
		return block.Bytes
	}
	ca, err := pkix.ParseCertificate(read("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return read("list.pem"), &ca.Key, entries
}
