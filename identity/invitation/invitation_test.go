package invitation

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

type house struct {
	*logintest.World
	*Method
	t *testing.T
}

var boss = identity.Person{ID: logintest.LocalBoss, Org: logintest.CityA, Role: policies.RoleAdministrator}

func each(t *testing.T, fn func(t *testing.T, h house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		fn(t, house{logintest.New(t, db, Migration()), NewMethod(New(db, rand.Reader)), t})
	})
}

func (h house) invite(by policies.PersonID, p identity.Person) (sent Sent, err error) {
	h.t.Helper()
	a, err := h.Resolver.Person(h.t.Context(), by)
	if err != nil {
		h.t.Fatal(err)
	}
	scope, err := h.Resolver.Scope(h.t.Context(), a, policies.ActionPeopleWrite, nil, policies.Context{})
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		sent, err = h.store.Invite(ctx, tx, a, scope, p, h.Now())
		return err
	})
	return sent, err
}

func (h house) sent() Sent {
	h.t.Helper()
	sent, err := h.invite(logintest.System, boss)
	if err != nil {
		h.t.Fatal(err)
	}
	return sent
}

func (h house) use(path, code string) (login.Proof, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "https://id.example.test/", strings.NewReader(url.Values{"path": {path}, "code": {code}}.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p, err := h.Finish(h.t.Context(), login.Attempt{Login: "l", At: h.Now().UnixMicro()}, r)
	var no *login.Rejection
	if errors.As(err, &no) {
		return p, no.Code
	}
	if err != nil {
		h.t.Error(err)
	}
	return p, ""
}

func TestInvitationIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		sent := h.sent()
		var mu sync.Mutex
		var proofs []login.Proof
		var wg sync.WaitGroup
		for range MaxTries {
			wg.Go(func() {
				p, code := h.use(sent.Path, strings.ToLower(sent.Code))
				mu.Lock()
				defer mu.Unlock()
				if code == "" {
					proofs = append(proofs, p)
				} else if code != CodeInvalid {
					t.Error(code)
				}
			})
		}
		wg.Wait()
		if len(proofs) != 1 || proofs[0].Person != logintest.LocalBoss || proofs[0].Use != login.UseLink || proofs[0].Assurance != policies.AssuranceSingle {
			t.Errorf("%+v", proofs)
		}
		if rows := h.Audit(t, audit.Filter{Action: "invitation.use"}); len(rows) != 1 || rows[0].Object != string(logintest.LocalBoss) {
			t.Errorf("%+v", rows)
		}
		for _, r := range h.Audit(t, audit.Filter{}) {
			if text := fmt.Sprintf("%+v", r); strings.Contains(text, sent.Path) || strings.Contains(text, sent.Code) {
				t.Error("a secret in the audit log")
			}
		}
	})
}

func TestBothPartsAreNeeded(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		sent := h.sent()
		// Another organization's, which stands beside.
		second := identity.Person{ID: logintest.Ministry, Org: logintest.MinistryA, Role: policies.RoleAdministrator}
		other, err := h.invite(logintest.System, second)
		if err != nil {
			t.Fatal(err)
		}
		for name, pair := range map[string][2]string{
			"no path": {"", sent.Code}, "the id": {sent.ID, sent.Code}, "a made up path": {strings.Repeat("A", 43), sent.Code},
		} {
			for range 2 * MaxTries {
				if _, code := h.use(pair[0], pair[1]); code != CodeInvalid {
					t.Errorf("%s: %q", name, code)
				}
			}
		}
		for i, code := range []string{"", other.Code, sent.Code[:13], sent.Path} {
			if _, got := h.use(sent.Path, code); got != CodeWrong {
				t.Errorf("code %d: %q", i, got)
			}
		}
		// The last try, typed with full-width letters and without hyphens.
		wide := strings.Map(func(r rune) rune { return r + 0xfee0 }, strings.ReplaceAll(sent.Code, "-", ""))
		if p, code := h.use(sent.Path, " "+wide); code != "" || p.Person != logintest.LocalBoss {
			t.Errorf("%q", code)
		}
		for range MaxTries {
			if _, code := h.use(other.Path, "wrong"); code != CodeWrong {
				t.Errorf("%q", code)
			}
		}
		if _, code := h.use(other.Path, other.Code); code != CodeInvalid {
			t.Errorf("after %d wrong codes: %q", MaxTries, code)
		}
	})
}

func TestNewInvitationVoidsTheOldAndAllEnd(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		first, second := h.sent(), h.sent()
		if _, code := h.use(first.Path, first.Code); code != CodeInvalid {
			t.Errorf("%q", code)
		}
		h.Pass(Life)
		if _, code := h.use(second.Path, second.Code); code != CodeInvalid {
			t.Errorf("after its life: %q", code)
		}
	})
}

// What became of invitations, inside the scope and without their secrets.
func TestList(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		_ = h.sent()
		h.Pass(time.Minute)
		spoiled := h.sent()
		for range MaxTries {
			h.use(spoiled.Path, "wrong")
		}
		h.Pass(time.Minute)
		used := h.sent()
		if _, code := h.use(used.Path, used.Code); code != "" {
			t.Fatal(code)
		}
		h.Pass(time.Minute)
		if _, err := h.invite(logintest.System, identity.Person{ID: logintest.Ministry, Org: logintest.MinistryA, Role: policies.RoleAdministrator}); err != nil {
			t.Fatal(err)
		}
		h.Pass(time.Minute)
		_ = h.sent()
		list := func(who policies.PersonID, action policies.Action, org policies.OrgID) (states []State, err error) {
			a, err := h.Resolver.Person(t.Context(), who)
			if err != nil {
				t.Fatal(err)
			}
			scope, err := h.Resolver.Scope(t.Context(), a, action, nil, policies.Context{})
			if err != nil {
				t.Fatal(err)
			}
			all, err := h.store.List(t.Context(), scope, org, 10)
			for _, r := range all {
				states = append(states, r.State(h.Now()))
			}
			return states, err
		}
		for _, c := range []struct {
			who  policies.PersonID
			org  policies.OrgID
			want []State
		}{
			{logintest.System, "", []State{StateOpen, StateOpen, StateUsed, StateVoided, StateVoided}},
			{logintest.System, logintest.MinistryA, []State{StateOpen}},
			{logintest.LocalBoss, "", []State{StateOpen, StateUsed, StateVoided, StateVoided}},
			{logintest.LocalBoss, logintest.MinistryA, nil},
		} {
			if got, err := list(c.who, policies.ActionPeopleRead, c.org); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, %q: %q, %v", c.who, c.org, got, err)
			}
		}
		if _, err := list(logintest.LocalBoss, policies.ActionPeopleWrite, ""); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
		for r, want := range map[Record]State{
			{ExpiresAt: h.Now().UnixMicro()}:                                              StateExpired,
			{ExpiresAt: h.Now().Add(time.Hour).UnixMicro(), Tries: MaxTries}:              StateSpoiled,
			{ExpiresAt: h.Now().Add(time.Hour).UnixMicro(), Tries: MaxTries, UsedAt: 1}:   StateUsed,
			{ExpiresAt: h.Now().Add(time.Hour).UnixMicro(), Tries: MaxTries, VoidedAt: 1}: StateVoided,
		} {
			if got := r.State(h.Now()); got != want {
				t.Errorf("%+v: %s", r, got)
			}
		}
	})
}

func TestWhoInvitesWhom(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		for name, tc := range map[string]struct {
			by policies.PersonID
			p  identity.Person
		}{
			"a city's administrator": {logintest.LocalBoss, identity.Person{ID: "x", Org: logintest.CityA, Role: policies.RoleAdministrator}},
			"oneself":                {logintest.System, identity.Person{ID: logintest.System, Org: logintest.Agency, Role: policies.RoleSystemAdministrator}},
			"a general user":         {logintest.System, identity.Person{ID: logintest.Local, Org: logintest.CityA, Role: policies.RoleGeneral}},
			"somebody who has left":  {logintest.System, identity.Person{ID: "x", Org: logintest.CityA, Role: policies.RoleAdministrator, EndedAt: 1}},
			"nobody":                 {logintest.System, identity.Person{Role: policies.RoleAdministrator}},
		} {
			if sent, err := h.invite(tc.by, tc.p); !errors.Is(err, identity.ErrRefused) || sent != (Sent{}) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := h.store.Invite(t.Context(), nil, access.Actor{}, policies.Scope{}, boss, time.Now()); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
	})
}

func TestReadCode(t *testing.T) {
	for text, want := range map[string]string{"abcd-efgh-jkmn": "ABCDEFGHJKMN", "o0il 11": "001111", "ＡＢ－１２": "AB12", "": ""} {
		if got := readCode(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
