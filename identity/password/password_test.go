package password

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// cheap makes hashing free: what is tested isn't argon2.
var cheap = Cost{Time: 1, Memory: 8, Threads: 1}

type names map[string]policies.PersonID

func (n names) PersonNamed(_ context.Context, email string) (policies.PersonID, error) {
	if p, ok := n[strings.ToLower(email)]; ok {
		return p, nil
	}
	return "", identity.ErrNotFound
}

type breached map[string]bool

func (b breached) Contains(password string) (bool, error) {
	if password == "the list is broken" {
		return false, errors.New("disk")
	}
	return b[password], nil
}

type queue struct {
	access.Enqueuer
	notices []identity.Notice
	err     error
}

func (q *queue) EnqueueNotice(_ context.Context, _ *sql.Tx, n identity.Notice) error {
	q.notices = append(q.notices, n)
	return q.err
}

type house struct {
	*logintest.World
	*Store
	t            *testing.T
	link, sealed *Method
	queue        *queue
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := &house{World: logintest.New(t, db, Migration()), t: t, queue: &queue{}}
		var err error
		h.Store, err = New(Config{
			DB: db, Sessions: h.World.Sessions, Random: rand.Reader, Cost: cheap,
			Names:    names{"local@example.test": logintest.Local, "boss@example.test": logintest.LocalBoss, "system@example.test": logintest.System},
			Breached: breached{"correct horse battery staple": true},
		})
		if err != nil {
			t.Fatal(err)
		}
		if h.link, err = NewMethod(h.Store, KindLink, nil); err != nil {
			t.Fatal(err)
		}
		if h.sealed, err = NewMethod(h.Store, KindSealed, h.queue); err != nil {
			t.Fatal(err)
		}
		fn(t, h)
	})
}

func (h *house) scope(by policies.PersonID, action policies.Action) (access.Actor, policies.Scope) {
	h.t.Helper()
	a, err := h.Resolver.Person(h.t.Context(), by)
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := h.Resolver.Scope(h.t.Context(), a, action, nil, policies.Context{})
	if err != nil {
		h.t.Fatal(err)
	}
	return a, s
}

// reset gives a new password of a person of the city.
func (h *house) reset(p policies.PersonID) string {
	h.t.Helper()
	a, s := h.scope(logintest.LocalBoss, policies.ActionPeopleWrite)
	text, err := h.try(func(ctx context.Context, tx *sql.Tx) (string, error) {
		return h.Reset(ctx, tx, a, s, identity.Person{ID: p, Org: logintest.CityA}, h.Now())
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

func (h *house) try(fn func(ctx context.Context, tx *sql.Tx) (string, error)) (text string, err error) {
	err = h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		text, err = fn(ctx, tx)
		return err
	})
	return text, err
}

// log gives the proof, or the code of the rejection.
func (h *house) log(m *Method, name, password, address string) (login.Proof, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "https://id.example.test/", strings.NewReader(url.Values{"name": {name}, "password": {password}}.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p, err := m.Finish(h.t.Context(), login.Attempt{Address: address, At: h.Now().UnixMicro()}, r)
	var no *login.Rejection
	if errors.As(err, &no) {
		return p, no.Code
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return p, ""
}

func TestPasswordLinksAndNoMore(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		text := h.reset(logintest.Local)
		p, code := h.log(h.link, "Local@Example.test", text, "192.0.2.1")
		if code != "" || p.Person != logintest.Local || p.Use != login.UseLink || p.Assurance != policies.AssuranceSingle || !slices.Equal(p.AMR, []string{"pwd"}) {
			t.Errorf("%+v, %s", p, code)
		}
		// Typed on a Japanese keyboard: full-width letters are the same.
		if _, code := h.log(h.link, "local@example.test", strings.ReplaceAll(text, "-", "－"), "192.0.2.1"); code != "" {
			t.Error(code)
		}
		if _, code := h.log(h.sealed, "local@example.test", text, "192.0.2.1"); code != CodeWrong || len(h.queue.notices) != 0 {
			t.Errorf("a link password breaks the glass: %s", code)
		}
		h.Pass(LinkLife)
		if _, code := h.log(h.link, "local@example.test", text, "192.0.2.1"); code != CodeWrong {
			t.Errorf("after its life: %s", code)
		}
	})
}

func TestReset(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		secret := logintest.Secret(t)
		err := h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := h.World.Sessions.Open(ctx, tx, session.Opening{
				Person: logintest.Local, Org: logintest.CityA, Network: policies.NetworkInternet, Assurance: policies.AssuranceCard, AMR: []string{"sc"},
				Method: identity.MethodCard, Now: h.Now().UnixMicro(), AuthAt: h.Now().UnixMicro(), Secret: secret,
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		first := h.reset(logintest.Local)
		if _, _, err := h.World.Sessions.Read(t.Context(), secret, policies.NetworkInternet, h.Now()); !errors.Is(err, session.ErrEnded) {
			t.Errorf("a session outlives the reset: %v", err)
		}
		second := h.reset(logintest.Local)
		if _, code := h.log(h.link, "local@example.test", first, "192.0.2.1"); code != CodeWrong {
			t.Error("the password before stands")
		}
		if _, code := h.log(h.link, "local@example.test", second, "192.0.2.1"); code != "" || len(second) != 24 {
			t.Error(code, len(second))
		}
		rows := h.Audit(t, audit.Filter{Action: "password.reset"})
		if len(rows) != 2 || rows[0].Actor != string(logintest.LocalBoss) || rows[0].Object != string(logintest.Local) {
			t.Errorf("%+v", rows)
		}
		for _, r := range h.Audit(t, audit.Filter{}) {
			if text := fmt.Sprintf("%+v", r); strings.Contains(text, first) || strings.Contains(text, second) {
				t.Errorf("a password in the audit log: %s", text)
			}
		}
		boss, scope := h.scope(logintest.LocalBoss, policies.ActionPeopleWrite)
		_, reads := h.scope(logintest.LocalBoss, policies.ActionPeopleRead)
		vendor, err := h.Resolver.Person(t.Context(), logintest.Vendor)
		if err != nil {
			t.Fatal(err)
		}
		for name, fn := range map[string]func(ctx context.Context, tx *sql.Tx) (string, error){
			"another organization": func(ctx context.Context, tx *sql.Tx) (string, error) {
				return h.Reset(ctx, tx, boss, scope, identity.Person{ID: logintest.Ministry, Org: logintest.MinistryA}, h.Now())
			},
			"to read alone": func(ctx context.Context, tx *sql.Tx) (string, error) {
				return h.Reset(ctx, tx, boss, reads, identity.Person{ID: logintest.Local, Org: logintest.CityA}, h.Now())
			},
			"somebody else's scope": func(ctx context.Context, tx *sql.Tx) (string, error) {
				return h.Reset(ctx, tx, vendor, scope, identity.Person{ID: logintest.Local, Org: logintest.CityA}, h.Now())
			},
			"a leaver": func(ctx context.Context, tx *sql.Tx) (string, error) {
				return h.Reset(ctx, tx, boss, scope, identity.Person{ID: logintest.Gone, Org: logintest.CityA, EndedAt: 1}, h.Now())
			},
			"a sealed account by a city": func(ctx context.Context, tx *sql.Tx) (string, error) {
				return h.Seal(ctx, tx, boss, scope, identity.Person{ID: logintest.System, Org: logintest.Agency, Role: policies.RoleSystemAdministrator}, h.Now())
			},
		} {
			if text, err := h.try(fn); !errors.Is(err, identity.ErrRefused) || text != "" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSealed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		system, scope := h.scope(logintest.System, policies.ActionPeopleWrite)
		seal := func(p identity.Person) (string, error) {
			return h.try(func(ctx context.Context, tx *sql.Tx) (string, error) {
				return h.Seal(ctx, tx, system, scope, p, h.Now())
			})
		}
		for name, p := range map[string]identity.Person{
			"one's own": system.Person, "no system administrator": {ID: logintest.LocalBoss, Org: logintest.CityA, Role: policies.RoleAdministrator},
			"a leaver": {ID: "x", Org: logintest.Agency, Role: policies.RoleSystemAdministrator, EndedAt: 1},
		} {
			if _, err := seal(p); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.cfg.Names = names{"second@example.test": "second"}
		text, err := seal(identity.Person{ID: "second", Org: logintest.Agency, Role: policies.RoleSystemAdministrator})
		if err != nil {
			t.Fatal(err)
		}
		if _, code := h.log(h.link, "second@example.test", text, "192.0.2.1"); code != CodeWrong {
			t.Errorf("a sealed password links a card: %s", code)
		}
		p, code := h.log(h.sealed, "second@example.test", text, "192.0.2.1")
		if code != "" || p.Use != login.UseLogin || p.Method != identity.MethodBreakGlass || len(h.queue.notices) != 1 || h.queue.notices[0].Object != "second" {
			t.Errorf("%+v, %s, %+v", p, code, h.queue.notices)
		}
		// Where nobody can be told, nothing is opened.
		h.queue.err = errors.New("the engine is down")
		_, err = h.sealed.Finish(t.Context(), login.Attempt{Address: "192.0.2.1", At: h.Now().UnixMicro()}, form(t, "second@example.test", text))
		if err == nil {
			t.Error("the glass broke in silence")
		}
		if _, err := NewMethod(h.Store, KindSealed, nil); err == nil {
			t.Error("a sealed account of which nobody hears")
		}
	})
}

func form(t *testing.T, name, password string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://id.example.test/", strings.NewReader(url.Values{"name": {name}, "password": {password}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// Nobody learns by the answer, by what is counted or by the work whether there is an account.
func TestEnumeration(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.reset(logintest.Local)
		for _, name := range []string{"local@example.test", "boss@example.test", "nobody@example.test", "\x00", "\xff", strings.Repeat("a", 254)} {
			var codes []string
			for range perPair.burst + 2 {
				_, code := h.log(h.link, name, "a wrong password", "192.0.2."+fmt.Sprint(len(name)%200))
				codes = append(codes, code)
			}
			want := slices.Repeat([]string{CodeWrong}, int(perPair.burst))
			if n := h.made.Swap(0); n != perPair.burst {
				t.Errorf("%q: %d hashes for %d answers", name, n, perPair.burst)
			}
			if want = append(want, CodeThrottled, CodeThrottled); !slices.Equal(codes, want) {
				t.Errorf("%q: %q", name, codes)
			}
		}
		// The same cost: the hash that nobody has is made as everybody's.
		hash, err := h.stored(t.Context(), logintest.Local, KindLink, h.Now().UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		dummy, err := h.dummy()
		if err != nil {
			t.Fatal(err)
		}
		if a, b := strings.Split(hash, "$"), strings.Split(dummy, "$"); !slices.Equal(a[:4], b[:4]) || len(hash) != len(dummy) {
			t.Errorf("%q and %q", hash, dummy)
		}
		if same, err := matches("nobody's password", dummy); err != nil || !same {
			t.Fatal("the dummy isn't what it says", err)
		}
		if _, code := h.log(h.link, "nobody2@example.test", "nobody's password", "192.0.2.250"); code != CodeWrong {
			t.Errorf("the dummy's password logs somebody in: %s", code)
		}
	})
}

// 10,000 wrong passwords from 1,000 addresses: few are even looked at, and whoever has been here before isn't locked out.
func TestTenThousandWrongPasswords(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		text := h.reset(logintest.Local)
		const own = "198.51.100.7"
		if _, code := h.log(h.link, "local@example.test", text, own); code != "" {
			t.Fatal(code)
		}
		compared, tries := 0, 10_000
		if h.DB.Engine() == sqldb.PostgreSQL {
			tries = 2_000 // each address twice: a commit takes much longer there
		}
		for i := range tries {
			name := "local@example.test"
			if i%10 == 9 { // names are tried in all ways to write them
				name = " LOCAL@example.TEST "
			}
			_, code := h.log(h.link, name, "guess number "+fmt.Sprint(i), fmt.Sprintf("10.0.%d.%d", i%1000/250, i%250))
			switch code {
			case CodeWrong:
				compared++
			case CodeThrottled:
			default:
				t.Fatalf("guess %d: %q", i, code)
			}
		}
		if compared > int(perAccount.burst)+1 {
			t.Errorf("%d guesses were looked at", compared)
		}
		if _, code := h.log(h.link, "local@example.test", text, own); code != "" {
			t.Errorf("strangers lock out whoever has been here before: %s", code)
		}
		if _, code := h.log(h.link, "local@example.test", text, "198.51.100.8"); code != CodeThrottled {
			t.Errorf("from an unknown address: %s", code)
		}
		if _, code := h.log(h.link, "boss@example.test", "x", "10.0.0.1"); code != CodeWrong {
			t.Errorf("another account is throttled: %s", code)
		}
		h.Pass(perAccount.interval)
		if _, code := h.log(h.link, "local@example.test", text, "198.51.100.8"); code != "" {
			t.Errorf("the flood is over: %s", code)
		}
		for more := true; more; {
			var err error
			if more, err = h.Sweep(t.Context(), h.Now().Add(24*time.Hour), 500); err != nil {
				t.Fatal(err)
			}
		}
		var left int
		if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM password_throttle`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d counters stay, %v", left, err)
		}
	})
}

func TestRightPasswordsCostNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		text := h.reset(logintest.Local)
		for i := range 5 * int(perPair.burst) {
			if _, code := h.log(h.link, "local@example.test", text, "2001:db8::"+fmt.Sprint(i)); code != "" {
				t.Fatalf("login %d: %s", i, code)
			}
		}
	})
}

func TestChange(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		own, err := h.Resolver.Person(t.Context(), logintest.Local)
		if err != nil {
			t.Fatal(err)
		}
		own.Person.Email, own.Person.FamilyRomaji, own.Org.Name = "local@example.test", "Sapporo", "札幌市"
		for password, want := range map[string]error{
			"short":                        ErrShort,
			"14 characters.":               ErrShort,
			strings.Repeat("長い", MaxBytes): ErrLong,
			"not a text \xff and so on":    ErrText,
			"nul \x00 nul nul nul nul":     ErrText,
			"correct horse battery staple": ErrBreached,
			"ｃｏｒｒｅｃｔ horse battery staple": ErrBreached,
			"local@example.test1":          ErrGuess,
			"SapporoSapporo12":             ErrGuess,
			"aaaaaaaaaaaaaaaaaaaaaaa":      ErrGuess,
			"春はあけぼの、やうやう白くなりゆく山ぎは":            nil,
			"a sentence that nobody else has": nil,
		} {
			if err := h.Change(t.Context(), own, password, h.Now()); !errors.Is(err, want) || err != nil && strings.Contains(err.Error(), password) {
				t.Errorf("%q: %v, want %v", password, err, want)
			}
		}
		if err := h.Change(t.Context(), own, "the list is broken", h.Now()); err == nil {
			t.Error("taken without the list")
		}
		if _, code := h.log(h.link, "local@example.test", "a sentence that nobody else has", "192.0.2.1"); code != "" {
			// The map's order decides which of the two good ones was last.
			if _, code := h.log(h.link, "local@example.test", "春はあけぼの、やうやう白くなりゆく山ぎは", "192.0.2.1"); code != "" {
				t.Error(code)
			}
		}
		if err := h.Change(t.Context(), access.System(policies.TaskLogin), "a sentence that nobody else has", h.Now()); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
		err = h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return Forget(ctx, tx, logintest.Local) })
		if err != nil {
			t.Fatal(err)
		}
		if hash, err := h.stored(t.Context(), logintest.Local, KindLink, h.Now().UnixMicro()); err != nil || hash != "" {
			t.Errorf("%q, %v", hash, err)
		}
	})
}

func TestForms(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for name, r := range map[string]*http.Request{
			"empty": form(t, "", ""), "no password": form(t, "local@example.test", ""), "long name": form(t, strings.Repeat("a", 255), "x"),
			"long password": form(t, "local@example.test", strings.Repeat("a", MaxBytes+1)), "large": form(t, "a", strings.Repeat("a", 1<<20)),
		} {
			_, err := h.link.Finish(t.Context(), login.Attempt{At: 1}, r)
			var no *login.Rejection
			if !errors.As(err, &no) || no.Code != CodeWrong {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestHash(t *testing.T) {
	hash, err := derive("pass", cheap, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"pass": true, "Pass": false, "": false, "pass ": false} {
		if same, err := matches(text, hash); err != nil || same != want {
			t.Errorf("%q: %v, %v", text, same, err)
		}
	}
	for _, bad := range []string{
		"", "pass", "$argon2i" + hash[9:], strings.Replace(hash, "v=19", "v=16", 1), strings.Replace(hash, "m=8", "m=99999999", 1), strings.Replace(hash, "t=1", "t=999", 1),
		strings.Replace(hash, "p=1", "p=0", 1), hash[:len(hash)-1], hash + "A", hash + "$",
	} {
		if _, err := matches("pass", bad); !errors.Is(err, errHash) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if DefaultCost.check() != nil || (Cost{}).check() == nil || (Cost{Time: 1, Memory: 1 << 30, Threads: 1}).check() == nil {
		t.Error("costs")
	}
}

// The list is searched right, whatever is in it and however its lines end.
func TestList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := map[string]bool{}
		var lines []string
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 500), 1, 60, rapid.ID[int]).Draw(t, "passwords") {
			in[fmt.Sprint(n)] = true
			sum := sha1.Sum([]byte(fmt.Sprint(n)))
			line := strings.ToUpper(hex.EncodeToString(sum[:]))
			if rapid.Bool().Draw(t, "count") {
				line += ":" + fmt.Sprint(rapid.IntRange(1, 1e9).Draw(t, "seen"))
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end")
		text := strings.Join(lines, end)
		if rapid.Bool().Draw(t, "last") {
			text += end
		}
		l, err := NewList(strings.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 501 {
			found, err := l.Contains(fmt.Sprint(n))
			if err != nil || found != in[fmt.Sprint(n)] {
				t.Fatalf("%d: %v, %v", n, found, err)
			}
		}
	})
	for _, text := range []string{"", "password\n", strings.Repeat("A", 300)} {
		if _, err := NewList(strings.NewReader(text), int64(len(text))); err == nil {
			t.Errorf("%.20q is taken for a list", text)
		}
	}
}

func TestNewPassword(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p, err := newPassword(rand.Reader)
		if err != nil || len(p) != 24 || seen[p] || strings.Trim(p, "23456789abcdefghjkmnpqrstuvwxyz-") != "" {
			t.Fatal(p, err)
		}
		if _, err := check(p, breached{}, nil); err != nil {
			t.Fatal(p, err)
		}
		seen[p] = true
	}
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		if _, err := derive("a sentence that nobody else has", DefaultCost, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

// A sealed account is listed and taken away by whoever may in the whole workspace; its sessions end, the person's others stay.
func TestUnseal(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		system, scope := h.scope(logintest.System, policies.ActionPeopleWrite)
		_, reads := h.scope(logintest.System, policies.ActionPeopleRead)
		boss, own := h.scope(logintest.LocalBoss, policies.ActionPeopleWrite)
		_, ownReads := h.scope(logintest.LocalBoss, policies.ActionPeopleRead)
		second := identity.Person{ID: "second", Org: logintest.Agency, Role: policies.RoleSystemAdministrator}
		h.cfg.Names = names{"second@example.test": "second"}
		text, err := h.try(func(ctx context.Context, tx *sql.Tx) (string, error) {
			return h.Seal(ctx, tx, system, scope, second, h.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = h.reset(logintest.Local) // a link password is none of these
		list, err := h.Sealed(t.Context(), reads)
		if err != nil || len(list) != 1 || list[0].Person != "second" || list[0].ExpiresAt-list[0].SetAt != SealedLife.Microseconds() {
			t.Errorf("%+v, %v", list, err)
		}
		for name, s := range map[string]policies.Scope{"a city's": ownReads, "to write": scope, "none": {}} {
			if _, err := h.Sealed(t.Context(), s); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		unseal := func(by access.Actor, s policies.Scope, p identity.Person) error {
			return h.World.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return h.Unseal(ctx, tx, by, s, p, h.Now()) })
		}
		for name, err := range map[string]error{"a city's": unseal(boss, own, second), "another's scope": unseal(boss, scope, second), "to read": unseal(system, reads, second)} {
			if !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := unseal(system, scope, identity.Person{ID: logintest.Local, Org: logintest.CityA}); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		if err := unseal(system, scope, second); err != nil {
			t.Fatal(err)
		}
		if _, code := h.log(h.sealed, "second@example.test", text, "192.0.2.1"); code != CodeWrong {
			t.Errorf("it still opens: %q", code)
		}
		if rows := h.Audit(t, audit.Filter{Action: "password.unseal"}); len(rows) != 1 || rows[0].Object != "second" {
			t.Errorf("%+v", rows)
		}
	})
}
