package samlidp_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // of attacks
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	origin      = "https://login.musubi.example"
	originLGWAN = "https://login.musubi.lgwan.example"
	sso         = origin + "/saml/sso"
	acs         = "https://sp.example/acs"
)

var start = time.Unix(1_790_000_000, 0)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is a service provider's key with its certificate.
type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// made is what takes long to make: the hub's keys and those of two providers.
var made struct {
	once sync.Once
	seal *keys.SealingKey
	rows [][]any
	sps  [2]pair
}

func makeKeys(t testing.TB) {
	t.Helper()
	for i := range made.sps {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		must(t, err)
		cert, err := x509.ParseCertificate(der)
		must(t, err)
		made.sps[i] = pair{key, cert}
	}
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	must(t, db.Migrate(t.Context(), keys.Migration()))
	var err error
	made.seal, err = keys.NewSealingKey(rand.Reader)
	must(t, err)
	ring, err := keys.New(db, keys.Options{Sealing: made.seal, Specs: samlidp.Specs(), Now: func() time.Time { return start }, Random: rand.Reader})
	must(t, err)
	must(t, ring.Ensure(t.Context(), noRecord))
	rows, err := db.Reader().QueryContext(t.Context(), `SELECT id, purpose, algorithm, state, public, sealed, created_at, activated_at, retired_at FROM signing_key`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var text [6]string
		var at [3]int64
		must(t, rows.Scan(&text[0], &text[1], &text[2], &text[3], &text[4], &text[5], &at[0], &at[1], &at[2]))
		made.rows = append(made.rows, []any{text[0], text[1], text[2], text[3], text[4], text[5], at[0], at[1], at[2]})
	}
	must(t, rows.Err())
}

func noRecord(context.Context, *sql.Tx, string, keys.Key) error { return nil }

// house is a provider with a clock that the test moves, and a dispatcher that logs in whom the test names.
type house struct {
	t        testing.TB
	db       *sqldb.DB
	ring     *keys.Ring
	registry *sp.Registry
	subjects *ppid.Store
	provider *samlidp.Provider
	handler  map[policies.Network]http.Handler
	own, two pair         // of "app", of "other"
	micros   atomic.Int64 // since start
	nextID   atomic.Int64

	mu      sync.Mutex
	login   identity.Login // whom the dispatcher logs in
	refusal login.Reason   // it refuses instead
	asks    []login.Ask
	browser *session.Session
	log     strings.Builder
	group   bool                                                           // the dispatcher shares commits, as a busy one does
	open    func(ctx context.Context, tx *sql.Tx, l *identity.Login) error // it opens a session; nil: that of login
	ends    ends                                                           // of sessions
}

var operator, _ = access.BreakGlass("operator")

func newHouse(t testing.TB, db *sqldb.DB) *house {
	t.Helper()
	return newHouseWith(t, db, func(*samlidp.Options) {})
}

func newHouseWith(t testing.TB, db *sqldb.DB, change func(*samlidp.Options)) *house {
	t.Helper()
	for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), keys.Migration(), ppid.Migration(), sp.Migration(), samlidp.Migration()} {
		must(t, db.Migrate(t.Context(), m))
	}
	made.once.Do(func() { makeKeys(t) })
	for _, row := range made.rows {
		_, err := db.Writer().ExecContext(t.Context(), `INSERT INTO signing_key (id, purpose, algorithm, state, public, sealed, created_at, activated_at, retired_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, row...)
		must(t, err)
	}
	h := &house{t: t, db: db, registry: sp.NewRegistry(db), handler: map[policies.Network]http.Handler{}, own: made.sps[0], two: made.sps[1]}
	var err error
	h.ring, err = keys.New(db, keys.Options{Sealing: made.seal, Specs: samlidp.Specs(), Now: h.now, Random: rand.Reader})
	must(t, err)
	h.subjects, err = ppid.New(made.seal, rand.Reader)
	must(t, err)
	opt := options(h)
	change(&opt)
	h.provider, err = samlidp.New(opt)
	must(t, err)
	for _, n := range []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN} {
		h.handler[n], err = h.provider.Handler(n)
		must(t, err)
	}
	h.login = identity.Login{
		Session: "s1", Person: "p1", Org: "011002", Assurance: policies.AssuranceCard, AMR: []string{"hwk", "mfa", "pin", "sc"},
		AuthAt: start.Add(-time.Minute).UnixMicro(), Release: policies.Attributes(), PolicyHash: "hash",
	}
	h.register("app", func(p *sp.SP) { p.Signed, p.Signing = true, [][]byte{h.own.cert.Raw} })
	h.register("other", func(p *sp.SP) { p.Sector, p.Signing = "other.example", [][]byte{h.two.cert.Raw} })
	h.register("mail", func(p *sp.SP) { p.NameID, p.Initiated = sp.NameIDEmail, true })
	h.register("sealed", func(p *sp.SP) {
		p.NameID, p.Encrypt = sp.NameIDTransient, true
		p.Encryption = []sp.Encryption{{Certificate: h.own.cert.Raw}}
	})
	return h
}

// options are those of the house's provider.
func options(h *house) samlidp.Options {
	return samlidp.Options{
		DB: h.db, Keys: h.ring, Sealing: made.seal, Parties: h.registry, Subjects: h.subjects, People: h, Browser: h, Pages: pages{}, Start: h.begin,
		Sessions: h, Others: h, Enqueue: h, Transport: h,
		Origins: map[policies.Network]string{policies.NetworkInternet: origin, policies.NetworkLGWAN: originLGWAN},
		Now:     h.now, Random: rand.Reader, Logger: slog.New(slog.NewTextHandler(h, nil)),
	}
}

// register adds a provider, with what most of them share.
func (h *house) register(id policies.RelyingPartyID, change func(*sp.SP)) {
	h.t.Helper()
	p := h.party(id)
	change(&p)
	must(h.t, h.registry.Add(h.t.Context(), operator, p, h.now().UnixMicro()))
}

func (h *house) party(id policies.RelyingPartyID) sp.SP {
	p := sp.SP{
		ID: id, Name: "試験アプリ " + string(id), EntityID: entityOf(id), Sector: "sp.example", Sign: sp.SignBoth, NameID: sp.NameIDPersistent, Least: policies.AssuranceTwo,
		Attributes: []sp.Attribute{
			{Field: sp.FieldEmail, Name: "urn:oid:0.9.2342.19200300.100.1.3", Format: "urn:oasis:names:tc:SAML:2.0:attrname-format:uri", Friendly: "mail"},
			{Field: sp.FieldDisplayName, Name: "displayName"},
			{Field: sp.FieldOrg, Name: "org"},
			{Field: sp.FieldTitle, Name: "title"},
			{Field: sp.FieldExtension, Name: "extension"},
		},
		Functions: policies.Functions()[:1],
	}
	for _, n := range []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN} {
		p.Faces = append(p.Faces, sp.Face{Network: n, Consumers: []sp.Consumer{
			{Location: acs, Index: 0}, {Location: acs + "?tenant=2", Index: 7, Default: true},
		}})
	}
	return p
}

func entityOf(id policies.RelyingPartyID) string {
	return "https://" + string(id) + ".example/metadata"
}

func (h *house) now() time.Time          { return start.Add(time.Duration(h.micros.Load()) * time.Microsecond) }
func (h *house) forward(d time.Duration) { h.micros.Add(d.Microseconds()) }

// Write takes what is logged.
func (h *house) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(b)
}

// Person implements samlidp.People.
func (h *house) Person(_ context.Context, person policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error) {
	return identity.Person{
			ID: person, Org: "011002", FamilyName: "試験", GivenName: "<" + string(person) + ">", Email: string(person) + "@city.example", Section: "情報課", Title: "主任",
			Role: policies.RoleGeneral,
		},
		identity.Organization{ID: org, Kind: "municipality", Name: "試験市"}, nil
}

// Current implements samlidp.Browser.
func (h *house) Current(*http.Request) (session.Session, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.browser == nil {
		return session.Session{}, false, nil
	}
	return *h.browser, true, nil
}

// begin stands in for the dispatcher: it logs h.login in at once, or refuses.
func (h *house) begin(w http.ResponseWriter, r *http.Request, ask login.Ask) {
	h.mu.Lock()
	l, refusal := h.login, h.refusal
	h.asks = append(h.asks, ask)
	h.mu.Unlock()
	l.RelyingParty, l.Network = ask.RelyingParty, ask.Network
	var a login.Answer
	write := h.db.WithTx
	if h.group {
		write = h.db.Group
	}
	err := write(r.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		if h.open != nil {
			if err := h.open(ctx, tx, &l); err != nil {
				return err
			}
		}
		if refusal != "" {
			a, err = h.provider.Refuse(ctx, tx, login.Request{Ask: ask}, login.Refusal{Reason: refusal, Incident: "261201-7K2M-9QXD-4RTB"})
			return err
		}
		a, err = h.provider.Finish(ctx, tx, login.Request{Ask: ask}, l)
		return err
	})
	if err == nil {
		a, err = a.Made()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	pages{}.Form(w, r, a)
}

// pages writes what would be shown in headers.
type pages struct{}

func (pages) Problem(w http.ResponseWriter, _ *http.Request, p samlidp.Problem) {
	w.Header().Set("X-Problem", p.Reason)
	w.Header().Set("X-Incident", p.Incident)
	w.WriteHeader(p.Status)
}

func (pages) Form(w http.ResponseWriter, _ *http.Request, a login.Answer) {
	w.Header().Set("X-To", a.Location)
	w.Header().Set("X-Beyond", strings.Join(a.Beyond, " "))
	for _, f := range a.Form {
		w.Header().Set("X-"+f[0], url.QueryEscape(f[1]))
	}
	w.WriteHeader(http.StatusOK)
}

// result is what came of a request.
type result struct {
	status   int
	problem  string
	incident string
	to       string
	relay    string
	beyond   string // where the provider may lead on to
	doc      string // the response
	body     string
}

// serve asks the handler, and comes again for a request by POST that waits for it.
func (h *house) serve(n policies.Network, r *http.Request) result {
	w := httptest.NewRecorder()
	h.handler[n].ServeHTTP(w, r)
	if to := w.Header().Get("Location"); w.Code == http.StatusSeeOther && strings.HasPrefix(to, origin+"/saml/continue?") {
		again := httptest.NewRequest(http.MethodGet, to, nil)
		for _, c := range w.Result().Cookies() {
			again.AddCookie(c)
		}
		w = httptest.NewRecorder()
		h.handler[n].ServeHTTP(w, again)
	}
	relay, err := url.QueryUnescape(w.Header().Get("X-RelayState"))
	must(h.t, err)
	return result{
		w.Code, w.Header().Get("X-Problem"), w.Header().Get("X-Incident"), w.Header().Get("X-To"), relay, w.Header().Get("X-Beyond"), decode(h.t, w.Header().Get("X-SAMLResponse")), w.Body.String(),
	}
}

// decode reads a message as pages wrote it.
func decode(t testing.TB, header string) string {
	t.Helper()
	text, err := url.QueryUnescape(header)
	must(t, err)
	doc, err := base64.StdEncoding.DecodeString(text)
	must(t, err)
	return string(doc)
}

func (h *house) get(target string) result {
	return h.serve(policies.NetworkInternet, httptest.NewRequest(http.MethodGet, target, nil))
}

func (h *house) redirect(query string) result { return h.get(sso + "?" + query) }

func (h *house) post(form string) result {
	r := httptest.NewRequest(http.MethodPost, sso, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return h.serve(policies.NetworkInternet, r)
}

// ask makes an AuthnRequest, with an ID of its own and what most of them have; attributes are changed or taken out (by an empty text), and more
// elements are put in.
func (h *house) ask(id policies.RelyingPartyID, attributes map[string]string, more ...string) string {
	all := map[string]string{
		"ID": fmt.Sprintf("_r%d", h.nextID.Add(1)), "Version": "2.0", "IssueInstant": h.now().UTC().Format("2006-01-02T15:04:05Z"), "Destination": sso,
		"AssertionConsumerServiceURL": acs, "ProtocolBinding": sp.BindingPOST,
	}
	for k, v := range attributes {
		all[k] = v
	}
	el := etree.NewElement("samlp:AuthnRequest")
	el.CreateAttr("xmlns:samlp", wire.NSProtocol)
	el.CreateAttr("xmlns:saml", wire.NSAssertion)
	for _, k := range []string{
		"ID", "Version", "IssueInstant", "Destination", "AssertionConsumerServiceURL", "AssertionConsumerServiceIndex", "ProtocolBinding", "ForceAuthn", "IsPassive",
	} {
		if all[k] != "" {
			el.CreateAttr(k, all[k])
		}
	}
	el.CreateElement("saml:Issuer").SetText(entityOf(id))
	b, err := wire.Bytes(el)
	must(h.t, err)
	return strings.Replace(string(b), "</samlp:AuthnRequest>", strings.Join(more, "")+"</samlp:AuthnRequest>", 1)
}

func deflate(doc string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(doc))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// query makes a redirect's query, signed where by has a key.
func query(doc, relay string, by pair) string {
	q := "SAMLRequest=" + url.QueryEscape(deflate(doc))
	if relay != "" {
		q += "&RelayState=" + url.QueryEscape(relay)
	}
	if by.key == nil {
		return q
	}
	q += "&SigAlg=" + url.QueryEscape(wire.RSASHA256)
	return q + "&Signature=" + url.QueryEscape(signature(q, by))
}

func signature(octets string, by pair) string { return signatureBy(crypto.SHA256, octets, by) }

func signatureBy(hash crypto.Hash, octets string, by pair) string {
	w := hash.New()
	w.Write([]byte(octets))
	sig, err := rsa.SignPKCS1v15(rand.Reader, by.key, hash, w.Sum(nil))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// signedDoc puts a signature into a request.
func signedDoc(t testing.TB, doc string, by pair) string {
	t.Helper()
	el, err := wire.Parse([]byte(doc), wire.MessageLimits)
	must(t, err)
	must(t, wire.Sign(el, by.key, by.cert.Raw))
	b, err := wire.Bytes(el)
	must(t, err)
	return string(b)
}

// signedSHA1 is a request that is well signed, by the algorithms of 2005.
func signedSHA1(t testing.TB, doc string, by pair) string {
	t.Helper()
	el, err := wire.Parse([]byte(doc), wire.MessageLimits)
	must(t, err)
	c, err := dsig.NewSigningContext(by.key, [][]byte{by.cert.Raw})
	must(t, err)
	c.Hash = crypto.SHA1
	c.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	must(t, c.SetSignatureMethod(dsig.RSASHA1SignatureMethod))
	sig, err := c.ConstructSignature(el, true)
	must(t, err)
	el.InsertChildAt(1, sig)
	b, err := wire.Bytes(el)
	must(t, err)
	return string(b)
}

// signedVoid is a request with a namespace that some canonicalizers fail at. They go on with nothing in its place: of nothing anybody knows the digest,
// and many have a signature.
func signedVoid(t testing.TB, doc string, by pair) string {
	t.Helper()
	part := func(doc, from, to string) string {
		_, rest, _ := strings.Cut(doc, from)
		value, _, found := strings.Cut(rest, to)
		if !found {
			t.Fatalf("no %s in %s", from, doc)
		}
		return value
	}
	signed := signedDoc(t, doc, by)
	none := sha256.Sum256(nil)
	signed = strings.Replace(signed, part(signed, "<ds:DigestValue>", "</"), base64.StdEncoding.EncodeToString(none[:]), 1)
	signed = strings.Replace(signed, part(signed, "<ds:SignatureValue>", "</"), signature("", by), 1)
	return strings.Replace(signed, " ID=", ` xmlns:void="1" ID=`, 1)
}

func form(doc, relay string) string {
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(doc))}, "RelayState": {relay}}.Encode()
}

// certificates gives those of the published metadata, the active one first.
func (h *house) certificates() (out []*x509.Certificate) {
	h.t.Helper()
	r := h.get(origin + "/saml/metadata")
	el, err := wire.Parse([]byte(r.body), wire.MetadataLimits)
	must(h.t, err)
	for _, c := range el.FindElements("./IDPSSODescriptor/KeyDescriptor//X509Certificate") {
		der, err := base64.StdEncoding.DecodeString(c.Text())
		must(h.t, err)
		cert, err := x509.ParseCertificate(der)
		must(h.t, err)
		out = append(out, cert)
	}
	return out
}

// opened checks a response's own signature by the published key and gives what was signed.
func (h *house) opened(t testing.TB, r result) *etree.Element {
	t.Helper()
	el, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
	if err != nil {
		t.Fatalf("%v: %+v\n%s", err, r, h.log.String())
	}
	// The assertion's signature is one more than wire takes in a message from others.
	for _, a := range wire.Children(el, wire.NSAssertion, "Assertion") {
		for _, s := range wire.Children(a, wire.NSSignature, "Signature") {
			alone := a.Copy()
			if _, err := wire.Verify(alone, h.certificates()[:1]); err != nil {
				t.Fatalf("the assertion's signature: %v\n%s", err, r.doc)
			}
			_ = s
		}
	}
	return el
}

// path gives the text at a path, or of an attribute where the path ends in @NAME.
func path(t testing.TB, el *etree.Element, at string) string {
	t.Helper()
	at, attr, isAttr := strings.Cut(at, "@")
	found := el
	if at != "" {
		if found = el.FindElement("./" + strings.TrimSuffix(at, "/")); found == nil {
			return ""
		}
	}
	if isAttr {
		return wire.Attr(found, attr)
	}
	return wire.Text(found)
}

// refused runs do and reports whether it was refused by a page with this reason, leaving a row, a number and a line in the log.
func (h *house) refused(t testing.TB, what, reason string, do func() result) {
	t.Helper()
	if said := h.outcome(attack{reason, do}); said != "" {
		t.Errorf("%s: %s", what, said)
	}
}

// outcome runs an attack and says in what it wasn't refused as it has to be; empty where it was.
func (h *house) outcome(a attack) string {
	h.forward(time.Second) // each try has a second of its own: how many are recorded in one isn't what is tested
	h.mu.Lock()
	h.log.Reset()
	h.mu.Unlock()
	r := a.do()
	if r.problem != a.reason || r.status < 400 || r.doc != "" || r.to != "" || r.incident == "" {
		return fmt.Sprintf("%+v, want %s", r, a.reason)
	}
	var n int
	must(h.t, h.db.Reader().QueryRowContext(h.t.Context(), `SELECT COUNT(*) FROM audit_row WHERE id = $1 AND outcome = 'refused' AND reason = $2`, r.incident, a.reason).Scan(&n))
	h.mu.Lock()
	defer h.mu.Unlock()
	if n != 1 || !strings.Contains(h.log.String(), "reason="+a.reason) {
		return fmt.Sprintf("%d audit rows, and the log says %q", n, h.log.String())
	}
	return ""
}

// each runs a test on both databases.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db)) })
}

// once runs a test that is about messages, not about what is kept, on one database.
func once(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	fn(t, newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t))))
}
