package mynumber_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// owner gives whose a card is.
func (h *house) owner(credential string) policies.PersonID {
	h.t.Helper()
	p, err := h.links.Person(h.t.Context(), credential)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func TestOneCardOnePerson(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.credential(cards()[0]), h.credential(cards()[1])
		if err := h.link(logintest.Local, a); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the same card for another person", h.link(logintest.LocalBoss, a), identity.ErrExists)
		wantErr(t, "another card for the same person", h.link(logintest.Local, b), identity.ErrExists)
		wantErr(t, "the same again", h.link(logintest.Local, a), identity.ErrExists)
		if err := h.link(logintest.Gone, b); err == nil || h.owner(b) != "" {
			t.Error("a card was linked to somebody whose service has ended")
		}
		for _, bad := range []string{"", "card", strings.ToUpper(a), a + "0"} {
			if err := h.link(logintest.LocalBoss, bad); err == nil {
				t.Errorf("linked %q", bad)
			}
		}
		if p := h.proven("a linked card", h.attempt("x"), request(t, cards()[0].Raw)); p.Person != logintest.Local {
			t.Errorf("proof of %q", p.Person)
		}
		rows := h.Audit(t, audit.Filter{Action: "card.link"})
		if len(rows) != 1 || rows[0].Org != logintest.CityA || rows[0].Object != string(logintest.Local) || rows[0].Reason != "first_use" {
			t.Errorf("audit: %+v", rows)
		}
		serial, subject := hex.EncodeToString(cards()[0].Certificate.Serial), "TEST00"
		if all := fmt.Sprint(rows); strings.Contains(all, serial) || strings.Contains(all, subject) {
			t.Error("the log names the certificate")
		}
		if err := h.links.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := must(mynumber.NewLinks(h.DB, bytes.Repeat([]byte{8}, 32), h.Resolver)).Check(t.Context()); err == nil {
			t.Error("another key isn't noticed")
		}
	})
}

// Several people with one card, and several cards for one person, at the same time: exactly one of each.
func TestConcurrentFirstUse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		race := func(n int, link func(i int) error) (won int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					err := link(i)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						won++
					} else if !errors.Is(err, identity.ErrExists) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return won
		}
		people := []policies.PersonID{logintest.Local, logintest.LocalBoss, logintest.TwoPosts, logintest.Ministry}
		card := h.credential(cards()[0])
		if won := race(len(people), func(i int) error { return h.link(people[i], card) }); won != 1 {
			t.Errorf("%d people have the card", won)
		}
		if won := race(8, func(i int) error { return h.link(logintest.Vendor, strings.Repeat(fmt.Sprintf("%x", i), 64)) }); won != 1 {
			t.Errorf("the person has %d cards", won)
		}
	})
}

func (h *house) session(p policies.PersonID, org policies.OrgID, credential string) session.Secret {
	h.t.Helper()
	secret := must(session.NewSecret(rand.Reader))
	err := h.tx(func(ctx context.Context, tx *sql.Tx) error {
		_, err := h.Sessions.Open(ctx, tx, session.Opening{
			Person: p, Org: org, Network: policies.NetworkInternet, Assurance: policies.AssuranceCard, AMR: []string{"sc", "pin"},
			Method: identity.MethodCard, Credential: credential, AuthAt: h.Now().UnixMicro(), Now: h.Now().UnixMicro(), Agent: "Browser/1.0", Secret: secret,
		})
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}

func (h *house) stands(s session.Secret) bool {
	_, _, err := h.Sessions.Read(h.t.Context(), s, policies.NetworkInternet, h.Now())
	return err == nil
}

func TestRelease(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		card := h.credential(cards()[0])
		if err := h.link(logintest.Local, card); err != nil {
			t.Fatal(err)
		}
		one, two := h.session(logintest.Local, logintest.CityA, card), h.session(logintest.Local, logintest.CityA, "another")
		bystander := h.session(logintest.LocalBoss, logintest.CityA, "bystander")
		local := identity.Person{ID: logintest.Local, Org: logintest.CityA}
		boss, scope := h.right(logintest.LocalBoss, policies.ActionPeopleWrite, logintest.CityA)
		_, reading := h.right(logintest.LocalBoss, policies.ActionPeopleRead, logintest.CityA)
		release := func(scope policies.Scope, p identity.Person, reason string) error {
			return h.releases.Release(t.Context(), boss, scope, p, reason, h.Now())
		}
		wantErr(t, "no right", release(policies.Scope{}, local, "lost"), identity.ErrRefused)
		wantErr(t, "the right to read", release(reading, local, "lost"), identity.ErrRefused)
		wantErr(t, "a person of another organization", release(scope, identity.Person{ID: logintest.Local, Org: logintest.CityB}, "lost"), identity.ErrRefused)
		other, _ := h.right(logintest.LocalBoss, policies.ActionPeopleWrite, logintest.CityA)
		other.Person.ID = logintest.Local
		wantErr(t, "another's right", h.releases.Release(t.Context(), other, scope, local, "lost", h.Now()), identity.ErrRefused)
		for _, reason := range []string{"", " 　", strings.Repeat("あ", 400), "\xff"} {
			if err := release(scope, local, reason); err == nil {
				t.Errorf("released for %q", reason)
			}
		}
		// A notice that can't be sent holds everything up.
		h.notices.err = errors.New("no mail")
		if err := release(scope, local, "紛失"); err == nil || h.owner(card) != logintest.Local || !h.stands(one) || len(h.Audit(t, audit.Filter{Action: "card.release"})) != 0 {
			t.Error("half a release")
		}
		h.notices.err, h.notices.told = nil, nil
		if err := release(scope, local, "紛失のため"); err != nil {
			t.Fatal(err)
		}
		if h.owner(card) != "" || h.stands(one) || h.stands(two) || !h.stands(bystander) || len(h.notices.told) != 1 {
			t.Errorf("owner %q, sessions %v %v, bystander %v, told %v", h.owner(card), h.stands(one), h.stands(two), h.stands(bystander), h.notices.told)
		}
		rows := h.Audit(t, audit.Filter{Action: "card.release"})
		if len(rows) != 1 || rows[0].Actor != string(logintest.LocalBoss) || rows[0].Object != string(logintest.Local) || rows[0].Detail["card"] != card || rows[0].Personal["reason"] != "紛失のため" {
			t.Errorf("audit: %+v", rows)
		}
		wantErr(t, "again", release(scope, local, "again"), identity.ErrNotFound)
		_, read := h.right(logintest.LocalBoss, policies.ActionPeopleRead, logintest.CityA)
		history, err := h.links.History(t.Context(), read, local)
		if err != nil || len(history) != 1 || history[0].Credential != card || history[0].How != "first_use" || history[0].EndedWhy != "released" || history[0].EndedAt == 0 {
			t.Errorf("%+v, %v", history, err)
		}
		for name, s := range map[string]policies.Scope{"no right": {}, "the right to write": scope} {
			_, err := h.links.History(t.Context(), s, local)
			wantErr(t, name, err, identity.ErrRefused)
		}
		_, err = h.links.History(t.Context(), read, identity.Person{ID: logintest.Local, Org: logintest.CityB})
		wantErr(t, "a person of another organization", err, identity.ErrRefused)
		// Both may be linked anew, by the proofs of a first use.
		if err := h.link(logintest.LocalBoss, card); err != nil {
			t.Error(err)
		}
		if err := h.link(logintest.Local, h.credential(cards()[1])); err != nil {
			t.Error(err)
		}
	})
}

func (h *house) record(older, newer *testpki.Card) error {
	return h.tx(func(ctx context.Context, tx *sql.Tx) error {
		return h.links.RecordRenewal(ctx, tx, mynumber.Renewal{Old: cardOf(older), New: cardOf(newer), Source: "test"}, h.Now().UnixMicro())
	})
}

func TestRenewalByRecord(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		first, second, third, foreign := cards()[0], cards()[1], cards()[2], cards()[3]
		if err := h.link(logintest.Local, h.credential(first)); err != nil {
			t.Fatal(err)
		}
		// Renewed twice before the next login; the old cards are superseded.
		for _, r := range [][2]*testpki.Card{{first, second}, {second, third}, {second, third}} {
			if err := h.record(r[0], r[1]); err != nil {
				t.Fatal(err)
			}
		}
		wantErr(t, "a contradicting record", h.record(foreign, third), identity.ErrExists)
		if err := h.record(first, first); err == nil {
			t.Error("a card renewed itself")
		}
		h.publish(first.Entry(h.Now(), testpki.Superseded), second.Entry(h.Now(), testpki.Superseded))
		h.Pass(time.Minute)
		h.rejected("the old card", h.attempt("1"), request(t, first.Raw), "certificate_revoked")
		var wg sync.WaitGroup
		for i := range 6 {
			r := request(t, third.Raw)
			wg.Go(func() {
				if p, err := h.method.Finish(t.Context(), h.attempt(fmt.Sprint("r", i)), r); err != nil || p.Person != logintest.Local {
					t.Errorf("the renewed card: %q, %v", p.Person, err)
				}
			})
		}
		wg.Wait()
		if h.owner(h.credential(first)) != "" || h.owner(h.credential(third)) != logintest.Local {
			t.Error("the link hasn't moved")
		}
		if rows := h.Audit(t, audit.Filter{Action: "card.link"}); len(rows) != 2 || rows[0].Reason != "renewal_record" || rows[0].Detail["card_before"] != h.credential(first) {
			t.Errorf("audit: %+v", rows)
		}
		if p := h.proven("a card without a record", h.attempt("f"), request(t, foreign.Raw)); p.Person != "" {
			t.Errorf("a foreign card is %s", p.Person)
		}
	})
}

func TestReleaseOutlastsRenewal(t *testing.T) {
	h := one(t, nil)
	first, second := cards()[0], cards()[1]
	if err := h.link(logintest.Local, h.credential(first)); err != nil {
		t.Fatal(err)
	}
	boss, scope := h.right(logintest.LocalBoss, policies.ActionPeopleWrite, logintest.CityA)
	if err := h.releases.Release(t.Context(), boss, scope, identity.Person{ID: logintest.Local, Org: logintest.CityA}, "x", h.Now()); err != nil {
		t.Fatal(err)
	}
	if err := h.record(first, second); err != nil {
		t.Fatal(err)
	}
	if p := h.proven("renewed after the release", h.attempt("r"), request(t, second.Raw)); p.Person != "" {
		t.Errorf("a released link came back for %s", p.Person)
	}
}

func TestRenewalByProof(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		older, newer, others := h.credential(cards()[0]), h.credential(cards()[1]), h.credential(cards()[2])
		renew := func(p policies.PersonID, from, to string) error {
			return h.tx(func(ctx context.Context, tx *sql.Tx) error {
				return h.links.Renew(ctx, tx, p, from, to, h.Now().UnixMicro())
			})
		}
		if err := errors.Join(h.link(logintest.Local, older), h.link(logintest.LocalBoss, others)); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "another's old card", renew(logintest.Local, others, newer), identity.ErrNotFound)
		wantErr(t, "to a card of somebody", renew(logintest.Local, older, others), identity.ErrExists)
		wantErr(t, "to itself", renew(logintest.Local, older, older), identity.ErrExists)
		if h.owner(older) != logintest.Local || h.owner(others) != logintest.LocalBoss {
			t.Error("a refused renewal changed something")
		}
		if err := renew(logintest.Local, older, newer); err != nil || h.owner(newer) != logintest.Local || h.owner(older) != "" {
			t.Errorf("renewal: %v", err)
		}
	})
}

// A card that a new list revokes ends what it opened, and nothing else.
func TestRevokedCardEndsItsSessions(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bad, good := cards()[0], cards()[1]
		if err := errors.Join(h.link(logintest.Local, h.credential(bad)), h.link(logintest.LocalBoss, h.credential(good))); err != nil {
			t.Fatal(err)
		}
		ends, stays := h.session(logintest.Local, logintest.CityA, h.credential(bad)), h.session(logintest.LocalBoss, logintest.CityA, h.credential(good))
		for _, small := range []int64{1 << 20, 0} { // every entry apart, and as a set
			h.lists.SetSmall(small)
			h.Pass(time.Minute)
			found := 0
			for _, x := range h.publish(bad.Entry(h.Now(), testpki.KeyCompromise)).Taken {
				n, err := h.releases.EndRevoked(t.Context(), x.List, h.Now())
				if err != nil {
					t.Fatal(err)
				}
				found += n
			}
			if found != 1 || h.stands(ends) || !h.stands(stays) {
				t.Errorf("small %d: %d cards; the revoked one stands: %v, the other: %v", small, found, h.stands(ends), h.stands(stays))
			}
		}
	})
}
