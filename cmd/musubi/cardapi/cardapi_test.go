package cardapi_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/cardapi"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// The whole way: challenge, signature, and the browser that began is in.
func TestSignedChallenge(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v, ticket := h.begin(policies.NetworkInternet)
		d := h.challenge(ticket)
		if d.RelyingParty != "https://"+cardHost || d.Purpose != "login "+string(v.ID) || d.Expires.Sub(d.Issued) != mynumber.ChallengeLife || len(d.Schemes) == 0 || d.Schemes[0] != "rsa-sha256" {
			t.Errorf("%+v", d)
		}
		// What is to be signed says what the document says, octet by octet as the contract describes it.
		field := func(b []byte) []byte { return append([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}, b...) }
		seconds := func(at time.Time) (out []byte) {
			for shift := 56; shift >= 0; shift -= 8 {
				out = append(out, byte(at.Unix()>>shift))
			}
			return out
		}
		want := bytes.Join([][]byte{[]byte("Musubi challenge v1\x00"), field(d.Nonce), field([]byte(d.RelyingParty)), field([]byte(d.Purpose)), seconds(d.Issued), seconds(d.Expires)}, nil)
		if !bytes.Equal(d.Message, want) {
			t.Errorf("message %q, want %q", d.Message, want)
		}
		status, done := h.send(cardHost, cardapi.ResponsePath, sign(ticket, d, made().cards[0]))
		if status != http.StatusOK || !strings.HasPrefix(done.Location, "https://internet.example.test/login/"+string(v.ID)+"/return?code=") {
			t.Fatalf("%d %+v", status, done)
		}
		_, code, _ := strings.Cut(done.Location, "code=")
		n := must(h.Return(t.Context(), v, code))
		if n.Answer == nil || len(h.issuer.logins) != 1 || h.issuer.logins[0].Person != logintest.Local {
			t.Errorf("%+v, %+v", n, h.issuer.logins)
		}
	})
}

// A ticket that somebody sends to somebody with a card: the signer gets the code, whoever sent the ticket nothing.
func TestTicketSentToSomebodyWithACard(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		attacker, ticket := h.begin(policies.NetworkInternet)
		status, done := h.send(cardHost, cardapi.ResponsePath, sign(ticket, h.challenge(ticket), made().cards[0]))
		if status != http.StatusOK {
			t.Fatal(done)
		}
		_, code, _ := strings.Cut(done.Location, "code=")
		victim := attacker
		victim.Browser = session.Secret{}
		if n := must(h.Return(t.Context(), victim, code)); n.Refusal == nil || n.Refusal.Reason != login.ReasonBrowser {
			t.Errorf("in the victim's browser: %+v", n)
		}
		// The attacker asks again, for the challenge and for the answer.
		if status, d := h.send(cardHost, cardapi.ChallengePath, map[string]string{"ticket": ticket}); status != http.StatusForbidden || d.Code != "ticket_invalid" {
			t.Errorf("%d %+v", status, d)
		}
		h.refused("the answer again", cardHost, answered{ticket, []byte("n"), []byte("c"), "rsa-sha256", []byte("s")}, "ticket_invalid", "")
		if n := must(h.View(t.Context(), attacker)); n.Answer != nil || len(h.issuer.logins) != 0 {
			t.Errorf("the attacker is in: %+v", n)
		}
	})
}

func TestForgeriesAndReplays(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		card, other := made().cards[0], made().cards[1]
		fresh := func() (string, document) {
			_, ticket := h.begin(policies.NetworkInternet)
			return ticket, h.challenge(ticket)
		}
		ticket, d := fresh()
		good := sign(ticket, d, card)

		// Another ticket, with the same signature, and the right one after it.
		elsewhere, _ := fresh()
		moved := good
		moved.Ticket = elsewhere
		h.refused("of another ticket", cardHost, moved, "proof_rejected", "challenge_mismatch")
		moved.Ticket = strings.Repeat("A", 43)
		h.refused("of a ticket that there isn't", cardHost, moved, "ticket_invalid", "")
		h.refused("in another network", lgwanHost, good, "other_network", "")
		if status, done := h.send(cardHost, cardapi.ResponsePath, good); status != http.StatusOK {
			t.Errorf("the right one: %+v", done)
		}
		h.refused("replayed", cardHost, good, "ticket_invalid", "")

		// The challenge of a ticket doesn't outlive it in another one's response, nor does another network's host take it.
		_, there := h.begin(policies.NetworkLGWAN)
		if status, d := h.send(cardHost, cardapi.ChallengePath, map[string]string{"ticket": there}); status != http.StatusForbidden || d.Code != "ticket_invalid" {
			t.Errorf("a ticket of another network: %d %+v", status, d)
		}

		for what, x := range map[string]struct {
			change func(*answered, document)
			cause  string
		}{
			"another's certificate":        {func(a *answered, _ document) { a.Certificate = other.Raw }, "challenge_signature"},
			"another message":              {func(a *answered, _ document) { a.Signature = testpki.Challenge(card.Key, []byte("pay 1,000,000 yen")) }, "challenge_signature"},
			"one bit":                      {func(a *answered, _ document) { a.Signature[100] ^= 1 }, "challenge_signature"},
			"a made up nonce":              {func(a *answered, _ document) { a.Nonce = make([]byte, 32) }, "challenge_mismatch"},
			"no nonce":                     {func(a *answered, _ document) { a.Nonce = nil }, "response_malformed"},
			"no certificate":               {func(a *answered, _ document) { a.Certificate = []byte("none") }, "certificate_malformed"},
			"an unknown scheme":            {func(a *answered, _ document) { a.Scheme = "none" }, "response_malformed"},
			"a scheme of another key":      {func(a *answered, _ document) { a.Scheme = "p256-sha256" }, ""},
			"the tree for signatures":      {func(a *answered, _ document) { a.Certificate = made().signs.Raw }, "certificate_wrong_tree"},
			"a challenge that has expired": {func(*answered, document) { h.Pass(mynumber.ChallengeLife) }, "challenge_expired"},
		} {
			ticket, d := fresh()
			a := sign(ticket, d, card)
			x.change(&a, d)
			if x.cause == "" {
				status, got := h.send(cardHost, cardapi.ResponsePath, a)
				if status != http.StatusForbidden || got.Code != "proof_rejected" {
					t.Errorf("%s: %d %+v", what, status, got)
				}
				continue
			}
			h.refused(what, cardHost, a, "proof_rejected", x.cause)
		}

		ticket, d = fresh()
		h.publish(card.Entry(h.Now(), testpki.KeyCompromise))
		h.refused("a revoked card", cardHost, sign(ticket, d, card), "proof_rejected", "certificate_revoked")

		ticket, d = fresh()
		h.Pass(login.Lifetime)
		h.refused("an expired ticket", cardHost, sign(ticket, d, card), "ticket_invalid", "")
		if len(h.issuer.logins) != 0 {
			t.Errorf("%+v", h.issuer.logins)
		}
	})
}

func TestOneOfManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, ticket := h.begin(policies.NetworkInternet)
		a := sign(ticket, h.challenge(ticket), made().cards[0])
		var mu sync.Mutex
		var wg sync.WaitGroup
		locations := 0
		for range 8 {
			wg.Go(func() {
				_, d := h.send(cardHost, cardapi.ResponsePath, a)
				mu.Lock()
				defer mu.Unlock()
				if d.Location != "" {
					locations++
				}
			})
		}
		wg.Wait()
		if locations != 1 {
			t.Errorf("%d addresses from one ticket", locations)
		}
	})
}

func TestTooManyChallenges(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, ticket := h.begin(policies.NetworkInternet)
		var last document
		for range mynumber.MaxChallenges {
			last = h.challenge(ticket)
		}
		if status, d := h.send(cardHost, cardapi.ChallengePath, map[string]string{"ticket": ticket}); status != http.StatusTooManyRequests || d.Code != "too_many_challenges" {
			t.Errorf("%d %+v", status, d)
		}
		if status, d := h.send(cardHost, cardapi.ResponsePath, sign(ticket, last, made().cards[0])); status != http.StatusOK {
			t.Errorf("the last of them: %d %+v", status, d)
		}
	})
}

// What isn't as the contract says is told by its field, and uses no ticket up.
func TestWrongDocuments(t *testing.T) {
	h := oneHouse(t)
	_, ticket := h.begin(policies.NetworkInternet)
	a := sign(ticket, h.challenge(ticket), made().cards[0])
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, x := range map[string]struct {
		host, path  string
		body        any
		change      func(*http.Request)
		status      int
		code, field string
	}{
		"no JSON":               {cardHost, cardapi.ResponsePath, "ticket=" + ticket, nil, 400, "malformed", ""},
		"nothing":               {cardHost, cardapi.ResponsePath, "", nil, 400, "malformed", ""},
		"more after it":         {cardHost, cardapi.ChallengePath, `{"ticket":"x"} {}`, nil, 400, "malformed", ""},
		"an unknown field":      {cardHost, cardapi.ChallengePath, `{"ticket":"x","pin":"1234"}`, nil, 400, "malformed", "pin"},
		"a number":              {cardHost, cardapi.ChallengePath, `{"ticket":1}`, nil, 400, "malformed", "ticket"},
		"an array":              {cardHost, cardapi.ChallengePath, `[]`, nil, 400, "malformed", ""},
		"no base64":             {cardHost, cardapi.ResponsePath, `{"ticket":"x","nonce":"%"}`, nil, 400, "malformed", ""},
		"no signature":          {cardHost, cardapi.ResponsePath, map[string]string{"ticket": ticket}, nil, 400, "malformed", "signature"},
		"too large":             {cardHost, cardapi.ResponsePath, `{"ticket":"` + strings.Repeat("x", 40<<10) + `"}`, nil, 413, "too_large", ""},
		"a form":                {cardHost, cardapi.ResponsePath, a, header("Content-Type", "application/x-www-form-urlencoded"), 415, "not_json", ""},
		"text, as any page may": {cardHost, cardapi.ResponsePath, a, header("Content-Type", "text/plain"), 415, "not_json", ""},
		"by GET":                {cardHost, cardapi.ResponsePath, a, func(r *http.Request) { r.Method = http.MethodGet }, 405, "method_not_allowed", ""},
		"a preflight":           {cardHost, cardapi.ResponsePath, a, func(r *http.Request) { r.Method = http.MethodOptions }, 405, "method_not_allowed", ""},
		"from another site":     {cardHost, cardapi.ResponsePath, a, header("Sec-Fetch-Site", "cross-site"), 403, "other_origin", ""},
		"from another origin":   {cardHost, cardapi.ResponsePath, a, header("Origin", "https://evil.example"), 403, "other_origin", ""},
		"on another host":       {"hub.example.test", cardapi.ResponsePath, a, nil, 421, "other_host", ""},
		"another path":          {cardHost, "/api/cards", a, nil, 404, "unknown_path", ""},
	} {
		var change []func(*http.Request)
		if x.change != nil {
			change = append(change, x.change)
		}
		if status, d := h.send(x.host, x.path, x.body, change...); status != x.status || d.Code != x.code || d.Field != x.field || d.Status != status || !strings.Contains(d.Title, " / ") {
			t.Errorf("%s: %d %+v", name, status, d)
		}
	}
	if status, d := h.send(cardHost, cardapi.ResponsePath, a); status != http.StatusOK {
		t.Errorf("after all that: %d %+v", status, d)
	}
}

// What fails behind tells nothing of itself.
func TestNoAnswer(t *testing.T) {
	h := oneHouse(t)
	_, ticket := h.begin(policies.NetworkInternet)
	if err := h.DB.Close(); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]any{cardapi.ChallengePath: map[string]string{"ticket": ticket}, cardapi.ResponsePath: answered{Ticket: ticket, Signature: []byte("s")}} {
		if status, d := h.send(cardHost, path, body); status != http.StatusServiceUnavailable || d.Code != "unavailable" || strings.Contains(d.Title, "sql") {
			t.Errorf("%s: %d %+v", path, status, d)
		}
	}
}

func TestNewNeedsEverything(t *testing.T) {
	if _, err := cardapi.New(cardapi.Config{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a handler without anything")
	}
}
