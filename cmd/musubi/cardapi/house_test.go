package cardapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/musubi-hub/musubi/cmd/musubi/cardapi"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert"
	certpkix "github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	cardHost  = "card.example.test"
	lgwanHost = "card.lgwan.example.test"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// world is what is slow to make: an authority and two cards.
type world struct {
	ca    *testpki.CA
	cards [2]*testpki.Card
	signs *testpki.Card // for signatures, with the first card's key
}

var made = sync.OnceValue(func() world {
	pki := must(testpki.New(testpki.Seeded("cardapi"), testpki.Options{Now: logintest.Start, Generations: 1}))
	w := world{ca: pki.Newest(testpki.AuthTree)}
	for i := range w.cards {
		w.cards[i] = must(w.ca.Issue(testpki.Holder{}, logintest.Start))
	}
	w.signs = must(pki.Newest(testpki.SignTree).Issue(testpki.Holder{Key: w.cards[0].Key}, logintest.Start))
	return w
})

type issuer struct{ logins []identity.Login }

func (i *issuer) Finish(_ context.Context, _ *sql.Tx, _ login.Request, l identity.Login) (login.Answer, error) {
	i.logins = append(i.logins, l)
	return login.Answer{Location: "https://rp.example.test/"}, nil
}

func (i *issuer) Refuse(context.Context, *sql.Tx, login.Request, login.Refusal) (login.Answer, error) {
	return login.Answer{Location: "https://rp.example.test/"}, nil
}

type parties struct{}

func (parties) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	return policies.RelyingParty{
		ID: id, Functions: []policies.Function{policies.FunctionQuestionnaire}, Networks: []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN},
	}, nil
}

// house is a hub with people, cards and lists, and the handler in front of it.
type house struct {
	*logintest.World
	*login.Dispatcher
	t      testing.TB
	api    http.Handler
	issuer *issuer
	spec   *openapi3.T
	lists  *mynumber.Lists
	links  *mynumber.Links
	number uint64
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db)) })
}

// oneHouse is for tests whose answers no database changes.
func oneHouse(t *testing.T) *house {
	t.Helper()
	return newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
}

func newHouse(t *testing.T, db *sqldb.DB) *house {
	t.Helper()
	h := &house{World: logintest.New(t, db, mynumber.Migration(), login.Migration()), t: t, issuer: &issuer{}}
	h.spec = must(openapi3.NewLoader().LoadFromData(must(os.ReadFile("../../../docs/card.openapi.yaml"))))
	if err := h.spec.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var profile *cert.Profile
	for _, c := range cert.Profiles() {
		if c.Name == cert.JPKIAuthTest {
			profile = must(cert.NewProfile(c))
		}
	}
	anchors := must(cert.ParseAnchors([][]byte{made().ca.Raw, made().signs.CA.Raw})) // the other tree in the same folder, as it happens
	h.lists = must(mynumber.NewLists(profile, anchors))
	h.publish()
	h.links = must(mynumber.NewLinks(db, bytes.Repeat([]byte{7}, 32), h.Resolver))
	method := must(mynumber.New(mynumber.Config{
		Verifier: must(mynumber.NewLocal(profile, anchors, h.lists, mynumber.NewChallenges(db, rand.Reader))), Links: h.links, Path: "/login/card",
		Hosts:       map[policies.Network]string{policies.NetworkInternet: "https://" + cardHost, policies.NetworkLGWAN: "https://" + lgwanHost},
		OriginBound: true, // so that a proof opens something
	}))
	both := []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN}
	h.Dispatcher = must(login.New(login.Config{
		DB: db, Now: h.Now, Random: rand.Reader, People: h.Resolver, Posts: h.Posts, Policy: h.Engine, Sessions: h.Sessions, Parties: parties{},
		Offers:  map[identity.MethodID]login.Offer{identity.MethodCard: {Method: method, Reach: policies.AssuranceCard, Networks: both, Use: login.UseLogin}},
		Issuers: map[identity.IssuerID]login.Issuer{identity.IssuerOIDC: h.issuer},
		ReturnTo: func(n policies.Network, id identity.LoginID, code string) string {
			return "https://" + string(n) + ".example.test/login/" + string(id) + "/return?code=" + code
		},
	}))
	h.api = must(cardapi.New(cardapi.Config{
		Tickets: h.Dispatcher, Method: method, Schemes: profile.Config().ChallengeSchemes, Log: slog.New(slog.DiscardHandler),
		Visit: func(r *http.Request) (login.Visit, bool) {
			n, ok := map[string]policies.Network{cardHost: policies.NetworkInternet, lgwanHost: policies.NetworkLGWAN}[r.Host]
			return login.Visit{Network: n, Address: "192.0.2.7"}, ok
		},
	}))
	err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return h.links.Link(ctx, tx, logintest.Local, h.credential(made().cards[0]), h.Now().UnixMicro())
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) credential(c *testpki.Card) string {
	parsed := must(certpkix.ParseCertificate(c.Raw))
	return h.links.Credential(mynumber.Card{Issuer: parsed.Issuer.Canonical(), IssuerKey: c.CA.SPKI, Serial: parsed.Serial})
}

func (h *house) publish(revoked ...testpki.Entry) {
	h.t.Helper()
	h.number++
	l := made().ca.List(h.number, h.Now().Add(time.Duration(h.number)*time.Second))
	l.Entries = revoked
	if _, err := h.lists.Poll(h.t.Context(), fstest.MapFS{"a.crl": {Data: l.Der(made().ca.Key), ModTime: time.Now()}}, h.Now()); err != nil {
		h.t.Fatal(err)
	}
}

// begin starts a login in a browser of its own and gives the card's ticket.
func (h *house) begin(n policies.Network) (login.Visit, string) {
	h.t.Helper()
	r, browser, err := h.Start(h.t.Context(), login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: "survey", Network: n}, session.Secret{})
	if err != nil {
		h.t.Fatal(err)
	}
	v := login.Visit{ID: r.ID, Browser: browser, Network: n}
	next := must(h.View(h.t.Context(), v))
	next = must(h.Begin(h.t.Context(), v, next.Form, identity.MethodCard))
	u := must(url.Parse(next.Instruction.Location))
	return v, u.Query().Get("ticket")
}

type document struct {
	Title, Code, Cause, Field, Incident string
	Status                              int

	Message, Nonce    []byte
	RelyingParty      string `json:"relying_party"`
	Purpose, Location string
	Issued, Expires   time.Time
	Schemes           []string
	Schema            string
}

// send posts a document and holds the answer to the contract.
func (h *house) send(host, path string, body any, change ...func(*http.Request)) (int, document) {
	h.t.Helper()
	raw, isText := body.(string)
	if !isText {
		raw = string(must(json.Marshal(body)))
	}
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodPost, "https://"+host+path, strings.NewReader(raw))
	r.Header.Set("Content-Type", "application/json")
	for _, fn := range change {
		fn(r)
	}
	w := httptest.NewRecorder()
	h.api.ServeHTTP(w, r)
	answer := must(io.ReadAll(w.Result().Body))
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		h.t.Errorf("%s: Cache-Control %q", path, got)
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		h.t.Errorf("%s: another site may read the answer", path)
	}
	if item := h.spec.Paths.Value(path); item != nil {
		response := item.Post.Responses.Value(strconv.Itoa(w.Code))
		if response == nil {
			response = item.Post.Responses.Default()
		}
		content := response.Value.Content.Get(w.Header().Get("Content-Type"))
		if content == nil {
			h.t.Fatalf("%s: %d with %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		var v any
		if err := json.Unmarshal(answer, &v); err != nil {
			h.t.Fatalf("%s: %v: %s", path, err, answer)
		}
		if err := content.Schema.Value.VisitJSON(v, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
			h.t.Errorf("%s: %d isn't as the contract says: %v\n%s", path, w.Code, err, answer)
		}
	}
	var d document
	if err := json.Unmarshal(answer, &d); err != nil {
		h.t.Fatalf("%s: %v: %s", path, err, answer)
	}
	return w.Code, d
}

func (h *house) challenge(ticket string) document {
	h.t.Helper()
	status, d := h.send(cardHost, cardapi.ChallengePath, map[string]string{"ticket": ticket})
	if status != http.StatusOK {
		h.t.Fatalf("challenge: %d %+v", status, d)
	}
	return d
}

// answered is a response to a challenge.
type answered struct {
	Ticket      string `json:"ticket"`
	Nonce       []byte `json:"nonce"`
	Certificate []byte `json:"certificate"`
	Scheme      string `json:"scheme"`
	Signature   []byte `json:"signature"`
}

func sign(ticket string, d document, c *testpki.Card) answered {
	return answered{ticket, d.Nonce, c.Raw, "rsa-sha256", testpki.Challenge(c.Key, d.Message)}
}

// refused holds that a response is refused with a code and a cause, gives no address, and is on record by its incident number.
func (h *house) refused(what, host string, a answered, code, cause string) {
	h.t.Helper()
	status, d := h.send(host, cardapi.ResponsePath, a)
	if status != http.StatusForbidden || d.Code != code || d.Cause != cause || d.Location != "" {
		h.t.Errorf("%s: %d %+v; want %s %s", what, status, d, code, cause)
		return
	}
	rows := h.Audit(h.t, audit.Filter{ID: d.Incident})
	if len(rows) != 1 || rows[0].Outcome != audit.Refused || !strings.HasPrefix(rows[0].Reason, code) {
		h.t.Errorf("%s: incident %s finds %+v", what, d.Incident, rows)
	}
}
