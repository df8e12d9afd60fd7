package mynumber_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/policies"
)

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func contextWith(r *http.Request, local net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, local)
}

func parse(der []byte) (*crl.List, error) { return crl.Parse(der, crl.Rules{}, crl.Limits{}) }

func TestChallenge(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		card, other := cards()[0], cards()[1]
		a := h.attempt("a")
		p := h.proven("an honest answer", a, h.sign(a, card))
		if p.Assurance != policies.AssuranceTwo || p.Credential != h.credential(card) {
			t.Errorf("another site can pass a challenge on: %+v", p)
		}
		h.config.OriginBound = true
		bound := must(mynumber.New(h.config))
		if p, err := bound.Finish(t.Context(), a, h.sign(a, card)); err != nil || p.Assurance != policies.AssuranceCard {
			t.Errorf("bound to the origin: %+v, %v", p, err)
		}

		// One answer, again and again.
		b := h.attempt("b")
		challenge := must(h.method.Challenge(t.Context(), b))
		message := must(challenge.Message())
		answer := func(leaf, nonce, signature []byte) *http.Request {
			return posted(t, nonce, leaf, signature, pkix.RSASHA256)
		}
		good := testpki.Challenge(card.Key, message)
		h.rejected("of another login", a, answer(card.Raw, challenge.Nonce, good), "challenge_mismatch")
		thief := b
		thief.Ticket = "ticket-of-a-thief"
		h.rejected("of another ticket", thief, answer(card.Raw, challenge.Nonce, good), "challenge_mismatch")
		// Neither of them has used it up.
		h.proven("its own", b, answer(card.Raw, challenge.Nonce, good))
		h.rejected("replayed", b, answer(card.Raw, challenge.Nonce, good), "challenge_redeemed")
		h.rejected("of nobody", b, answer(card.Raw, make([]byte, 32), good), "challenge_mismatch")

		fresh := func(name string) (nonce, message []byte) {
			challenge := must(h.method.Challenge(t.Context(), h.attempt(name)))
			return challenge.Nonce, must(challenge.Message())
		}
		nonce, message := fresh("c")
		h.rejected("with another card's certificate", h.attempt("c"), answer(other.Raw, nonce, testpki.Challenge(card.Key, message)), "challenge_signature")
		h.rejected("a second try at it", h.attempt("c"), answer(card.Raw, nonce, testpki.Challenge(card.Key, message)), "challenge_redeemed")
		nonce, message = fresh("d")
		h.rejected("with a scheme that the profile doesn't take", h.attempt("d"), posted(t, nonce, card.Raw, testpki.Challenge(card.Key, message), pkix.RSASHA512), "certificate_algorithm_refused")
		nonce, message = fresh("d")
		h.rejected("with a key of another kind", h.attempt("d"), posted(t, nonce, card.Raw, testpki.Challenge(card.Key, message), pkix.P256SHA256), "certificate_algorithm_refused")
		nonce, _ = fresh("e")
		h.rejected("another message signed", h.attempt("e"), answer(card.Raw, nonce, testpki.Challenge(card.Key, []byte("pay 1,000,000 yen"))), "challenge_signature")
		nonce, message = fresh("f")
		sign := must(pki().Newest(testpki.SignTree).Issue(testpki.Holder{Key: card.Key}, h.Now()))
		h.rejected("of the tree for signatures", h.attempt("f"), answer(sign.Raw, nonce, testpki.Challenge(card.Key, message)), "certificate_wrong_tree")
		lgwan := h.attempt("g")
		nonce, message = fresh("g")
		lgwan.Network = policies.NetworkLGWAN
		r := answer(card.Raw, nonce, testpki.Challenge(card.Key, message))
		r.Host = "card.lgwan.example.test"
		h.rejected("made for another network's host", lgwan, r, "challenge_relying_party")
		nonce, message = fresh("h")
		h.Pass(mynumber.ChallengeLife)
		h.rejected("expired", h.attempt("h"), answer(card.Raw, nonce, testpki.Challenge(card.Key, message)), "challenge_expired")
	})
}

func TestParallelRedemption(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.attempt("a")
		challenge := must(h.method.Challenge(t.Context(), a))
		signature := testpki.Challenge(cards()[0].Key, must(challenge.Message()))
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			r := posted(t, challenge.Nonce, cards()[0].Raw, signature, pkix.RSASHA256)
			wg.Go(func() {
				if _, err := h.method.Finish(t.Context(), a, r); err == nil {
					won.Add(1)
				} else if strings.HasSuffix(err.Error(), "challenge_redeemed") {
					lost.Add(1)
				} else {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("%d of 16 won, %d lost", won.Load(), lost.Load())
		}
	})
}

func TestChallengesAreBoundedAndPruned(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.attempt("a")
		for range mynumber.MaxChallenges {
			must(h.method.Challenge(t.Context(), a))
		}
		if _, err := h.method.Challenge(t.Context(), a); !errors.Is(err, mynumber.ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		must(h.method.Challenge(t.Context(), h.attempt("b")))
		if more, err := h.table.Prune(t.Context(), h.Now(), 100); err != nil || more {
			t.Errorf("nothing is old yet: %v, %v", more, err)
		}
		h.Pass(time.Hour)
		if more, err := h.table.Prune(t.Context(), h.Now(), 5); err != nil || !more {
			t.Errorf("five of nine: %v, %v", more, err)
		}
		if more, err := h.table.Prune(t.Context(), h.Now(), 5); err != nil || more {
			t.Errorf("the rest: %v, %v", more, err)
		}
		var left int
		if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM card_challenge`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d left, %v", left, err)
		}
	})
}

func TestMalformedResponses(t *testing.T) {
	h := one(t, nil)
	a := h.attempt("a")
	for name, change := range map[string]func(url.Values){
		"no nonce":             func(v url.Values) { v.Del(mynumber.FieldNonce) },
		"two certificates":     func(v url.Values) { v.Add(mynumber.FieldCertificate, "AAAA") },
		"no base64":            func(v url.Values) { v.Set(mynumber.FieldCertificate, "%%%") },
		"a long nonce":         func(v url.Values) { v.Set(mynumber.FieldNonce, strings.Repeat("A", 400)) },
		"a long signature":     func(v url.Values) { v.Set(mynumber.FieldSignature, strings.Repeat("A", 4000)) },
		"no scheme":            func(v url.Values) { v.Del(mynumber.FieldScheme) },
		"an unknown scheme":    func(v url.Values) { v.Set(mynumber.FieldScheme, "none") },
		"an empty certificate": func(v url.Values) { v.Set(mynumber.FieldCertificate, "") },
	} {
		r := posted(t, []byte("nonce of sixteen"), cards()[0].Raw, []byte("signature"), pkix.RSASHA256)
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		change(r.PostForm)
		r.Form = r.PostForm
		h.rejected(name, a, r, "response_malformed")
	}
}
