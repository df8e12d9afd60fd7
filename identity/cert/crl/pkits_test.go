package crl

import (
	"os"
	"path/filepath"
	"testing"
)

const pkitsLists = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data/crls"

// Every list of NIST PKITS is read, but for those that are wrong on purpose.
func TestPKITSListsAreRead(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(pkitsLists, "*.crl"))
	if len(files) == 0 {
		t.Skip("the lists of NIST PKITS are not installed (python3-cryptography-vectors)")
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Parse(raw, Rules{AnySerial: true, Version1: true, Unnumbered: true}, Limits{})
		if err != nil {
			t.Logf("%s: %v", filepath.Base(f), err)
			continue
		}
		_, err = Parse(raw, Rules{}, Limits{})
		if err != nil {
			t.Logf("  strict %s: %v", filepath.Base(f), err)
		}
		_ = l
	}
	t.Log(len(files))
}
