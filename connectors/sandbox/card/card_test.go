package card_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/card"
)

const (
	loginOrigin = "https://login.localhost:8443"
	ticket      = "/login/card?ticket=dGlja2V0&login=abc"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func certificate(name string) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	return tls.Certificate{Certificate: [][]byte{must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))}, PrivateKey: key}
}

// bench is a player in front of a card host of its own.
type bench struct {
	t       *testing.T
	options card.Options
	player  *card.Player
	host    *httptest.Server
	origin  string

	mu     sync.Mutex
	visits []string // common name and request URI of each visit to the card host
	answer http.HandlerFunc
}

func setUp(t *testing.T, change func(*card.Options)) *bench {
	t.Helper()
	b := &bench{t: t, answer: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, loginOrigin+"/login/abc/return?code=c0de", http.StatusSeeOther)
	}}
	b.host = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.visits = append(b.visits, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.RequestURI)
		answer := b.answer
		b.mu.Unlock()
		answer(w, r)
	}))
	b.host.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	b.host.StartTLS()
	t.Cleanup(b.host.Close)
	b.origin = b.host.URL
	b.options = card.Options{
		Cards: []card.Card{
			{ID: "city", Whose: "札幌市 見本 花子", About: "一般ユーザ", AboutEN: "general user", PIN: "1234", TLS: certificate("city")},
			{ID: "boss", Whose: "札幌市 見本 太郎 <b>", About: "管理ユーザ", AboutEN: "administrator", PIN: "1234", TLS: certificate("boss")},
		},
		CardOrigins: []string{b.origin}, CardPath: "/login/card", LoginOrigins: []string{loginOrigin},
		Dial: func(c tls.Certificate) http.RoundTripper {
			transport := b.host.Client().Transport.(*http.Transport).Clone()
			transport.TLSClientConfig.Certificates = []tls.Certificate{c}
			transport.DisableKeepAlives = true
			return transport
		},
	}
	if change != nil {
		change(&b.options)
	}
	b.player = must(card.New(b.options))
	return b
}

func (b *bench) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.visits...)
}

func (b *bench) do(r *http.Request) (*http.Response, string) {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.player.ServeHTTP(w, r)
	res := w.Result()
	body := string(must(io.ReadAll(res.Body)))
	if got := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; style-src 'self'; form-action 'self'") || strings.Contains(strings.ToLower(body), "<script") || strings.Contains(body, "style=") {
		b.t.Errorf("%s: a page with script or inline style, or policy %q", r.URL, got)
	}
	if strings.Contains(res.Header.Get("Content-Type"), "html") && (!strings.Contains(body, "本物の暗証番号を入れないでください") || !strings.Contains(body, "No real My Number Card")) {
		b.t.Errorf("%s doesn't say that it is a demonstration", r.URL)
	}
	return res, body
}

func (b *bench) get(path string) (*http.Response, string) {
	b.t.Helper()
	return b.do(httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, "https://sandbox.localhost"+path, http.NoBody))
}

func (b *bench) post(path string, form url.Values, change ...func(*http.Request)) (*http.Response, string) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "https://sandbox.localhost"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, fn := range change {
		fn(r)
	}
	return b.do(r)
}

func (b *bench) use(id, pin string) (*http.Response, string) {
	b.t.Helper()
	return b.post(card.Path, url.Values{"to": {b.origin + ticket}, "card": {id}, "pin": {pin}})
}

func TestPresented(t *testing.T) {
	b := setUp(t, nil)
	res, body := b.get(card.Path + "?to=" + url.QueryEscape(b.origin+ticket))
	if res.StatusCode != http.StatusOK || strings.Count(body, `type="radio"`) != 2 || !strings.Contains(body, "札幌市 見本 花子") || strings.Contains(body, "<b>") || !strings.Contains(body, "1234") {
		t.Fatalf("%d\n%s", res.StatusCode, body)
	}
	// The browser's own certificate: the address itself.
	if !strings.Contains(body, `<a href="`+b.origin+`/login/card?ticket=dGlja2V0&amp;login=abc">`) {
		t.Errorf("no link to the card host:\n%s", body)
	}
	res, body = b.use("boss", "1234")
	if want := []string{"boss " + ticket}; len(b.seen()) != 1 || b.seen()[0] != want[0] {
		t.Errorf("the card host saw %q, want %q", b.seen(), want)
	}
	if at := loginOrigin + "/login/abc/return?code=c0de"; res.StatusCode != http.StatusOK || strings.Count(body, at) != 2 || !strings.Contains(body, `http-equiv="refresh"`) {
		t.Errorf("%d, and the browser isn't led to %s:\n%s", res.StatusCode, at, body)
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		t.Error("a page with a code is kept")
	}
}

// No open proxy, no open redirect: whatever is given as the address, the card goes to the card host's card path or nowhere.
func TestOtherAddresses(t *testing.T) {
	b := setUp(t, nil)
	host := strings.TrimPrefix(b.origin, "https://")
	for _, to := range []string{
		"https://evil.example/login/card?ticket=x", "http://" + host + ticket, "https://" + host + "@evil.example" + ticket, "https://evil.example@" + host + ticket,
		"https://" + host + ".evil.example" + ticket, "https://" + host + "0" + ticket, "//" + host + ticket, "/login/card?ticket=x", "https:" + host + ticket,
		b.origin + "/login/cards?ticket=x", b.origin + "/login/card/../secret", b.origin + "/login/%63ard?ticket=x", b.origin + "//login/card", b.origin + "/", b.origin,
		b.origin + ticket + "#x", b.origin + ticket + "#", "https://evil.example\\@" + host + ticket, b.origin + ticket + "\r\nX: y", " " + b.origin + ticket,
		"javascript:alert(1)//" + host + ticket, "ftp://" + host + ticket, b.origin + "/login/card?" + strings.Repeat("x", 3000), strings.ToUpper(b.origin) + ticket, "%", loginOrigin + ticket,
	} {
		for _, res := range []*http.Response{
			first(b.get(card.Path + "?to=" + url.QueryEscape(to))), first(b.post(card.Path, url.Values{"to": {to}, "card": {"city"}, "pin": {"1234"}})),
		} {
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("%q: %d", to, res.StatusCode)
			}
		}
		if res, _ := b.post(card.Path+"/unlock", url.Values{"to": {to}, "card": {"city"}}); res.Header.Get("Location") != card.Path {
			t.Errorf("%q: leads to %q", to, res.Header.Get("Location"))
		}
	}
	if res, _ := b.post(card.Path, url.Values{"card": {"city"}, "pin": {"1234"}}); res.StatusCode != http.StatusBadRequest {
		t.Errorf("without an address: %d", res.StatusCode)
	}
	if len(b.seen()) != 0 {
		t.Errorf("the card was presented: %q", b.seen())
	}
}

func first(r *http.Response, _ string) *http.Response { return r }

// The card host's answer leads to the login host or nowhere, and nothing is followed.
func TestAnswersElsewhere(t *testing.T) {
	b := setUp(t, nil)
	for _, location := range []string{
		"https://evil.example/", "/login/card", "//evil.example/", loginOrigin + ".evil.example/", "https://x@login.localhost:8443/", "javascript:alert(1)", "https://login.localhost:8443\\@evil.example/", "https://login.localhost/",
	} {
		b.mu.Lock()
		b.visits = nil
		b.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{location}
			w.WriteHeader(http.StatusFound)
		}
		b.mu.Unlock()
		res, body := b.use("city", "1234")
		if res.StatusCode != http.StatusBadGateway || strings.Contains(body, "http-equiv") || strings.Contains(body, `href="`+location) || len(b.seen()) != 1 {
			t.Errorf("%q: %d, %d visits\n%s", location, res.StatusCode, len(b.seen()), body)
		}
	}
}

// A refusal is shown in the hub's words, as text, with its links to the login host alone.
func TestRefused(t *testing.T) {
	b := setUp(t, nil)
	b.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<html><head><title>t</title><style>x{}</style></head><body><nav>menu</nav><main><h1>このカードは失効しています<span lang="en">Revoked</span></h1><p>番号 <b>261201-7K2M</b>&lt;script&gt;alert(1)&lt;/script&gt;</p>
			<script>alert(2)</script><a href="`+loginOrigin+`/login/abc">戻る<span lang="en">Back</span></a><a href="https://evil.example/">別の場所</a><a href="javascript:alert(3)">x</a>`+strings.Repeat("<p>長い</p>", 5000)+`</main></body></html>`)
	}
	res, body := b.use("city", "1234")
	if res.StatusCode != http.StatusForbidden || !strings.Contains(body, "<p>このカードは失効しています</p>") || !strings.Contains(body, "番号 261201-7K2M&lt;script&gt;") || !strings.Contains(body, `<p lang="en">Revoked</p>`) || !strings.Contains(body, `href="`+loginOrigin+`/login/abc">戻る / Back</a>`) {
		t.Errorf("%d\n%.3000s", res.StatusCode, body)
	}
	for _, not := range []string{"alert(2)", "alert(3)", "evil.example", "menu", "x{}"} {
		if strings.Contains(body, not) {
			t.Errorf("%s is shown", not)
		}
	}
	if len(body) > 40<<10 {
		t.Errorf("%d octets", len(body))
	}
	b.options.Dial = func(tls.Certificate) http.RoundTripper { return failing{} }
	b.player = must(card.New(b.options))
	if res, body := b.use("city", "1234"); res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "no route") {
		t.Errorf("%d\n%s", res.StatusCode, body)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }

func TestWrongPIN(t *testing.T) {
	dir := t.TempDir()
	b := setUp(t, func(o *card.Options) { o.Dir = dir })
	again := func() { b.player = must(card.New(b.options)) }
	for _, pin := range []string{"", "123", "12345", "abcd", "１２３４", "1234 "} { // a reader sends nothing of the kind
		if res, _ := b.use("city", pin); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d", pin, res.StatusCode)
		}
	}
	if res, _ := b.use("nobody", "1234"); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("nobody's card: %d", res.StatusCode)
	}
	for _, left := range []string{"あと 2 回", "あと 1 回"} {
		if res, body := b.use("city", "0000"); res.StatusCode != http.StatusForbidden || !strings.Contains(body, left) || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%d, not %s:\n%s", res.StatusCode, left, body)
		}
		again()
	}
	if res, _ := b.use("city", "1234"); res.StatusCode != http.StatusOK || len(b.seen()) != 1 {
		t.Errorf("the right one: %d, %q", res.StatusCode, b.seen())
	}
	for range 3 { // from the beginning: the right one has set the counter back
		b.use("city", "9999")
	}
	again()
	if res, body := b.use("city", "1234"); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "三回間違えた") || len(b.seen()) != 1 {
		t.Errorf("locked, and the right PIN opens it: %d, %q\n%s", res.StatusCode, b.seen(), body)
	}
	if res, _ := b.use("boss", "1234"); res.StatusCode != http.StatusOK {
		t.Error("another card is locked too")
	}
	if _, body := b.get(card.Path + "?to=" + url.QueryEscape(b.origin+ticket)); strings.Count(body, " disabled") != 1 || strings.Count(body, "/card/unlock") != 1 {
		t.Errorf("a locked card:\n%s", body)
	}
	if res, _ := b.post(card.Path+"/unlock", url.Values{"card": {"city"}, "to": {b.origin + ticket}}); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != card.Path+"?to="+url.QueryEscape(b.origin+ticket) {
		t.Errorf("%d %s", res.StatusCode, res.Header.Get("Location"))
	}
	if res, _ := b.use("city", "1234"); res.StatusCode != http.StatusOK {
		t.Error("after the counter")
	}
}

// Many guesses at once are three.
func TestGuessesAtOnce(t *testing.T) {
	b := setUp(t, nil)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			form := url.Values{"to": {b.origin + ticket}, "card": {"city"}, "pin": {"000" + string(rune('0'+i%10))}}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://sandbox.localhost/card", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			b.player.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	wg.Wait()
	if res, _ := b.use("city", "1234"); res.StatusCode != http.StatusForbidden || len(b.seen()) != 0 {
		t.Errorf("%d, %q", res.StatusCode, b.seen())
	}
}

func TestOtherSitesAndMethods(t *testing.T) {
	b := setUp(t, nil)
	good := url.Values{"to": {b.origin + ticket}, "card": {"city"}, "pin": {"1234"}}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set(name, value) }
	}
	for what, change := range map[string]func(*http.Request){
		"cross-site": header("Sec-Fetch-Site", "cross-site"), "same-site": header("Sec-Fetch-Site", "same-site"), "another origin": header("Origin", "https://jira.localhost"), "an opaque origin": header("Origin", "null"),
	} {
		for _, path := range []string{card.Path, card.Path + "/unlock"} {
			if res, _ := b.post(path, good, change); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: %d", path, what, res.StatusCode)
			}
		}
	}
	if res, _ := b.post(card.Path, url.Values{"to": {strings.Repeat("x", 20<<10)}}); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a large form: %d", res.StatusCode)
	}
	for path, want := range map[string]int{card.Path + "/unlock": 405, card.Path + "/x": 404, "/": 404, card.Path + "/card.css": 200, card.Path: 200} {
		if res, _ := b.get(path); res.StatusCode != want {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions} {
		res, _ := b.do(httptest.NewRequestWithContext(t.Context(), method, "https://sandbox.localhost/card", http.NoBody))
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
	if res, _ := b.post(card.Path+"/unlock", url.Values{"card": {"nobody"}}); res.StatusCode != http.StatusNotFound {
		t.Errorf("nobody's card: %d", res.StatusCode)
	}
	if len(b.seen()) != 0 {
		t.Errorf("%q", b.seen())
	}
}

func TestNewRefuses(t *testing.T) {
	good := setUp(t, nil).options
	for name, change := range map[string]func(*card.Options){
		"no cards":          func(o *card.Options) { o.Cards = nil },
		"no transport":      func(o *card.Options) { o.Dial = nil },
		"no card host":      func(o *card.Options) { o.CardOrigins = nil },
		"a plain card host": func(o *card.Options) { o.CardOrigins = []string{"http://card.localhost"} },
		"a path in it":      func(o *card.Options) { o.LoginOrigins = []string{"https://login.localhost/"} },
		"upper case":        func(o *card.Options) { o.LoginOrigins = []string{"https://LOGIN.localhost"} },
		"no path":           func(o *card.Options) { o.CardPath = "" },
		"a long PIN":        func(o *card.Options) { o.Cards = []card.Card{{ID: "a", PIN: "123456", TLS: o.Cards[0].TLS}} },
		"two of one id":     func(o *card.Options) { o.Cards = []card.Card{o.Cards[0], o.Cards[0]} },
		"no certificate":    func(o *card.Options) { o.Cards = []card.Card{{ID: "a", PIN: "1234"}} },
	} {
		o := good
		change(&o)
		if _, err := card.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
