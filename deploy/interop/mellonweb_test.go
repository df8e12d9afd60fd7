//go:build interop

package interop_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/entrance"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// fetched gives what stands at an address.
func fetched(t *testing.T, client *http.Client, address string) []byte {
	t.Helper()
	answer, err := client.Get(address)
	noError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	noError(t, err)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", address, answer.StatusCode, body)
	}
	return body
}

// samlInChromium has Chromium open a page behind mod_auth_mellon: the served hub logs a test card in, and the page knows who it is. Then it logs out, at
// either side.
func samlInChromium(t *testing.T, d *demonstration) {
	apache := startMellon(t, "mellon.localhost", fetched(t, localClient(t, d.authority), d.hub+"/saml/metadata"), d.authority)
	metadata, err := sp.ReadMetadata(fetched(t, apache.client, apache.address+"/mellon/metadata"), time.Now().UnixMicro(), nil)
	noError(t, err)
	p := metadata.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least = "mellon", "mod_auth_mellon", "mellon.localhost", policies.AssuranceCard
	p.Functions, p.Products = []policies.Function{policies.FunctionInquiries}, []policies.Product{policies.ProductJira}
	p.Attributes = []sp.Attribute{{Field: sp.FieldEmail, Name: "mail"}, {Field: sp.FieldDisplayName, Name: "displayName"}}
	if !p.Signed || !p.Encrypt {
		t.Fatalf("its metadata is read as %+v", p)
	}
	by, err := access.BreakGlass("operator")
	noError(t, err)
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(d.data, "musubi.db"), sqldb.Options{})
	noError(t, err)
	noError(t, sp.NewRegistry(db).Share(entrance.Names{Issuer: identity.IssuerSAML}).Add(t.Context(), by, p, time.Now().UnixMicro()))
	noError(t, db.Close())

	home := browserHome(t, d.authority, d.card("city-administrator"), testpki.Password)
	trust := exec.CommandContext(t.Context(), "certutil", "-A", "-t", "P,,", "-n", "mellon", "-i", apache.certificate, "-d", "sql:"+filepath.Join(home, ".pki", "nssdb"))
	if out, err := trust.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	arguments := []string{home, d.hubPort, d.sitesPort, apache.address}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		arguments = append(arguments, folder)
	}
	var seen json.RawMessage
	if code := runScript(t, nil, &seen, "mellon-tour.mjs", arguments...); code != 0 {
		t.Fatalf("mellon-tour.mjs ended with %d", code)
	}
	t.Logf("%s", seen)
	_ = strings.Contains
}
