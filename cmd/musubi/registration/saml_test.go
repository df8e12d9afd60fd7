package registration_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

const at = int64(1_790_000_000_000_000)

var drawn = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// certificate makes one that ends on a day, counted from at.
func certificate(t testing.TB, days int) []byte {
	t.Helper()
	key, err := drawn()
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMicro(at)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(days) + 10_000), Subject: pkix.Name{CommonName: "sp"}, NotBefore: now.Add(-24 * 400 * time.Hour), NotAfter: now.Add(time.Duration(days) * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// providerOf holds that a profile of SAML becomes a provider that the registry takes, that its notes say what people need, and that it is the same
// when it is written and read again.
func providerOf(t *testing.T, p registration.Profile, r registration.Registration) {
	t.Helper()
	made, err := r.SP()
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	if err := made.Check(); err != nil {
		t.Errorf("%s: %v", p.Name, err)
	}
	if _, err := r.Party(); err == nil {
		t.Errorf("%s: it passes for OpenID", p.Name)
	}
	for _, f := range registration.ReviewSP(made, registration.Surroundings{Released: policies.Attributes()}) {
		if f.Severity == registration.Wrong && !(f.Code == "no_functions" && len(p.Party.Functions) == 0) {
			t.Errorf("%s: %+v", p.Name, f)
		}
	}
	for _, text := range []policies.Text{p.Note, p.Ends} {
		if text.JA == "" || text.EN == "" {
			t.Errorf("%s: notes are missing", p.Name)
		}
	}
	for _, v := range []registration.Value{registration.ValueEntityID, registration.ValueSSO, registration.ValueCertificate} {
		if !slices.ContainsFunc(p.Enter, func(e registration.Entry) bool { return e.Put == v && e.At != "" }) {
			t.Errorf("%s: it isn't said where %s is entered", p.Name, v)
		}
	}
	if made.Vendor != p.Name || made.Signed || made.Initiated {
		t.Errorf("%s: %+v", p.Name, made)
	}
	text, err := registration.Write(registration.OfSP(made))
	if err != nil {
		t.Fatal(err)
	}
	read, err := registration.Read(text)
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.Name, err, text)
	}
	again, err := read.SP()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, again); diff != "" {
		t.Errorf("%s: written and read again (-want +got):\n%s", p.Name, diff)
	}
}

// whole is a provider with everything.
func whole(t testing.TB) sp.SP {
	t.Helper()
	return sp.SP{
		ID: "wiki", Name: "文書", EntityID: "https://wiki.example/saml", Sector: "wiki.example", Sign: sp.SignBoth, NameID: sp.NameIDPersistent, Least: policies.AssuranceCard,
		Signing: [][]byte{certificate(t, 400)}, Signed: true, Encrypt: true, Initiated: false, IgnoreContext: false,
		Encryption: []sp.Encryption{{Certificate: certificate(t, 401), Methods: []string{wire.AES256GCM, wire.OAEP}}},
		Attributes: []sp.Attribute{{Field: sp.FieldEmail, Name: "mail", Format: "urn:oasis:names:tc:SAML:2.0:attrname-format:uri", Friendly: "mail"}},
		Functions:  []policies.Function{policies.FunctionDocuments}, Owner: "011002", Contact: sp.Contact{Name: "情報政策課", Mail: "saml@wiki.example"},
		Intake: sp.IntakeMetadata, Beyond: []string{"https://www.wiki.example"}, Vendor: "generic-saml",
		Faces: []sp.Face{{
			Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://wiki.example/acs", Index: 3, Default: true}},
			Logout: []sp.Endpoint{{Binding: sp.BindingSOAP, Location: "https://wiki.example/slo"}},
		}},
	}
}

// TestProviderWritten: everything of a provider stands in its file, which the schema takes, and comes back.
func TestProviderWritten(t *testing.T) {
	p := whole(t)
	p.Initiated, p.IgnoreContext, p.Products = true, true, []policies.Product{policies.ProductSlack}
	r := registration.OfSP(p)
	if err := valid(t, r); err != nil {
		t.Error(err)
	}
	text, err := registration.Write(r)
	if err != nil {
		t.Fatal(err)
	}
	read, err := registration.Read(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	again, err := read.SP()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, again); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, text)
	}
	// Nothing of SP is forgotten: each of its fields is set here, and so came through the file.
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range spFields() {
		if _, ok := fields[name]; !ok {
			t.Errorf("%s isn't set in this test", name)
		}
	}
	if !strings.Contains(string(text), "binding: soap") || !strings.Contains(string(text), "format: uri") || !strings.Contains(string(text), "name_id: persistent") {
		t.Errorf("the words for long names are missing:\n%s", text)
	}
}

func TestSAMLRead(t *testing.T) {
	for text, want := range map[string]string{"owner: 011002\n": "011002", "owner: \"011002\"\n": "011002", "owner: '011002'\n": "011002", "{\"owner\": \"011002\"}": "011002", "owner: 9C0001\n": "9C0001"} {
		if r, err := registration.Read([]byte(text)); err != nil || string(r.Owner) != want {
			t.Errorf("%q reads as %q: %v", text, r.Owner, err)
		}
	}
	key, err := drawn()
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	good := registration.PEM(certificate(t, 10))
	for name, c := range map[string]struct {
		want   string
		change func(*registration.Registration)
	}{
		"a field of OpenID": {"auth, redirects, scopes: no field", func(r *registration.Registration) {
			r.Auth, r.Scopes = party.AuthNone, []string{"email"}
			r.Networks = map[policies.Network]registration.Face{"lgwan": {Redirects: []string{"x"}}}
		}},
		"an unknown kind of name": {"name_id: ", func(r *registration.Registration) { r.NameID = "kerberos" }},
		"an unknown level":        {"least: ", func(r *registration.Registration) { r.Least = "fingerprint" }},
		"no certificate":          {"signing 1: there is no certificate", func(r *registration.Registration) { r.Signing = []string{"MIIB"} }},
		"a private key": {"this is a private key", func(r *registration.Registration) {
			r.Signing = []string{string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}
		}},
		"two certificates in one text": {"more than one", func(r *registration.Registration) { r.Signing = []string{good + good} }},
		"a broken certificate": {"can't be read", func(r *registration.Registration) {
			r.Encryption = []registration.Encryption{{Certificate: registration.PEM([]byte("x"))}}
		}},
	} {
		r := registration.OfSP(whole(t))
		c.change(&r)
		if _, err := r.SP(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
	r := registration.OfSP(whole(t))
	r.Protocol = ""
	if _, err := r.Party(); err == nil || !strings.Contains(err.Error(), "entity_id") {
		t.Errorf("SAML's fields pass for OpenID: %v", err)
	}
	r = registration.Registration{Protocol: registration.SAML, Provider: registration.Provider{EntityID: "https://{host}/saml"}}
	var gaps registration.GapError
	if _, err := r.Fill(); !errors.As(err, &gaps) || gaps[0] != "host" {
		t.Errorf("a gap in the entity id: %v", err)
	}
}

// TestReviewSP: each fault is found, by its code, and a good registration has none.
func TestReviewSP(t *testing.T) {
	s := registration.Surroundings{At: at, Own: map[policies.Network][]string{policies.NetworkInternet: {"login.example.go.jp:8443"}}, Released: policies.Attributes()}
	if found := registration.ReviewSP(whole(t), s); len(found) > 0 {
		t.Errorf("a good one: %+v", found)
	}
	other := func(change func(*sp.SP)) func(*sp.SP, *registration.Surroundings) {
		return func(_ *sp.SP, s *registration.Surroundings) {
			o := whole(t)
			o.ID, o.Sector, o.EntityID, o.Faces[0].Consumers[0].Location = "other", "other.example", "https://other.example/", "https://other.example/acs"
			change(&o)
			s.SPs = []sp.SP{o}
		}
	}
	consumer := func(location string) func(*sp.SP, *registration.Surroundings) {
		return func(p *sp.SP, _ *registration.Surroundings) { p.Faces[0].Consumers[0].Location = location }
	}
	for name, c := range map[string]struct {
		code   string
		wrong  bool
		change func(*sp.SP, *registration.Surroundings)
	}{
		"the hub's id": {"invalid", true, func(p *sp.SP, _ *registration.Surroundings) { p.ID = party.HubID }},
		"http":         {"invalid", true, consumer("http://wiki.example/acs")},
		"javascript":   {"invalid", true, consumer("javascript:alert(1)")},
		"our own host": {"own_host", true, consumer("https://login.example.go.jp:8443/acs")},
		"our host, logout": {"own_host", true, func(p *sp.SP, _ *registration.Surroundings) {
			p.Faces[0].Logout[0].Location = "https://login.example.go.jp/slo"
		}},
		"a private host": {"private_host", false, consumer("https://10.0.0.1/acs")},
		"no default": {"no_default_consumer", false, func(p *sp.SP, _ *registration.Surroundings) {
			p.Faces[0].Consumers = []sp.Consumer{{Location: "https://wiki.example/acs"}, {Location: "https://wiki.example/acs2", Index: 1}}
		}},
		"a network that isn't served": {"network_not_served", false, func(_ *sp.SP, s *registration.Surroundings) { s.Own = nil }},
		"a host of the internet on LGWAN": {"host_of_the_internet", false, func(p *sp.SP, s *registration.Surroundings) {
			s.Own[policies.NetworkLGWAN] = []string{"login.lgwan.example.go.jp"}
			p.Faces = append(p.Faces, p.Faces[0])
			p.Faces[1].Network = policies.NetworkLGWAN
		}},
		"an expired certificate":   {"certificate_expired", false, func(p *sp.SP, _ *registration.Surroundings) { p.Signing = [][]byte{certificate(t, -1)} }},
		"one that expires":         {"certificate_expires", false, func(p *sp.SP, _ *registration.Surroundings) { p.Encryption[0].Certificate = certificate(t, 20) }},
		"unsigned requests, a key": {"requests_unsigned", false, func(p *sp.SP, _ *registration.Surroundings) { p.Signed = false }},
		"unsigned requests":        {"requests_unsigned", false, func(p *sp.SP, _ *registration.Surroundings) { p.Signed, p.Signing = false, nil }},
		"in the clear, with a key": {"not_encrypted", false, func(p *sp.SP, _ *registration.Surroundings) { p.Encrypt = false }},
		"old encryption":           {"encryption_cbc", false, func(p *sp.SP, _ *registration.Surroundings) { p.Encryption[0].Methods = nil }},
		"named by mail":            {"name_id_email", false, func(p *sp.SP, _ *registration.Surroundings) { p.NameID = sp.NameIDEmail }},
		"named by mail that nobody releases": {"name_id_withheld", true, func(p *sp.SP, s *registration.Surroundings) {
			p.NameID, s.Released = sp.NameIDEmail, []policies.Attribute{policies.AttributeName}
		}},
		"an attribute that nobody releases": {"attribute_never_released", false, func(_ *sp.SP, s *registration.Surroundings) {
			s.Released = []policies.Attribute{policies.AttributeName}
		}},
		"no logout":          {"no_logout", false, func(p *sp.SP, _ *registration.Surroundings) { p.Faces[0].Logout = nil }},
		"no function":        {"no_functions", true, func(p *sp.SP, _ *registration.Surroundings) { p.Functions = nil }},
		"less than the card": {"least_below_card", false, func(p *sp.SP, _ *registration.Surroundings) { p.Least = policies.AssuranceTwo }},
		"our own entity id": {"own_entity", true, func(p *sp.SP, _ *registration.Surroundings) {
			p.EntityID = "https://login.example.go.jp:8443/saml/metadata"
		}},
		"another's entity id": {"entity_taken", true, other(func(o *sp.SP) { o.EntityID = "https://wiki.example/saml" })},
		"a look-alike":        {"entity_look_alike", false, other(func(o *sp.SP) { o.EntityID = "https://www.w1ki.example/saml/" })},
		"a shared sector":     {"shared_sector", false, other(func(o *sp.SP) { o.Sector = "wiki.example" })},
		"a sector shared with OpenID": {"shared_sector", false, func(_ *sp.SP, s *registration.Surroundings) {
			s.Others = []party.Party{{ID: "jira", Sector: "wiki.example"}}
		}},
		"a shared consumer": {"shared_consumer", false, other(func(o *sp.SP) { o.Faces[0].Consumers[0].Location = "https://wiki.example/acs" })},
		"an OpenID party's redirect URI": {"shared_redirect", true, func(_ *sp.SP, s *registration.Surroundings) {
			s.Others = []party.Party{{ID: "jira", Faces: []party.Face{{Redirects: []string{"https://wiki.example/acs"}}}}}
		}},
		"context ignored":    {"context_ignored", false, func(p *sp.SP, _ *registration.Surroundings) { p.IgnoreContext = true }},
		"begun at the hub":   {"initiated", false, func(p *sp.SP, _ *registration.Surroundings) { p.Initiated = true }},
		"nobody to write to": {"no_contact", false, func(p *sp.SP, _ *registration.Surroundings) { p.Contact.Mail = "" }},
		"a vendor unknown":   {"vendor_unknown", false, func(p *sp.SP, _ *registration.Surroundings) { p.Vendor = "zendesk" }},
	} {
		p, around := whole(t), s
		around.Own = map[policies.Network][]string{policies.NetworkInternet: {"login.example.go.jp:8443"}}
		c.change(&p, &around)
		found := registration.ReviewSP(p, around)
		i := slices.IndexFunc(found, func(f registration.Finding) bool { return f.Code == c.code })
		if i < 0 || (found[i].Severity == registration.Wrong) != c.wrong || registration.Failed(found) != c.wrong || found[i].Says.JA == "" || found[i].Says.EN == "" {
			t.Errorf("%s: want %s, error %v; got %+v", name, c.code, c.wrong, found)
		}
	}
	// A successor that is there already is a reason for no warning.
	p := whole(t)
	p.Signing = [][]byte{certificate(t, 5), certificate(t, 700)}
	if found := registration.ReviewSP(p, s); len(found) > 0 {
		t.Errorf("with a successor: %+v", found)
	}
}

// TestSAMLMetadata: metadata goes over a profile; of the formats of names the profile's is kept where the other side lists it.
func TestSAMLMetadata(t *testing.T) {
	p, err := registration.Find("generic-saml")
	if err != nil {
		t.Fatal(err)
	}
	m := sp.Metadata{
		EntityID: "https://wiki.example/saml", Consumers: []sp.Consumer{{Location: "https://wiki.example/acs", Index: 4, Default: true}}, Signed: true,
		Signing: [][]byte{certificate(t, 10)}, Encryption: []sp.Encryption{{Certificate: certificate(t, 10)}}, NameIDs: []sp.NameID{sp.NameIDEmail, sp.NameIDPersistent},
		Logout: []sp.Endpoint{{Binding: sp.BindingPOST, Location: "https://wiki.example/slo"}},
	}
	networks := []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN}
	r, err := p.In(networks).WithMetadata(m).Over(registration.Registration{ID: "wiki", Name: "文書", Sector: "wiki.example"}).Fill()
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.SP()
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Check(); err != nil || made.NameID != sp.NameIDPersistent || !made.Signed || !made.Encrypt || len(made.Faces) != 2 || len(made.Attributes) == 0 {
		t.Errorf("%v: %+v", err, made)
	}
	for _, f := range made.Faces {
		if diff := cmp.Diff(m.Consumers, f.Consumers); diff != "" || len(f.Logout) != 1 {
			t.Errorf("%s: %s", f.Network, diff)
		}
	}
	m.NameIDs = []sp.NameID{sp.NameIDTransient}
	if r := p.In(nil).WithMetadata(m); r.NameID != "transient" {
		t.Errorf("a format that the other side doesn't list: %s", r.NameID)
	}
	m.NameIDs = nil
	if r := p.In(nil).WithMetadata(m); r.NameID != "persistent" {
		t.Errorf("no format is listed: %s", r.NameID)
	}
}

// spFields are the names of the fields of a stored provider.
func spFields() (names []string) {
	for f := range reflect.TypeFor[sp.SP]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
