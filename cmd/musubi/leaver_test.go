package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/gate"
	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// town is a hub of one or more nodes with a login, one relying party, and test cards for some people of a city.
type town struct {
	*install
	t        *testing.T
	set      *testcard.Set
	issuer   string
	nodes    []string // addresses of the sockets; all nodes have the same hosts
	redirect string
	secret   string
	lgwan    string                                      // address of the first node's socket for LGWAN; empty without
	more     func(h *boot.Hub, actor access.Actor) error // what is registered beside the relying party; nil for nothing

	mu      sync.Mutex
	logouts []string // logout tokens that the relying party got
}

// The cards of the town: how each of these people is put out.
var townCards = []testcard.Holder{
	{ID: "leaves", Org: sapporo, OrgName: "札幌市", Staff: "S00002", Name: "退職する人", About: "退職する人", AboutEN: "leaves"},
	{ID: "released", Org: sapporo, OrgName: "札幌市", Staff: "S00003", Name: "解除される人", About: "カードを解除される人", AboutEN: "their card is released"},
	{ID: "revoked-later", Org: sapporo, OrgName: "札幌市", Staff: "S00004", Name: "失効する人", About: "カードが失効する人", AboutEN: "their card is revoked"},
}

func newTown(t *testing.T, i *install, nodes int) *town {
	t.Helper()
	w := &town{install: i, t: t}
	w.build(nodes)
	i.start(t, "serve").match(t, `(serving: https)`)
	return w
}

// build makes everything but the first node's process.
func (w *town) build(nodes int) {
	t, i := w.t, w.install
	t.Helper()
	i.begin(t)
	i.fill(t, 5, hokkaido, sapporo)
	var err error
	w.set, err = testcard.Open(testcard.Options{
		Dir: i.path("card"), Now: time.Now(), Random: rand.Reader, Hosts: []string{demoLoginHost, demoCardHost, "login." + lgwanHosts, "card." + lgwanHosts}, Holders: townCards,
	})
	noError(t, err)
	relying := httptest.NewTLSServer(http.HandlerFunc(w.logout))
	t.Cleanup(relying.Close)
	ca := i.path("relying-ca.pem")
	noError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: relying.Certificate().Raw}), 0o600))
	w.redirect = relying.URL + "/callback"

	var first net.Listener
	for n := range nodes {
		l, err := gate.Listen(t.Context(), "127.0.0.1:0")
		noError(t, err)
		if n == 0 {
			first = l
			w.issuer = at(demoLoginHost, l)
		}
		w.nodes = append(w.nodes, l.Addr().String())
		noError(t, l.Close())
	}
	values := map[string]string{
		"database": "sqlite:musubi.db", "listen": "127.0.0.1:0", "keys.sealing_key_file": i.path("keys", "sealing.key"),
		"internet.login_host": hostAt(demoLoginHost, first), "internet.card_host": hostAt(demoCardHost, first),
		"internet.certificate_file": w.set.Files.Server, "internet.key_file": w.set.Files.Server, "backchannel.ca_file": ca,
		"card.profile": cert.JPKIAuthTest, "card.anchors_file": w.set.Files.Anchors, "card.crl_folder": w.set.Files.Lists, "card.crl_every": "1",
	}
	if i.database != "" {
		values["database"] = i.database
	}
	if w.lgwan != "" {
		for key, value := range map[string]string{
			"login_host": "login." + lgwanHosts, "card_host": "card." + lgwanHosts, "listen": w.lgwan, "certificate_file": w.set.Files.Server, "key_file": w.set.Files.Server,
		} {
			values["lgwan."+key] = value
		}
	}
	for n, address := range w.nodes {
		values["internet.listen"] = address
		dir := i.data
		if n > 0 {
			dir = t.TempDir()
		} else {
			noError(t, config.Save(dir, values))
			w.prepare(relying.URL)
			continue
		}
		noError(t, config.Save(dir, values))
		(&install{data: dir, database: i.database}).start(t, "serve").match(t, `(serving: https)`)
	}
}

// lgwanHosts is below what the hosts of a town's LGWAN are.
const lgwanHosts = "lgwan.localhost"

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// prepare registers the relying party and links the cards, beside no serving hub.
func (w *town) prepare(relying string) {
	t := w.t
	t.Helper()
	loaded, err := config.Load(config.Source{Data: w.data})
	noError(t, err)
	h, err := boot.OpenHub(t.Context(), boot.Options{Data: w.data, Config: loaded.Config, Work: true, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	noError(t, err)
	defer func() { noError(t, h.Close()) }()
	actor, err := h.Actor(t.Context(), w.planner())
	noError(t, err)
	accounts, err := h.Accounts(t.Context())
	noError(t, err)
	text, kept, err := party.NewSecret(rand.Reader)
	noError(t, err)
	w.secret = text
	noError(t, h.Parties.Put(t.Context(), actor, party.Party{
		ID: "desk", Name: "desk", Sector: "127.0.0.1", Auth: party.AuthSecretBasic, Secrets: []party.Secret{kept}, Alg: jose.ES256, Refresh: true,
		Least: policies.AssuranceCard, Scopes: []string{"profile"}, Functions: []policies.Function{policies.FunctionInquiries},
		Faces: []party.Face{{Network: policies.NetworkInternet, Redirects: []string{w.redirect}, Backchannel: relying + "/logout"}},
	}, false, time.Now().UnixMicro()))
	if w.more != nil {
		noError(t, w.more(h, actor))
	}
	for _, c := range w.set.Cards {
		p, err := h.Directory.FindPerson(t.Context(), policies.System(policies.TaskBootstrap), c.Org, c.Staff)
		noError(t, err)
		number, err := w.set.Number(c)
		noError(t, err)
		noError(t, h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return accounts.Links.Link(ctx, tx, p.ID, accounts.Links.Credential(number), time.Now().UnixMicro())
		}))
	}
}

// logout is the relying party's end point of back-channel logouts.
func (w *town) logout(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/logout" || r.ParseForm() != nil {
		http.NotFound(rw, r)
		return
	}
	w.mu.Lock()
	w.logouts = append(w.logouts, r.PostForm.Get("logout_token"))
	w.mu.Unlock()
	rw.WriteHeader(http.StatusNoContent)
}

// browser is somebody's, with its cookies. node says which node answers it.
type browser struct {
	w      *town
	client *http.Client
	node   int
}

func (w *town) browser() *browser {
	jar, err := cookiejar.New(nil)
	noError(w.t, err)
	b := &browser{w: w}
	b.client = &http.Client{Jar: jar, Timeout: patient, Transport: w.way(b), CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.redirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// way leads every host of the hub to the browser's node.
func (w *town) way(b *browser, cards ...tls.Certificate) http.RoundTripper {
	tr := w.set.Transport(cards...).(*http.Transport)
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(address); strings.HasSuffix(host, "."+lgwanHosts) {
			return (&net.Dialer{}).DialContext(ctx, network, w.lgwan)
		}
		return (&net.Dialer{}).DialContext(ctx, network, w.nodes[b.node])
	}
	return tr
}

func (b *browser) do(method, address string, form url.Values) (*http.Response, string) {
	t := b.w.t
	t.Helper()
	var in io.Reader
	if form != nil {
		in = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, in)
	noError(t, err)
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := b.client.Do(r)
	noError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	noError(t, err)
	return resp, string(text)
}

// enter logs in at the relying party with a card and gives its tokens.
func (b *browser) enter(card string) (tokens map[string]any) {
	w, t := b.w, b.w.t
	t.Helper()
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	_, page := b.do(http.MethodGet, w.issuer+"/oidc/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {w.redirect}, "scope": {"openid profile"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil)
	back, page := b.prove(w.issuer, page, card)
	to, err := url.Parse(back.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" || to.Query().Get("iss") != w.issuer {
		t.Fatalf("no code: %d %v\n%s", back.StatusCode, to, page)
	}
	status, tokens := b.api("/oidc/token", url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {w.redirect}, "code_verifier": {verifier}}, "")
	if status != http.StatusOK {
		t.Fatalf("no tokens: %d %v", status, tokens)
	}
	return tokens
}

// prove goes on from a page that asks for a card, at a login host, with the card.
func (b *browser) prove(origin, page, card string) (*http.Response, string) {
	w, t := b.w, b.w.t
	t.Helper()
	action, fields := visitor{t: t}.formOf(page, "/begin")
	_, page = b.do(http.MethodPost, origin+action, fields)
	on := regexp.MustCompile(`href="(https://card\.[^"]+)"`).FindStringSubmatch(page)
	if on == nil {
		t.Fatalf("no way to the card host:\n%s", page)
	}
	c, ok := w.set.Card(card)
	if !ok {
		t.Fatalf("no card %s", card)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, html.UnescapeString(on[1]), nil)
	noError(t, err)
	proved, err := w.way(b, c.TLS).RoundTrip(r)
	noError(t, err)
	text, _ := io.ReadAll(proved.Body)
	_ = proved.Body.Close()
	if proved.StatusCode != http.StatusSeeOther {
		t.Fatalf("the card didn't do: %d\n%s", proved.StatusCode, text)
	}
	return b.do(http.MethodGet, proved.Header.Get("Location"), nil)
}

// api calls an end point as the relying party, or with a bearer token.
func (b *browser) api(path string, form url.Values, bearer string) (status int, doc map[string]any) {
	t := b.w.t
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.w.issuer+path, strings.NewReader(form.Encode()))
	noError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	} else {
		r.SetBasicAuth("desk", url.QueryEscape(b.w.secret))
	}
	resp, err := b.w.way(b).RoundTrip(r)
	noError(t, err)
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%s: %d: %v", path, resp.StatusCode, err)
	}
	return resp.StatusCode, doc
}

// standing tells what somebody's session and tokens are worth, at every node.
func (b *browser) standing(tokens map[string]any) (all []string) {
	access, _ := tokens["access_token"].(string)
	refresh, _ := tokens["refresh_token"].(string)
	for n := range b.w.nodes {
		b.node = n
		page, _ := b.do(http.MethodGet, b.w.issuer+"/sessions", nil)
		user, _ := b.api("/oidc/userinfo", url.Values{}, access)
		_, a := b.api("/oidc/introspect", url.Values{"token": {access}}, "")
		_, r := b.api("/oidc/introspect", url.Values{"token": {refresh}}, "")
		all = append(all, fmt.Sprintf("page %t userinfo %d access %v refresh %v", page.Request.URL.Path == "/sessions", user, a["active"], r["active"]))
	}
	b.node = 0
	return all
}

// TestOutOnEveryNode holds that whoever leaves, whose card an administrator releases, or whose card is on a new list of revoked ones, is out of the pages
// and the tokens at the next request on every node, that the relying party is told, and that the others stay in.
func TestOutOnEveryNode(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		nodes := 1
		if i.database != "" {
			nodes = 2
		}
		w := newTown(t, i, nodes)
		const in, out = "page true userinfo 200 access true refresh true", "page false userinfo 401 access false refresh false"
		is := func(b *browser, tokens map[string]any, want string) bool {
			for _, s := range b.standing(tokens) {
				if s != want {
					return false
				}
			}
			return true
		}
		people, tokens := map[string]*browser{}, map[string]map[string]any{}
		for _, c := range townCards {
			people[c.ID] = w.browser()
			tokens[c.ID] = people[c.ID].enter(c.ID)
			if !is(people[c.ID], tokens[c.ID], in) {
				t.Fatalf("%s isn't in: %v", c.ID, people[c.ID].standing(tokens[c.ID]))
			}
		}
		gone := 0
		for _, step := range []struct {
			card string
			put  func()
		}{
			{"leaves", func() {
				i.must(t, "people", "end", "--org", string(sapporo), "S00002", "--why", "退職", "--as", i.planner())
			}},
			{"released", func() {
				i.must(t, "card", "release", "--org", string(sapporo), "S00003", "--reason", "紛失", "--as", i.planner())
			}},
			{"revoked-later", func() {
				noError(t, w.set.Revoke("revoked-later", time.Now()))
				began := time.Now()
				for deadline := began.Add(patient); !is(people["revoked-later"], tokens["revoked-later"], out); time.Sleep(50 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("a revoked card's session goes on: %v", people["revoked-later"].standing(tokens["revoked-later"]))
					}
				}
				t.Logf("out %v after the list was there; it is looked for every second", time.Since(began).Round(time.Millisecond))
			}},
		} {
			step.put()
			// The very next request: nothing is waited for.
			if got := people[step.card].standing(tokens[step.card]); !is(people[step.card], tokens[step.card], out) {
				t.Errorf("%s isn't out: %v", step.card, got)
			}
			if _, doc := people[step.card].api("/oidc/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {fmt.Sprint(tokens[step.card]["refresh_token"])}}, ""); doc["error"] != "invalid_grant" {
				t.Errorf("%s: a refresh: %v", step.card, doc)
			}
			gone++
			for deadline := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
				w.mu.Lock()
				n := len(w.logouts)
				w.mu.Unlock()
				if n == gone {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s: the relying party got %d logouts", step.card, n)
				}
			}
			for _, c := range townCards[gone:] {
				if !is(people[c.ID], tokens[c.ID], in) {
					t.Errorf("%s put %s out", step.card, c.ID)
				}
			}
		}
		if text := i.must(t, "logouts", "--as", i.planner()); strings.Count(text, "desk") < 3 {
			t.Errorf("receipts:\n%s", text)
		}
	})
}
