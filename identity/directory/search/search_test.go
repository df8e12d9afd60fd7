package search

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/fold"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

var everything = policies.System(policies.TaskTest)

// source is a directory in memory.
type source struct {
	sync.Mutex
	orgs   []identity.Organization
	people map[policies.PersonID]identity.Person
	feed   []directory.Change
	fail   error
	during func() // called while people are read
}

func (s *source) EachPerson(_ context.Context, _ policies.Scope, fn func(identity.Person) error) error {
	s.Lock()
	defer s.Unlock()
	var list []identity.Person
	for _, p := range s.people {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b identity.Person) int { return cmp.Compare(a.ID, b.ID) })
	if s.during != nil {
		s.during()
		s.during = nil
	}
	for _, p := range list {
		if err := fn(p); err != nil {
			return err
		}
	}
	return s.fail
}

func (s *source) Organizations(_ context.Context, _ policies.Scope, f directory.OrgFilter) ([]identity.Organization, error) {
	s.Lock()
	defer s.Unlock()
	var list []identity.Organization
	for _, o := range s.orgs {
		if o.ID > f.After && len(list) < f.Limit {
			list = append(list, o)
		}
	}
	return list, s.fail
}

func (s *source) Changes(_ context.Context, _ policies.Scope, after int64, limit int) ([]directory.Change, error) {
	s.Lock()
	defer s.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	return s.feed[min(int(after), len(s.feed)):min(int(after)+limit, len(s.feed))], nil
}

func (s *source) LastChange(context.Context, policies.Scope) (int64, error) {
	s.Lock()
	defer s.Unlock()
	return int64(len(s.feed)), s.fail
}

func (s *source) append(kind directory.ChangeKind, org policies.OrgID, object string, after any) {
	b, err := json.Marshal(after)
	if err != nil {
		panic(err)
	}
	s.feed = append(s.feed, directory.Change{Number: int64(len(s.feed) + 1), Kind: kind, Org: org, Object: object, After: b})
}

// change lets a test write while somebody follows.
func (s *source) change(fn func()) {
	s.Lock()
	defer s.Unlock()
	fn()
}

// put adds or changes a person.
func (s *source) put(p identity.Person) {
	s.people[p.ID] = p
	kind := directory.PersonChanged
	if !p.Active() {
		kind = directory.PersonEnded
	}
	s.append(kind, p.Org, string(p.ID), map[string]any{
		"org": p.Org, "staff_number": p.StaffNumber, "family_name": p.FamilyName, "given_name": p.GivenName, "family_kana": p.FamilyKana, "given_kana": p.GivenKana,
		"family_romaji": p.FamilyRomaji, "given_romaji": p.GivenRomaji, "email": p.Email, "role": p.Role, "section": p.Section, "title": p.Title, "duties": p.Duties,
		"phone": p.Phone, "extension": p.Extension, "fax": p.Fax, "absent_from": p.AbsentFrom, "absent_until": p.AbsentUntil, "ended_at": p.EndedAt,
	})
}

var start = time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)

func open(t testing.TB, s *source) *Index {
	t.Helper()
	x, err := Open(t.Context(), s, everything, func() time.Time { return start })
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func catchUp(t testing.TB, x *Index) {
	t.Helper()
	if _, err := x.CatchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func ids(p Page) string {
	var list []string
	for _, c := range p.Contacts {
		list = append(list, string(c.ID))
	}
	return strings.Join(list, " ")
}

func (x *Index) must(t testing.TB, scope policies.Scope, text string) string {
	t.Helper()
	p, err := x.Search(scope, Query{Text: text, Limit: MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	return ids(p)
}

func towns() *source {
	s := &source{people: map[policies.PersonID]identity.Person{}, orgs: []identity.Organization{
		{ID: "011002", Name: "札幌市", Kana: "さっぽろし"}, {ID: "131016", Name: "千代田区", Kana: "ちよだく"},
	}}
	for _, p := range []identity.Person{
		{ID: "sato", Org: "011002", FamilyName: "佐藤", GivenName: "花子", FamilyKana: "サトウ", GivenKana: "ハナコ", Section: "税務課 市民税係", Title: "係長", Duties: "住民税・軽自動車税", Phone: "011-211-2111", Extension: "4321", Email: "Hanako@city.example.lg.jp"},
		{ID: "watanabe", Org: "011002", FamilyName: "渡邉", GivenName: "髙志\U000e0100", FamilyKana: "ﾜﾀﾅﾍﾞ", GivenKana: "ﾀｶｼ", Section: "情報政策課", Title: "主査", Email: "w@city.example.lg.jp"},
		{ID: "smith", Org: "131016", FamilyName: "スミス", GivenName: "アン", FamilyRomaji: "Smith", GivenRomaji: "Ann", Section: "国際課", Email: "ann@ku.example.lg.jp"},
		{ID: "ono", Org: "131016", FamilyName: "大野", GivenName: "佐吉", FamilyKana: "オオノ", GivenKana: "サキチ", Section: "佐藤記念館", Email: "ohno@ku.example.lg.jp", AbsentFrom: 1, AbsentUntil: start.UnixMicro() + 1},
		{ID: "ended", Org: "131016", FamilyName: "佐藤", FamilyKana: "サトウ", EndedAt: 1},
	} {
		s.people[p.ID] = p
	}
	return s
}

func TestSearch(t *testing.T) {
	x := open(t, towns())
	for text, want := range map[string]string{
		"佐藤":  "sato ono", // by name before by section
		"さとう": "sato", "サトウ": "sato", "ｻﾄｳ": "sato", "sato": "sato", "satou": "sato", "SATŌ": "sato", "satoh": "sato", "さと": "sato", "とう": "",
		"佐藤花子": "sato", "佐藤　花子": "sato", "はなこ さとう": "sato", "hanako sato": "sato", "satohanako": "sato", "さとうはなこ": "sato",
		"渡辺": "watanabe", "渡邊": "watanabe", "高志": "watanabe", "わたなべ": "watanabe", "watanabe takashi": "watanabe",
		"Smith": "smith", "smi": "smith", "すみす": "smith",
		"ohno": "ono", "ono": "ono", "oono": "ono", "おおの": "ono",
		"税務": "sato", "市民税": "sato", "軽自動車": "sato", "係長": "sato", "情報 主査": "watanabe", "税務 主査": "",
		"札幌": "sato watanabe", "さっぽろ": "sato watanabe", "sapporo": "sato watanabe", "千代田 大野": "ono", "札幌 大野": "", "佐 千代田": "ono",
		"0112": "sato", "011-211": "sato", "011-211-2111": "sato", "4321": "sato", "432": "sato", "9": "", "hanako@city": "sato", "hanako@CITY.example.lg.jp": "sato",
		"": "", "  ": "", "\x00": "", "%": "", "\xff": "",
	} {
		if got := x.must(t, everything, text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	page, err := x.Search(everything, Query{Text: "おおの"})
	if err != nil || len(page.Contacts) != 1 || !page.Contacts[0].Absent || page.Contacts[0].OrgName != "千代田区" || page.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	page, err = x.Search(everything, Query{Text: "わたなべ"})
	if c := page.Contacts[0]; err != nil || c.Absent || c.GivenName != "髙志\U000e0100" || c.FamilyKana != "ﾜﾀﾅﾍﾞ" {
		t.Errorf("not as registered: %+v, %v", c, err)
	}
}

// scopeOf mints a scope over towns through the real engine.
func scopeOf(t testing.TB, what policies.Action, own ...policies.OrgID) policies.Scope {
	t.Helper()
	schema, err := fs.ReadFile(policies.Files, load.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := load.Load(fstest.MapFS{
		load.SchemaFile:   {Data: schema},
		"rules/all.cedar": {Data: []byte("@id(\"all\") permit (principal, action, resource is Musubi::Organization);\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	var list []policies.Organization
	for _, id := range own {
		list = append(list, policies.Organization{ID: id, Kind: policies.KindMunicipality, Parent: "010006"})
	}
	s, err := engine.Scope(policies.Person{ID: "actor", Org: list[0], Role: policies.RoleAdministrator, Active: true}, what, list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScope(t *testing.T) {
	x := open(t, towns())
	sapporo, chiyoda := scopeOf(t, action, "011002"), scopeOf(t, action, "131016")
	for text, want := range map[string][2]string{"佐藤": {"sato", "ono"}, "札幌": {"sato watanabe", ""}, "千代田": {"", "ono smith"}, "課": {"", ""}, "w": {"watanabe", ""}} {
		if a, b := x.must(t, sapporo, text), x.must(t, chiyoda, text); a != want[0] || b != want[1] {
			t.Errorf("%s: %q, %q", text, a, b)
		}
	}
	for _, s := range []policies.Scope{{}, scopeOf(t, policies.ActionOrgRead, "011002")} {
		if p, err := x.Search(s, Query{Text: "佐藤"}); !errors.Is(err, identity.ErrRefused) || len(p.Contacts) != 0 || p.Total != 0 {
			t.Errorf("%v, %v", p, err)
		}
	}
	// A cursor tells nothing of who is outside the scope.
	for _, cursor := range []string{"0.sato", "0.nobody", "0.ended", "x", "-1.ono", "99.ono"} {
		if _, err := x.Search(chiyoda, Query{Text: "佐", After: cursor}); !errors.Is(err, ErrCursor) {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := towns()
		x := open(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		done, failures := make(chan error), 0
		go func() { done <- x.Follow(ctx, time.Second, func(error) { failures++ }) }()
		ono := s.people["ono"]
		ono.Section, ono.Org = "税務課", "011002"
		s.change(func() { s.put(ono) })
		if got := x.must(t, everything, "税務"); got != "sato" {
			t.Errorf("before the poll: %q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := x.must(t, everything, "税務 札幌"); got != "ono sato" {
			t.Errorf("after a transfer: %q", got)
		}
		s.change(func() {
			s.fail = errors.New("database is away")
			gone := s.people["sato"]
			gone.EndedAt = 2
			s.put(gone)
		})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := x.must(t, everything, "税務"); failures != 3 || got != "ono sato" {
			t.Errorf("%d failures, %q", failures, got)
		}
		s.change(func() {
			s.fail = nil
			s.orgs[0].Name = "新札幌市"
			s.append(directory.OrgChanged, "011002", "011002", map[string]any{"name": "新札幌市"})
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := x.must(t, everything, "新札幌"); got != "ono watanabe" || x.Number() != 3 || x.Len() != 3 {
			t.Errorf("after the leaver: %q, %d, %d", got, x.Number(), x.Len())
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// What changes while the index is loaded isn't lost, and what the feed says in a form that can't be read is nobody's to find.
func TestOpenWhileChanging(t *testing.T) {
	s := towns()
	s.during = func() {
		p := s.people["sato"]
		p.FamilyName, p.FamilyKana = "鈴木", "スズキ"
		s.put(p)
	}
	x := open(t, s)
	if got := x.must(t, everything, "鈴木"); got != "sato" || x.must(t, everything, "さとう") != "" {
		t.Error(got)
	}
	s.feed = append(s.feed, directory.Change{Number: 2, Kind: directory.PersonChanged, Org: "011002", Object: "watanabe"}) // erased
	catchUp(t, x)
	if got := x.must(t, everything, "わたなべ"); got != "" {
		t.Error(got)
	}
	s.feed = append(s.feed, directory.Change{Number: 3, Kind: directory.PersonChanged, Org: "011002", Object: "ono", After: []byte("{")})
	if _, err := x.CatchUp(t.Context()); err == nil || x.Number() != 2 {
		t.Error(err, x.Number())
	}
	s.fail = errors.New("away")
	if _, err := Open(t.Context(), s, everything, time.Now); !errors.Is(err, s.fail) {
		t.Error(err)
	}
}

// naive says what a search must find, person by person, from the words of the package's contract.
func naive(people map[policies.PersonID]identity.Person, orgs []identity.Organization, scope policies.Scope, text string) []policies.PersonID {
	type found struct {
		rank int
		key  string
		id   policies.PersonID
	}
	var list []found
	folder := newFolder()
	query := strings.Fields(fold.Key(text))
	for _, p := range people {
		if !p.Active() || !scope.Covers(p.Org) || len(query) == 0 {
			continue
		}
		var org identity.Organization
		for _, o := range orgs {
			if o.ID == p.Org {
				org = o
			}
		}
		sum := 0
		for _, w := range query[:min(len(query), maxWords)] {
			r := naiveRank(&p, &org, w)
			if r < 0 {
				sum = -1
				break
			}
			sum += r
		}
		if sum >= 0 {
			c := contactOf(&p)
			list = append(list, found{sum, c.order(folder), p.ID})
		}
	}
	slices.SortFunc(list, func(a, b found) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.key, b.key)) })
	var all []policies.PersonID
	for _, f := range list {
		all = append(all, f.id)
	}
	return all
}

func naiveRank(p *identity.Person, o *identity.Organization, w string) int {
	begins := func(prefix string, texts ...string) bool {
		for _, t := range texts {
			parts := append(strings.FieldsFunc(t, func(r rune) bool { return strings.ContainsRune(separators, r) }), t)
			for _, part := range parts {
				if prefix != "" && part != "" && strings.HasPrefix(part, prefix) {
					return true
				}
			}
		}
		return false
	}
	k, r := fold.Key, fold.Romaji
	joined := func(a, b string) string {
		if a == "" || b == "" {
			return ""
		}
		return a + b
	}
	latin := strings.Trim(w, "abcdefghijklmnopqrstuvwxyz'-.") == ""
	var foreign []string
	if p.FamilyKana == "" {
		foreign = []string{r(p.FamilyRomaji), r(p.GivenRomaji), r(p.FamilyRomaji) + r(p.GivenRomaji), r(p.GivenRomaji) + r(p.FamilyRomaji)}
	}
	romaji := []string{
		r(p.FamilyKana), r(p.GivenKana), r(p.FamilyKana) + r(p.GivenKana), r(p.GivenKana) + r(p.FamilyKana),
		r(p.FamilyRomaji), r(p.GivenRomaji), r(p.FamilyRomaji) + r(p.GivenRomaji), r(p.GivenRomaji) + r(p.FamilyRomaji),
	}
	if p.FamilyKana == "" {
		romaji = append(romaji, r(p.FamilyName), r(p.GivenName), r(p.FamilyName)+r(p.GivenName), r(p.GivenName)+r(p.FamilyName))
	}
	number := digits(w)
	phone := strings.Trim(w, "0123456789-()+.") == "" && len(number) > 1 &&
		(strings.HasPrefix(digits(k(p.Phone)), number) || strings.HasPrefix(digits(k(p.Extension)), number))
	switch {
	case begins(w, k(p.FamilyName), k(p.GivenName), joined(k(p.FamilyName), k(p.GivenName)), k(p.FamilyKana), k(p.GivenKana), joined(k(p.FamilyKana), k(p.GivenKana))),
		latin && begins(r(w), romaji...), !latin && fold.HasKana(w) && begins(r(w), foreign...),
		w[0] < 0x80 && strings.HasPrefix(k(p.Email), w), phone:
		return rankName
	case begins(w, k(p.Section), k(p.Title), k(p.Duties)):
		return rankPost
	case begins(w, k(o.Name), k(o.Kana)), latin && begins(r(w), r(o.Kana)):
		return rankOrg
	}
	return -1
}

var (
	families = [][3]string{{"佐藤", "サトウ", ""}, {"齋藤", "ｻｲﾄｳ", "Saitoh"}, {"斉藤", "さいとう", ""}, {"大野", "オオノ", "Ohno"}, {"小野", "オノ", ""}, {"佐田", "サダ", ""}, {"スミス", "", "Smith"}, {"李", "リ", "Lee"}, {"", "", ""}}
	givens   = [][3]string{{"花子", "ハナコ", ""}, {"太郎", "タロウ", "Taroh"}, {"ゆう", "ユウ", ""}, {"", "", ""}, {"ジョン 二世", "ジョン", "John Jr"}}
	sections = []string{"", "税務課 市民税係", "税務課", "佐藤記念館", "ＩＴ推進・DX課", "大野支所"}
	searched = []string{"佐", "佐藤", "さ", "さとう", "さい", "サイト", "sa", "sato", "saito", "ono", "おお", "o", "t", "たろ", "はな", "花", "税", "市民", "it", "dx", "札幌", "さっぽろ", "sapporo", "s", "千", "chi", "ち", "011", "0", "a1", "a", "smi", "スミ", "リ", "lee", "ri", "大野", "佐藤花", "課", "二世", "jr", "%", "01-1"}
)

func drawPerson(t *rapid.T, id policies.PersonID) identity.Person {
	f, g := rapid.SampledFrom(families).Draw(t, "family"), rapid.SampledFrom(givens).Draw(t, "given")
	n := rapid.IntRange(0, 30).Draw(t, "n")
	p := identity.Person{
		ID: id, Org: rapid.SampledFrom([]policies.OrgID{"011002", "131016", "999999"}).Draw(t, "org"),
		FamilyName: f[0], FamilyKana: f[1], FamilyRomaji: f[2], GivenName: g[0], GivenKana: g[1], GivenRomaji: g[2],
		Section: rapid.SampledFrom(sections).Draw(t, "section"), Title: rapid.SampledFrom([]string{"", "課長", "佐"}).Draw(t, "title"),
		Email: fmt.Sprintf("A%d@x.example.jp", n), Phone: fmt.Sprintf("01-1%d", n), Extension: rapid.SampledFrom([]string{"", "０１２", "7"}).Draw(t, "extension"),
	}
	if rapid.IntRange(0, 5).Draw(t, "ended") == 0 {
		p.EndedAt = 1
	}
	return p
}

// A search finds what a filter over everybody finds, in the same order, page by page, after any changes, in any scope.
func TestSearchIsFilter(t *testing.T) {
	scopes := []policies.Scope{everything, scopeOf(t, action, "011002"), scopeOf(t, action, "131016"), scopeOf(t, action, "011002", "131016")}
	rapid.Check(t, func(t *rapid.T) {
		s := towns()
		s.people = map[policies.PersonID]identity.Person{}
		draw := func() identity.Person {
			return drawPerson(t, policies.PersonID(fmt.Sprintf("p%02d", rapid.IntRange(0, 40).Draw(t, "id"))))
		}
		for range rapid.IntRange(0, 30).Draw(t, "people") {
			p := draw()
			s.people[p.ID] = p
		}
		x, err := Open(context.Background(), s, everything, func() time.Time { return start })
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 3).Draw(t, "rounds") {
			for range rapid.IntRange(0, 10).Draw(t, "changes") {
				s.put(draw())
			}
			if _, err := x.CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "rebuild") {
				next := *x.state.Load()
				next.orgs = next.orgs.clone()
				x.rebuild(&next)
				x.state.Store(&next)
			}
		}
		for range 5 {
			text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(searched), 1, 3).Draw(t, "words"), " ")
			scope := rapid.SampledFrom(scopes).Draw(t, "scope")
			want := naive(s.people, s.orgs, scope, text)
			var got []policies.PersonID
			q := Query{Text: text, Limit: rapid.IntRange(1, 7).Draw(t, "limit")}
			for {
				page, err := x.Search(scope, q)
				if err != nil || page.Total != len(want) || len(page.Contacts) > q.Limit {
					t.Fatalf("%q: %d of %d, %v", text, page.Total, len(want), err)
				}
				for _, c := range page.Contacts {
					if !scope.Covers(c.Org) {
						t.Fatalf("%q reached %s of %s", text, c.ID, c.Org)
					}
					got = append(got, c.ID)
				}
				if page.Next == "" {
					break
				}
				q.After = page.Next
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q: got %v, want %v", text, got, want)
			}
		}
	})
}

// Many changes at once put everybody in order anew, and nobody is lost.
func TestRebuild(t *testing.T) {
	s := towns()
	x := open(t, s)
	for i := range minOverlay + 1 {
		s.put(identity.Person{ID: policies.PersonID(fmt.Sprintf("n%05d", i)), Org: "011002", FamilyName: "新", FamilyKana: "シン", Email: fmt.Sprintf("n%d@x.jp", i)})
	}
	catchUp(t, x)
	page, err := x.Search(everything, Query{Text: "しん"})
	if err != nil || page.Total != minOverlay+1 || x.rebuilds != 1 || len(x.overlay) != 0 || x.Len() != minOverlay+5 {
		t.Errorf("%d, %d rebuilds, %d people, %v", page.Total, x.rebuilds, x.Len(), err)
	}
	if got := x.must(t, everything, "佐藤"); got != "sato ono" {
		t.Error(got)
	}
}
