//go:build interop

package interop_test

import (
	"io"
	"net/http"
	"os"
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
	// At a name that the demonstration's certificate is for, so that the hub trusts it, too: it tells the provider of logouts by SOAP.
	apache := startMellon(t, "slack.localhost", fetched(t, localClient(t, d.authority), d.hub+"/saml/metadata"), d.authority, d.server)
	metadata, err := sp.ReadMetadata(fetched(t, apache.client, apache.address+"/mellon/metadata"), time.Now().UnixMicro(), nil)
	noError(t, err)
	p := metadata.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least = "mellon", "mod_auth_mellon", "mellon.example", policies.AssuranceCard
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
	arguments := []string{home, d.hubPort, d.sitesPort, apache.address}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		arguments = append(arguments, folder)
	}
	var seen struct {
		Walks struct {
			Certificate struct {
				Failed, At, Asked string
				Who               struct{ At, Name, Mail, NameID string }
				Complaints        []string
			}
			OutThere, OutHere struct {
				Failed, At, Name, Text, End, Hub, Mellon string
				Way, Complaints                          []string
			}
			Refused struct{ Failed, At, Text string }
		}
		Pages []struct {
			pageReport
			Name, URL string
		}
	}
	if code := runScript(t, nil, &seen, "mellon-tour.mjs", arguments...); code != 0 {
		t.Fatalf("mellon-tour.mjs ended with %d", code)
	}
	for _, p := range seen.Pages {
		for _, v := range p.Violations {
			t.Errorf("%s: %s (%s): %s at %q", p.Name, v.ID, v.Impact, v.Help, v.Nodes)
		}
		if p.Language != "ja" || p.Title == "" {
			t.Errorf("%s: language %q, title %q", p.Name, p.Language, p.Title)
		}
	}
	w := seen.Walks
	if c := w.Certificate; c.Failed != "" || !strings.HasPrefix(c.Asked, d.hub+"/login/") || c.Who.At != apache.address+"/page.html" || c.Who.Name == "" ||
		!strings.Contains(c.Who.Mail, "@c011002.example.lg.jp") || len(c.Who.NameID) != 41 || len(c.Complaints) > 0 {
		t.Errorf("by the browser's certificate: %+v", c)
	}
	for name, o := range map[string]struct{ failed, hub, mellon, name string }{
		"out at the provider": {w.OutThere.Failed, w.OutThere.Hub, w.OutThere.Mellon, w.OutThere.Name}, "out at the hub": {w.OutHere.Failed, w.OutHere.Hub, w.OutHere.Mellon, w.OutHere.Name},
	} {
		// Afterwards both ask for a login.
		if o.failed != "" || o.name == "" || !strings.HasPrefix(o.hub, "/login/") || !strings.HasPrefix(o.mellon, d.hub+"/login/") {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if w.OutThere.End != apache.address+"/out.html" || len(w.OutThere.Complaints) > 0 {
		t.Errorf("out at the provider: %+v", w.OutThere)
	}
	if !strings.Contains(w.OutHere.Text, "ログアウトしました") || !strings.Contains(w.OutHere.Text, "mod_auth_mellon") || len(w.OutHere.Complaints) > 0 {
		t.Errorf("out at the hub: %+v", w.OutHere)
	}
	if r := w.Refused; !strings.Contains(r.Text, "このサービスを利用できません") || !incident.MatchString(r.Text) {
		t.Errorf("somebody who may not enter: %+v", r)
	}
}
