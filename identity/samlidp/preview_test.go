package samlidp_test

import (
	"encoding/xml"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// dry is the login that the house would do, undone.
func (h *house) dry(t testing.TB, p sp.SP) samlidp.Preview {
	t.Helper()
	all, err := samlidp.Certificates(t.Context(), h.db.Reader(), h.ring)
	must(t, err)
	person, org, err := h.Person(t.Context(), h.login.Person, h.login.Org)
	must(t, err)
	d := samlidp.Dry{
		SP: p, Network: policies.NetworkInternet, Issuer: h.provider.EntityID(policies.NetworkInternet), Person: person, Org: org, Release: h.login.Release,
		Assurance: h.login.Assurance, Key: all[0], At: h.now().UnixMicro(),
	}
	v, err := d.Preview()
	must(t, err)
	return v
}

func count(t testing.TB, db *sqldb.DB, query string) (n int) {
	t.Helper()
	must(t, db.Reader().QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// TestPreview: a preview tells what the real login sends, to the byte, and writes nothing.
func TestPreview(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		must(t, h.provider.Ensure(t.Context()))
		subject := sp.Attribute{Field: sp.FieldSubject, Name: "username"}
		for name, change := range map[string]func(*sp.SP){
			"persistent":            func(*sp.SP) {},
			"the name as attribute": func(p *sp.SP) { p.NameID, p.Attributes = sp.NameIDEmail, append(p.Attributes, subject) },
			"transient":             func(p *sp.SP) { p.NameID = sp.NameIDTransient },
			"mail":                  func(p *sp.SP) { p.NameID, p.Attributes = sp.NameIDEmail, nil },
			"the response signed":   func(p *sp.SP) { p.Sign = sp.SignResponse },
			"the assertion signed":  func(p *sp.SP) { p.Sign = sp.SignAssertion },
			"encrypted":             func(p *sp.SP) { p.Encrypt = true },
			"encrypted by GCM": func(p *sp.SP) {
				p.Encrypt = true
				p.Encryption = slices.Clone(p.Encryption)
				p.Encryption[0].Methods = []string{wire.AES256GCM, wire.OAEP}
			},
		} {
			p := h.party("dry")
			p.Sector, p.Encryption = "dry.example", []sp.Encryption{{Certificate: h.own.cert.Raw}}
			change(&p)
			must(t, h.registry.Add(t.Context(), operator, p, 1))
			ppids, rows := count(t, db, `SELECT COUNT(*) FROM ppid`), count(t, db, `SELECT COUNT(*) FROM audit_row`)
			v := h.dry(t, p)
			if count(t, db, `SELECT COUNT(*) FROM ppid`) != ppids || count(t, db, `SELECT COUNT(*) FROM saml_grant WHERE party = 'dry'`) != 0 || count(t, db, `SELECT COUNT(*) FROM audit_row`) != rows {
				t.Errorf("%s: something was written", name)
			}
			// The real one, asked by an ID as long as the one that a preview assumes.
			r := h.redirect(query(h.ask("dry", map[string]string{"ID": "_" + strings.Repeat("7", 40), "AssertionConsumerServiceURL": v.Consumer}), "", pair{}))
			if r.doc == "" {
				t.Fatalf("%s: %+v\n%s", name, r, h.log.String())
			}
			if v.Bytes != len(r.doc) || v.Consumer != r.to || v.Withheld != "" {
				t.Errorf("%s: %d bytes to %s, foreseen %d to %s", name, len(r.doc), r.to, v.Bytes, v.Consumer)
			}
			h.matches(t, name, v, p, r)
			h.undo(t)
		}
	})
}

// undo makes the next case begin anew.
func (h *house) undo(t testing.TB) {
	t.Helper()
	must(t, h.registry.Remove(t.Context(), operator, "dry", "試験", 1))
	for _, q := range []string{`DELETE FROM saml_grant WHERE party = 'dry'`, `DELETE FROM ppid`, `DELETE FROM saml_request`} {
		_, err := h.db.Writer().ExecContext(t.Context(), q)
		must(t, err)
	}
}

// matches compares a preview with the response that was really sent.
func (h *house) matches(t testing.TB, name string, v samlidp.Preview, p sp.SP, r result) {
	t.Helper()
	el, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
	must(t, err)
	signed := func(el *etree.Element) bool { return len(wire.Children(el, wire.NSSignature, "Signature")) > 0 }
	if signed(el) != v.Response || v.Algorithm != wire.RSASHA256 {
		t.Errorf("%s: the response's signature: %v", name, v.Response)
	}
	if p.Encrypt {
		if data := el.FindElement("./EncryptedAssertion/EncryptedData/EncryptionMethod"); data == nil || wire.Attr(data, "Algorithm") != v.Data || !strings.Contains(r.doc, v.Wrap) {
			t.Errorf("%s: encrypted otherwise: %+v", name, v)
		}
		return
	}
	assertion := el.FindElement("./Assertion")
	if signed(assertion) != v.Assertion || v.Data != "" {
		t.Errorf("%s: the assertion's signature: %v", name, v.Assertion)
	}
	if got := path(t, assertion, "Subject/NameID/@Format"); got != string(v.NameID) || path(t, assertion, "AuthnStatement/AuthnContext/AuthnContextClassRef") != v.Context {
		t.Errorf("%s: %s, %s", name, got, v.Context)
	}
	if sent := path(t, assertion, "Subject/NameID"); v.Name != "" && v.Name != sent || (v.Name == "") == (p.NameID == sp.NameIDEmail) {
		t.Errorf("%s: named %q, foreseen %q", name, sent, v.Name)
	}
	var want, got [][2]string
	for _, a := range assertion.FindElements("./AttributeStatement/Attribute") {
		value := wire.Text(a.FindElement("./AttributeValue"))
		if wire.Attr(a, "Name") == "username" {
			if value != path(t, assertion, "Subject/NameID") && len(value) != 32 {
				t.Errorf("%s: the name as attribute is %q", name, value)
			}
			value = ""
		}
		want = append(want, [2]string{wire.Attr(a, "Name"), value})
	}
	for _, a := range v.Attributes {
		got = append(got, [2]string{a.Name, a.Value})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: attributes (-sent +foreseen):\n%s", name, diff)
	}
	if until := path(t, assertion, "Conditions/@NotOnOrAfter"); !strings.Contains(string(v.Document), until) {
		t.Errorf("%s: the assertion ends at %s", name, until)
	}
}

// TestPreviewWithheld: who isn't told the address that names them is told a refusal, and so says the preview.
func TestPreviewWithheld(t *testing.T) {
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
	must(t, h.provider.Ensure(t.Context()))
	h.login.Release = []policies.Attribute{policies.AttributeName}
	p := h.party("mail")
	p.NameID = sp.NameIDEmail
	if v := h.dry(t, p); v.Withheld != "name_id_withheld" || v.Document != nil || v.Name != "" {
		t.Errorf("%+v", v)
	}
	p.Faces = p.Faces[1:]
	all, err := samlidp.Certificates(t.Context(), h.db.Reader(), h.ring)
	must(t, err)
	if all[0].State != keys.Active {
		t.Errorf("%+v", all)
	}
	if _, err := (samlidp.Dry{SP: p, Network: policies.NetworkInternet, Key: all[0]}).Preview(); err == nil {
		t.Error("a network where it isn't reached")
	}
	if _, err := (samlidp.Dry{SP: p, Network: policies.NetworkLGWAN}).Preview(); err == nil {
		t.Error("without a key")
	}
}

// TestPreviewIsGoodForNothing: no program takes a preview's document for an answer: not as it is, not with SAML's namespaces put back, and not with
// whatever signature would fit where there is none.
func TestPreviewIsGoodForNothing(t *testing.T) {
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
	must(t, h.provider.Ensure(t.Context()))
	saml.TimeNow, saml.Clock = h.now, dsig.NewFakeClockAt(start)
	var metadata saml.EntityDescriptor
	must(t, xml.Unmarshal([]byte(h.get(origin+"/saml/metadata").body), &metadata))
	address := func(text string) url.URL {
		u, err := url.Parse(text)
		must(t, err)
		return *u
	}
	for _, sign := range []sp.Sign{sp.SignBoth, sp.SignResponse, sp.SignAssertion} {
		p := h.party("dry")
		p.Sign = sign
		v := h.dry(t, p)
		peer := saml.ServiceProvider{
			EntityID: p.EntityID, Key: h.own.key, Certificate: h.own.cert, MetadataURL: address(p.EntityID), AcsURL: address(v.Consumer), IDPMetadata: &metadata,
		}
		takes := func(doc []byte) error {
			_, err := peer.ParseXMLResponse(doc, []string{"_dry-run-00000000000000000000000000000000"}, peer.AcsURL)
			return err
		}
		// The peer takes the real one: so what refuses below is the preview's own doing.
		must(t, h.registry.Add(t.Context(), operator, p, 1))
		id := "_" + strings.Repeat("7", 40)
		r := h.redirect(query(h.ask("dry", map[string]string{"ID": id, "AssertionConsumerServiceURL": v.Consumer}), "", pair{}))
		if _, err := peer.ParseXMLResponse([]byte(r.doc), []string{id}, peer.AcsURL); err != nil {
			t.Fatalf("%s: the real one is refused: %v", sign, err)
		}
		h.undo(t)
		if err := takes(v.Document); err == nil {
			t.Errorf("%s: the document is taken", sign)
		}
		for _, ns := range []string{wire.NSAssertion, wire.NSProtocol, wire.NSSignature} {
			if strings.Contains(string(v.Document), `"`+ns+`"`) {
				t.Errorf("%s: %s stands in it", sign, ns)
			}
		}
		// Unwrapped, and back in SAML's namespaces.
		d := etree.NewDocument()
		must(t, d.ReadFromBytes(v.Document))
		inner := etree.NewDocument()
		inner.SetRoot(d.Root().ChildElements()[0].Copy())
		text, err := inner.WriteToString()
		must(t, err)
		text = strings.NewReplacer("urn:musubi:dry-run:assertion", wire.NSAssertion, "urn:musubi:dry-run:protocol", wire.NSProtocol, "urn:musubi:dry-run:signature", wire.NSSignature).Replace(text)
		for what, doc := range map[string]string{
			"back in SAML's namespaces": text,
			"and zeros for a signature": strings.ReplaceAll(text, "dry run: nobody signed this", strings.Repeat("A", 342)+"=="),
		} {
			if err := takes([]byte(doc)); err == nil {
				t.Errorf("%s: %s, it is taken", sign, what)
			}
		}
		if strings.Contains(string(v.Document), string(h.login.Person)+"\"") || !strings.Contains(string(v.Document), "good for nothing") {
			t.Errorf("%s", v.Document)
		}
	}
}
