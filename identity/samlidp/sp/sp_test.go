package sp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const at = int64(1_790_000_000_000_000)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type key struct {
	private *rsa.PrivateKey
	cert    *x509.Certificate
}

var drawn struct {
	once             sync.Once
	good, weak       key
	elliptic, broken []byte
}

// keys gives the certificate of a good key, of a weak one, and of one that isn't RSA.
func keys(t testing.TB) (good, weak key, other []byte) {
	t.Helper()
	drawn.once.Do(func() {
		issue := func(public, private any) []byte {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0)}
			der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
			must(t, err)
			return der
		}
		rsaKey := func(bits int) key {
			private, err := rsa.GenerateKey(rand.Reader, bits)
			must(t, err)
			cert, err := x509.ParseCertificate(issue(private.Public(), private))
			must(t, err)
			return key{private, cert}
		}
		drawn.good, drawn.weak = rsaKey(2048), rsaKey(1024)
		p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		drawn.elliptic = issue(p256.Public(), p256)
	})
	return drawn.good, drawn.weak, drawn.elliptic
}

func good(t testing.TB) sp.SP {
	t.Helper()
	k, _, _ := keys(t)
	return sp.SP{
		ID: "jira", Name: "案件管理", EntityID: "https://sp.example/metadata", Sector: "sp.example",
		Faces: []sp.Face{{
			Network: policies.NetworkInternet,
			Consumers: []sp.Consumer{
				{Location: "https://sp.example/acs", Index: 0}, {Location: "https://sp.example/acs?tenant=2", Index: 1, Default: true},
			},
			Logout: []sp.Endpoint{{Binding: sp.BindingRedirect, Location: "https://sp.example/slo"}},
		}},
		Signing: [][]byte{k.cert.Raw}, Encryption: []sp.Encryption{{Certificate: k.cert.Raw, Methods: []string{wire.AES256GCM}}},
		Signed: true, Encrypt: true, Sign: sp.SignBoth, NameID: sp.NameIDPersistent, Least: policies.AssuranceTwo,
		Attributes: []sp.Attribute{{Field: sp.FieldEmail, Name: "mail"}}, Functions: policies.Functions()[:1], Products: policies.Products()[:1],
		Owner: "011002", Contact: sp.Contact{Name: "情報政策課", Mail: "saml@sp.example"},
	}
}

func TestCheck(t *testing.T) {
	must(t, good(t).Check())
	_, weak, other := keys(t)
	acs := func(location string) func(*sp.SP) {
		return func(p *sp.SP) { p.Faces[0].Consumers[0].Location = location }
	}
	for name, c := range map[string]struct {
		want   string
		change func(*sp.SP)
	}{
		"no id":                       {"id: want", func(p *sp.SP) { p.ID = "" }},
		"an id with a slash":          {"id: want", func(p *sp.SP) { p.ID = "a/b" }},
		"no name":                     {"name: want", func(p *sp.SP) { p.Name = "" }},
		"a name with a line break":    {"name: want", func(p *sp.SP) { p.Name = "a\nb" }},
		"no entity id":                {"entity_id: want", func(p *sp.SP) { p.EntityID = "" }},
		"an entity id with a space":   {"entity_id: want", func(p *sp.SP) { p.EntityID = "https://sp.example/ " }},
		"a relative entity id":        {"entity_id: want", func(p *sp.SP) { p.EntityID = "metadata" }},
		"a long entity id":            {"entity_id: want", func(p *sp.SP) { p.EntityID = "https://" + strings.Repeat("x", 1020) }},
		"no sector":                   {"sector: want", func(p *sp.SP) { p.Sector = "" }},
		"an unknown format":           {"name_id: there is no", func(p *sp.SP) { p.NameID = "x" }},
		"nothing signed":              {"sign: ", func(p *sp.SP) { p.Sign = "" }},
		"encrypted, response open":    {"sign: an encrypted", func(p *sp.SP) { p.Sign = sp.SignAssertion }},
		"no level":                    {"least: ", func(p *sp.SP) { p.Least = 99 }},
		"no network":                  {"faces: a provider", func(p *sp.SP) { p.Faces = nil }},
		"an unknown network":          {"faces: there is no network", func(p *sp.SP) { p.Faces[0].Network = "x" }},
		"a network twice":             {"stands there twice", func(p *sp.SP) { p.Faces = append(p.Faces, p.Faces[0]) }},
		"an unknown function":         {"functions: ", func(p *sp.SP) { p.Functions = []policies.Function{"x"} }},
		"an unknown product":          {"products: ", func(p *sp.SP) { p.Products = []policies.Product{"x"} }},
		"signed, no key":              {"signing: requests", func(p *sp.SP) { p.Signing = nil }},
		"encrypted, no key":           {"encryption: assertions", func(p *sp.SP) { p.Encryption = nil }},
		"a weak key":                  {"RSA of 2048", func(p *sp.SP) { p.Signing[0] = weak.cert.Raw }},
		"another kind of key":         {"RSA of 2048", func(p *sp.SP) { p.Encryption[0].Certificate = other }},
		"no certificate":              {"can't be read", func(p *sp.SP) { p.Signing[0] = []byte("x") }},
		"a large certificate":         {"at most 8192", func(p *sp.SP) { p.Signing[0] = make([]byte, 9000) }},
		"an unknown field":            {"no field", func(p *sp.SP) { p.Attributes[0].Field = "password" }},
		"an attribute twice":          {"stands there twice", func(p *sp.SP) { p.Attributes = append(p.Attributes, p.Attributes[0]) }},
		"an attribute without a name": {"want a name", func(p *sp.SP) { p.Attributes[0].Name = "" }},
		"an owner with a space":       {"owner: ", func(p *sp.SP) { p.Owner = "011002 " }},
		"a contact with a line break": {"contact: name", func(p *sp.SP) { p.Contact.Name = "a\nBcc: b" }},
		"mail with a line break":      {"contact: mail", func(p *sp.SP) { p.Contact.Mail = "a@sp.example\r\nBcc: b@c.example" }},
		"mail with a name":            {"contact: mail", func(p *sp.SP) { p.Contact.Mail = "A <a@sp.example>" }},
		"two addresses":               {"contact: mail", func(p *sp.SP) { p.Contact.Mail = "a@sp.example,b@sp.example" }},
		"an unknown intake":           {"intake: ", func(p *sp.SP) { p.Intake = "pigeon" }},
		"mail without a host":         {"contact: mail", func(p *sp.SP) { p.Contact.Mail = "saml" }},
		"no consumer":                 {"at least one assertion", func(p *sp.SP) { p.Faces[0].Consumers = nil }},
		"an index twice":              {"index 1 stands there twice", func(p *sp.SP) { p.Faces[0].Consumers[0].Index = 1 }},
		"two defaults":                {"more than one is the default", func(p *sp.SP) { p.Faces[0].Consumers[0].Default = true }},
		"a negative index":            {"an index is", func(p *sp.SP) { p.Faces[0].Consumers[0].Index = -1 }},
		"a consumer twice":            {"stands there twice", acs("https://sp.example/acs?tenant=2")},
		"javascript":                  {"want https", acs("javascript:alert(1)")},
		"javascript, disguised":       {"want https", acs("JaVaScRiPt://sp.example/%0aalert(1)")},
		"data":                        {"want https", acs("data:text/html,x")},
		"http":                        {"want https", acs("http://sp.example/acs")},
		"HTTPS":                       {"want https", acs("HTTPS://sp.example/acs")},
		"a user":                      {"want https", acs("https://sp.example@evil.test/acs")},
		"a fragment":                  {"a fragment", acs("https://sp.example/acs#x")},
		"a wildcard":                  {"isn't allowed", acs("https://*.sp.example/acs")},
		"a back slash":                {"isn't allowed", acs(`https://sp.example\@evil.test/`)},
		"a line break":                {"isn't allowed", acs("https://sp.example/acs\n")},
		"a letter of another script":  {"isn't allowed", acs("https://sp.exаmple/acs")},
		"capitals":                    {"small letters", acs("https://SP.example/acs")},
		"a dot at the end":            {"small letters", acs("https://sp.example./acs")},
		"no port after a colon":       {"small letters", acs("https://sp.example:/acs")},
		"dots in the path":            {". and ..", acs("https://sp.example/a/../acs")},
		"no host":                     {"want https", acs("https:///acs")},
		"a long address":              {"at most 512", acs("https://sp.example/" + strings.Repeat("x", 500))},
		"the hub's own id":            {"can't be registered", func(p *sp.SP) { p.ID = "musubi" }},
		"beyond: a path":              {"beyond: ", func(p *sp.SP) { p.Beyond = []string{"https://sp.example/"} }},
		"beyond: a wildcard":          {"beyond: ", func(p *sp.SP) { p.Beyond = []string{"https://*.sp.example"} }},
		"beyond: http":                {"beyond: ", func(p *sp.SP) { p.Beyond = []string{"http://sp.example"} }},
		"beyond: two in one":          {"beyond: ", func(p *sp.SP) { p.Beyond = []string{"https://a.example;x"} }},
		"beyond: many":                {"at most 20", func(p *sp.SP) { p.Beyond = slices.Repeat([]string{"https://a.example"}, 21) }},
		"logout by artifact":          {"isn't served", func(p *sp.SP) { p.Faces[0].Logout[0].Binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" }},
		"logout to javascript":        {"want https", func(p *sp.SP) { p.Faces[0].Logout[0].Location = "javascript:x" }},
		"logout answers to http":      {"want https", func(p *sp.SP) { p.Faces[0].Logout[0].Response = "http://sp.example" }},
	} {
		p := good(t)
		c.change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := good(t)
	p.ID, p.Sign, p.Sector = "", "none", ""
	if err := p.Check(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("everything that is wrong is told at once: %v", err)
	}
}

// TestFields: each field has an attribute that policy releases, and each attribute of the policies a field.
func TestFields(t *testing.T) {
	seen := map[policies.Attribute]bool{}
	for _, f := range []sp.Field{
		sp.FieldDisplayName, sp.FieldFamilyName, sp.FieldGivenName, sp.FieldFamilyKana, sp.FieldGivenKana, sp.FieldFamilyRomaji, sp.FieldGivenRomaji, sp.FieldEmail,
		sp.FieldPhone, sp.FieldExtension, sp.FieldOrg, sp.FieldOrgName, sp.FieldOrgKind, sp.FieldSection, sp.FieldTitle, sp.FieldRole,
	} {
		a, ok := f.Released()
		if !ok {
			t.Errorf("%s needs no release", f)
		}
		seen[a] = true
	}
	for _, a := range policies.Attributes() {
		if !seen[a] {
			t.Errorf("no field of %s", a)
		}
	}
}

func TestConsumers(t *testing.T) {
	f := good(t).Faces[0]
	for location, want := range map[string]bool{
		"https://sp.example/acs": true, "https://sp.example/acs?tenant=2": true, "https://sp.example/acs/": false, "https://sp.example/acs?": false, "https://sp.example:443/acs": false,
		"https://sp.example/%61cs": false, "https://sp.example/acs#": false, "https://SP.example/acs": false, "https://sp.example/acs?tenant=2&x": false, "": false,
		"https://sp.example.evil.test/acs": false, "https://sp.example/acs?tenant=3": false,
	} {
		if _, ok := f.At(location); ok != want {
			t.Errorf("%q: %v", location, ok)
		}
	}
	if c, ok := f.Default(); !ok || c.Index != 1 {
		t.Errorf("the default is %+v", c)
	}
	f.Consumers[1].Default = false
	if c, ok := f.Default(); !ok || c.Index != 0 {
		t.Errorf("without a default it is %+v", c)
	}
	if _, ok := f.Indexed(7); ok {
		t.Error("an unknown index")
	}
	if _, ok := (sp.Face{}).Default(); ok {
		t.Error("the default of nothing")
	}
}

func TestRegistry(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), sp.Migration()} {
			must(t, db.Migrate(t.Context(), m))
		}
		r := sp.NewRegistry(db)
		by, err := access.BreakGlass("operator")
		must(t, err)
		ctx, p := t.Context(), good(t)
		expect := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		expect("change before add", r.Change(ctx, by, p, at), identity.ErrNotFound)
		expect("add", r.Add(ctx, by, p, at), nil)
		expect("add again", r.Add(ctx, by, p, at), identity.ErrExists)
		second := good(t)
		second.ID = "slack"
		expect("the entity id of another", r.Add(ctx, by, second, at), identity.ErrExists)
		second.EntityID = "urn:slack"
		expect("add another", r.Add(ctx, by, second, at), nil)
		second.EntityID = p.EntityID
		expect("take the entity id of another", r.Change(ctx, by, second, at), identity.ErrExists)
		for what, read := range map[string]func() (sp.SP, error){
			"by id":        func() (sp.SP, error) { return r.SP(ctx, db.Reader(), p.ID) },
			"by entity id": func() (sp.SP, error) { return r.Entity(ctx, db.Reader(), p.EntityID) },
		} {
			got, err := read()
			if diff := cmp.Diff(p, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
			}
		}
		p.Name = "案件管理 二"
		expect("change", r.Change(ctx, by, p, at), nil)
		bad := p
		bad.Faces = nil
		if err := r.Change(ctx, by, bad, at); err == nil {
			t.Error("a bad provider is stored")
		}
		if all, err := r.List(ctx); err != nil || len(all) != 2 || all[0].Name != p.Name || all[1].EntityID != "urn:slack" {
			t.Errorf("%v: %v", all, err)
		}
		expect("remove", r.Remove(ctx, by, p.ID, "契約終了", at), nil)
		expect("remove again", r.Remove(ctx, by, p.ID, "契約終了", at), identity.ErrNotFound)
		expect("add what is gone", r.Add(ctx, by, p, at), nil)
		expect("remove it once more", r.Remove(ctx, by, p.ID, "契約終了", at), nil)
		_, err = r.Entity(ctx, db.Reader(), p.EntityID)
		expect("read what is gone", err, identity.ErrNotFound)
		_, err = r.Entity(ctx, db.Reader(), "Robert'); DROP TABLE saml_party;--")
		expect("read nonsense", err, identity.ErrNotFound)
		var record string
		must(t, db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) || ' rows, ' || COUNT(DISTINCT action) || ' actions' FROM audit_row`).Scan(&record))
		if record != "6 rows, 3 actions" {
			t.Errorf("the record has %s", record)
		}
	})
}

// document is metadata as a product publishes it.
func document(t testing.TB) string {
	k, _, _ := keys(t)
	cert := base64.StdEncoding.EncodeToString(k.cert.Raw)
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<!-- published by sp.example -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" ID="_m" entityID="https://sp.example/metadata" validUntil="2099-01-01T00:00:00Z">
  <md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
      %[1]s
    </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:KeyDescriptor use="encryption"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%[1]s</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-1_5"/>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/></md:EncryptionMethod>
    </md:KeyDescriptor>
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://sp.example/slo"/>
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:transient</md:NameIDFormat>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://sp.example/acs" index="3" isDefault="true"/>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" Location="https://sp.example/artifact" index="4"/>
    <md:AttributeConsumingService index="0"><md:ServiceName xml:lang="en">x</md:ServiceName><md:RequestedAttribute Name="mail"/></md:AttributeConsumingService>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
`, cert)
}

func TestMetadata(t *testing.T) {
	k, _, _ := keys(t)
	got, err := sp.ReadMetadata([]byte(document(t)), at, nil)
	must(t, err)
	want := sp.Metadata{
		EntityID: "https://sp.example/metadata", Consumers: []sp.Consumer{{Location: "https://sp.example/acs", Index: 3, Default: true}},
		Logout: []sp.Endpoint{{Binding: sp.BindingRedirect, Location: "https://sp.example/slo"}}, Signing: [][]byte{k.cert.Raw},
		Encryption: []sp.Encryption{{Certificate: k.cert.Raw, Methods: []string{wire.AES256GCM, wire.OAEP}}}, NameIDs: []sp.NameID{sp.NameIDTransient},
		Signed: true, Requested: []string{"mail"}, ValidUntil: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(),
		Notices: []string{"an assertion consumer service was left out: its binding isn't HTTP-POST"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	draft := got.Draft(policies.NetworkInternet)
	draft.ID, draft.Name, draft.Sector, draft.Least = "sp", "試験", "sp.example", policies.AssuranceTwo
	if err := draft.Check(); err != nil || draft.NameID != sp.NameIDTransient || !draft.Encrypt || !draft.Signed {
		t.Errorf("%+v: %v", draft, err)
	}
}

func TestMetadataRefused(t *testing.T) {
	doc := document(t)
	_, weak, other := keys(t)
	swap := func(old, new string) string {
		if !strings.Contains(doc, old) {
			t.Fatalf("%q isn't in the document", old)
		}
		return strings.Replace(doc, old, new, 1)
	}
	role := doc[strings.Index(doc, "<md:SPSSODescriptor") : strings.Index(doc, "</md:SPSSODescriptor>")+len("</md:SPSSODescriptor>")]
	acs := `Location="https://sp.example/acs"`
	for name, c := range map[string]struct{ doc, want string }{
		"a DTD":                       {swap("<md:EntityDescriptor", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><md:EntityDescriptor`), "DTD"},
		"a comment in a value":        {swap("nameid-format:transient", "nameid-format:<!-- -->transient"), "a comment"},
		"an ID twice":                 {swap("<md:SPSSODescriptor", `<md:SPSSODescriptor ID="_m"`), "same ID"},
		"too large":                   {swap("<!-- published", "<!-- "+strings.Repeat("x", 1<<20)), "at most"},
		"too deep":                    {swap(role, strings.Repeat("<md:x>", 30)+strings.Repeat("</md:x>", 30)), "deep"},
		"a list":                      {`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"/>`, "many entities"},
		"the namespace of another":    {swap(`"urn:oasis:names:tc:SAML:2.0:metadata"`, `"urn:x"`), "isn't an EntityDescriptor"},
		"another's prefix":            {strings.ReplaceAll(swap(`xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"`, `xmlns:md="urn:x" xmlns:ok="urn:oasis:names:tc:SAML:2.0:metadata"`), "md:EntityDescriptor", "ok:EntityDescriptor"), "no SPSSODescriptor"},
		"no entity id":                {swap(` entityID="https://sp.example/metadata"`, ""), "entityID"},
		"expired by a second":         {swap("2099-01-01T00:00:00Z", time.UnixMicro(at).UTC().Format(time.RFC3339)), "valid until"},
		"no time":                     {swap("2099-01-01T00:00:00Z", "tomorrow"), "validUntil"},
		"no role":                     {swap(role, ""), "no SPSSODescriptor"},
		"two roles":                   {swap(role, role+role), "two SPSSODescriptors"},
		"another protocol":            {swap(" urn:oasis:names:tc:SAML:2.0:protocol\"", "\""), "no SPSSODescriptor"},
		"no consumer":                 {swap(`HTTP-POST" Location`, `PAOS" Location`), "no AssertionConsumerService"},
		"javascript (CVE-2023-45683)": {swap(acs, `Location="javascript:alert(1)"`), "no AssertionConsumerService"},
		"http":                        {swap(acs, `Location="http://sp.example/acs"`), "no AssertionConsumerService"},
		"an index that isn't one":     {swap(`index="3"`, `index="-3"`), "index"},
		"a boolean that isn't one":    {swap(`isDefault="true"`, `isDefault="yes"`), "isDefault"},
	} {
		if m, err := sp.ReadMetadata([]byte(c.doc), at, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%+v)", name, err, m)
		}
	}
	for name, der := range map[string][]byte{"a weak key": weak.cert.Raw, "another kind of key": other} {
		k, _, _ := keys(t)
		m, err := sp.ReadMetadata([]byte(strings.ReplaceAll(doc, base64.StdEncoding.EncodeToString(k.cert.Raw), base64.StdEncoding.EncodeToString(der))), at, nil)
		if err != nil || len(m.Signing)+len(m.Encryption) != 0 || len(m.Notices) < 3 {
			t.Errorf("%s: %+v: %v", name, m, err)
		}
	}
	m, err := sp.ReadMetadata([]byte(swap(acs, acs+` ResponseLocation="https://x.example"`)), at, nil)
	if err != nil || len(m.Consumers) != 1 {
		t.Errorf("an attribute that isn't known: %v", err)
	}
}

// TestSignedMetadata: with a pinned signer only what it signed is read.
func TestSignedMetadata(t *testing.T) {
	k, _, _ := keys(t)
	el, err := wire.Parse([]byte(document(t)), wire.MetadataLimits)
	must(t, err)
	must(t, wire.Sign(el, k.private, k.cert.Raw))
	b, err := wire.Bytes(el)
	must(t, err)
	pinned := []*x509.Certificate{k.cert}
	m, err := sp.ReadMetadata(b, at, pinned)
	if err != nil || !m.Verified || len(m.Consumers) != 1 {
		t.Errorf("%+v: %v", m, err)
	}
	for name, doc := range map[string]string{
		"unsigned":        document(t),
		"changed":         strings.Replace(string(b), "https://sp.example/acs", "https://evil.test/acs", 1),
		"wrapped":         `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://evil.test" ID="_e">` + string(b) + `</md:EntityDescriptor>`,
		"of another's ID": strings.Replace(string(b), `ID="_m"`, `ID="_n"`, 1),
	} {
		if m, err := sp.ReadMetadata([]byte(doc), at, pinned); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	_, other, _ := keys(t)
	if _, err := sp.ReadMetadata(b, at, []*x509.Certificate{other.cert}); wire.ReasonOf(err) != "signature_invalid" {
		t.Errorf("another signer: %v", err)
	}
}

// FuzzMetadata: whatever is taken keeps the bounds, and a draft of it fails only for what metadata can't say.
func FuzzMetadata(f *testing.F) {
	doc := document(f)
	f.Add([]byte(doc))
	f.Add([]byte(strings.Replace(doc, "validUntil=", `cacheDuration="P1DT2H3M4.5S" validUntil=`, 1)))
	f.Add([]byte(first(f).text()))
	for _, d := range differences(f) {
		p := first(f)
		d.change(&p)
		f.Add([]byte(p.text()))
	}
	old := registered(f)
	f.Add([]byte(strings.ReplaceAll(doc, "https://sp.example/acs", "javascript:alert(1)")))
	f.Add([]byte(`<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="urn:x"/>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := sp.ReadMetadata(data, at, nil)
		if err != nil {
			return
		}
		for _, c := range m.Consumers {
			if !strings.HasPrefix(c.Location, "https://") {
				t.Fatalf("answered at %q", c.Location)
			}
		}
		p := m.Draft(policies.NetworkInternet)
		p.ID, p.Name, p.Sector, p.Least = "sp", "sp", "sp", policies.AssuranceTwo
		if m.Cache < 0 || m.Cache > 10*365*24*time.Hour {
			t.Fatalf("to be kept for %s", m.Cache)
		}
		// What is harmless is signing keys, and none that was there goes.
		changes := sp.Diff(old, p, true)
		if bare := old; !sp.NeedsPerson(changes) {
			bare.Signing = p.Signing
			if same(bare) != same(p) {
				t.Fatalf("harmless: %v\n%s\n%s", changes, same(bare), same(p))
			}
		}
		for _, c := range sp.Diff(old, p, false) {
			if c.Class != sp.ClassPerson {
				t.Fatalf("nobody vouches for %v", c)
			}
		}
		p.Signed = p.Signed && len(p.Signing) > 0
		if err := p.Check(); err != nil && !strings.Contains(err.Error(), "stands there twice") && !strings.Contains(err.Error(), "more than one is the default") &&
			!strings.Contains(err.Error(), "at most 10 certificates") {
			t.Fatalf("%v\n%+v", err, m)
		}
	})
}

// BenchmarkMetadata reads the metadata of 2,000 providers.
func BenchmarkMetadata(b *testing.B) {
	doc := []byte(document(b))
	b.ReportAllocs()
	for b.Loop() {
		for range 2000 {
			if _, err := sp.ReadMetadata(doc, at, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/2000-providers")
}
