package conformance

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKeyDer string
		Tests        []struct {
			TcID         int `json:"tcId"`
			Comment, Msg string
			Sig, Result  string
			Flags        []string
		}
	}
}

// TestWycheproof runs every vector of the three sets. "acceptable" is one signature whose DigestInfo has no NULL: it is refused here, since RFC 8017
// A.2.4 asks for the NULL, and a verifier that takes two encodings is where forgeries begin.
func TestWycheproof(t *testing.T) {
	for file, set := range map[string]struct {
		scheme pkix.Scheme
		tests  int
	}{
		"rsa_signature_2048_sha256_test.json": {pkix.RSASHA256, 259},
		"ecdsa_secp256r1_sha256_test.json":    {pkix.P256SHA256, 484},
		"ecdsa_secp384r1_sha384_test.json":    {pkix.P384SHA384, 504},
	} {
		t.Run(file, func(t *testing.T) { wycheproofSet(t, file, set.scheme, set.tests) })
	}
}

func wycheproofSet(t *testing.T, file string, scheme pkix.Scheme, count int) {
	b, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if v.NumberOfTests != count {
		t.Errorf("%d vectors, %d were meant", v.NumberOfTests, count)
	}
	profiles := make(map[string]*cert.Profile)
	for _, c := range cert.Profiles() {
		if profiles[c.Name], err = cert.NewProfile(c); err != nil {
			t.Fatal(err)
		}
	}
	done := 0
	for _, g := range v.TestGroups {
		key, err := pkix.ParsePublicKey(unhex(t, g.PublicKeyDer))
		if err != nil {
			t.Fatalf("public key: %v", err)
		}
		for _, c := range g.Tests {
			done++
			message, signature := unhex(t, c.Msg), unhex(t, c.Sig)
			for _, name := range []string{cert.Generic, cert.JPKIAuth} {
				err := profiles[name].CheckSignature(key, scheme, message, signature)
				want := c.Result == "valid"
				if name == cert.JPKIAuth && key.RSA != nil && key.RSA.E < 65537 {
					want = false // two vectors with a key whose exponent is 3, which no card has
				}
				if (err == nil) != want {
					t.Errorf("%s: test %d (%s, %v): %s, and here: %v", name, c.TcID, c.Comment, c.Flags, c.Result, err)
				}
			}
		}
	}
	if done != count {
		t.Errorf("%d of %d vectors were run", done, count)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
