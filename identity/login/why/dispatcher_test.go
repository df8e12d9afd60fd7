package why_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// card is a method that proves the one whose turn it is, as surely as it is told to; unlinked, it proves a card that is nobody's.
type card struct {
	proof    login.Proof
	unlinked bool
}

func (c *card) Begin(_ context.Context, a login.Attempt) (login.Instruction, error) {
	return login.Instruction{Location: "https://card.example.test/?" + a.Ticket}, nil
}

func (c *card) Finish(_ context.Context, a login.Attempt, _ *http.Request) (login.Proof, error) {
	p := c.proof
	p.At = a.At
	if c.unlinked {
		p.Person = ""
	}
	return p, nil
}

func (c *card) Link(context.Context, *sql.Tx, policies.PersonID, string, int64) error { return nil }

// answers is an issuer that keeps the last answer.
type answers struct{ last *identity.Login }

func (i *answers) Finish(_ context.Context, _ *sql.Tx, _ login.Request, l identity.Login) (login.Answer, error) {
	i.last = &l
	return login.Answer{Location: "https://rp.example.test/"}, nil
}

func (*answers) Refuse(context.Context, *sql.Tx, login.Request, login.Refusal) (login.Answer, error) {
	return login.Answer{Location: "https://rp.example.test/?error"}, nil
}

type onlyParty policies.RelyingParty

func (p onlyParty) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	if id != p.ID {
		return policies.RelyingParty{}, identity.ErrNotFound
	}
	return policies.RelyingParty(p), nil
}

func some[T any](t *rapid.T, name string, all []T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !rapid.Bool().Draw(t, fmt.Sprint(name, " ", x)) })
}

// mostly gives all of them three times out of four.
func mostly[T any](t *rapid.T, name string, all []T) []T {
	if rapid.IntRange(0, 3).Draw(t, "all of "+name) > 0 {
		return all
	}
	return some(t, name, all)
}

// anyFacts draws somebody, a relying party, a network with its methods and a proof, and puts the person into the world.
func anyFacts(t *rapid.T, w *logintest.World, n int) (f why.Facts, offers map[identity.MethodID]login.Offer, c *card) {
	reach := rapid.SampledFrom([]policies.Assurance{policies.AssuranceCard, policies.AssuranceCard, policies.AssuranceTwo, policies.AssuranceSingle})
	org := func(name string) identity.Organization {
		kind := rapid.SampledFrom(policies.OrgKinds()).Draw(t, name)
		return identity.Organization{ID: policies.OrgID(name + "-" + string(kind)), Kind: kind}
	}
	role := func(name string) policies.Role { return rapid.SampledFrom(policies.Roles()).Draw(t, name) }
	home := org("home")
	p := identity.Person{ID: policies.PersonID(fmt.Sprint("p-", n)), Org: home.ID, Role: role("role")}
	if rapid.IntRange(0, 19).Draw(t, "ended") == 19 {
		p.EndedAt = 1
	}
	var posts []identity.Post
	var others []identity.Organization
	for i := range rapid.IntRange(0, 2).Draw(t, "posts") {
		o := org(fmt.Sprint("other", i))
		posts = append(posts, identity.Post{ID: fmt.Sprint(i), Person: p.ID, Kind: identity.PostConcurrent, Org: o.ID, Role: role(fmt.Sprint("role", i))})
		others = append(others, o)
	}
	w.Put(p, home, posts, others...)

	functions := rapid.SampledFrom([][]policies.Function{
		nil, {policies.FunctionQuestionnaire}, {policies.FunctionSharing}, {policies.FunctionQuestionnaire}, {policies.FunctionInquiries, policies.FunctionIncident}, policies.Functions(), policies.Functions(),
	})
	rp := policies.RelyingParty{
		ID: "rp", Functions: functions.Draw(t, "functions"), Networks: mostly(t, "network", policies.Networks()),
		Hub: rapid.IntRange(0, 7).Draw(t, "hub") == 7,
	}
	if rapid.Bool().Draw(t, "seats") {
		rp.Products = some(t, "product", policies.Products())
	}
	c = &card{unlinked: rapid.IntRange(0, 5).Draw(t, "unlinked") == 5}
	c.proof = login.Proof{Method: "it", Use: login.UseLogin, Person: p.ID, Credential: "c", AMR: []string{"pin"}, Assurance: reach.Draw(t, "assurance")}
	f = why.Facts{
		At: w.Now().UnixMicro(), Now: true, Network: rapid.SampledFrom(policies.Networks()).Draw(t, "from"), Assurance: c.proof.Assurance, Asked: rp.ID,
		Party: &why.Party{Name: "a party", Least: reach.Draw(t, "least"), RelyingParty: rp}, Person: p, Card: why.Card{Linked: !c.unlinked},
	}
	offers = map[identity.MethodID]login.Offer{
		"it":                      {Method: c, Reach: c.proof.Assurance, Use: login.UseLogin, Networks: mostly(t, "served", policies.Networks())},
		identity.MethodBreakGlass: {Method: c, Reach: policies.AssuranceSingle, Use: login.UseLogin, Networks: policies.Networks()},
	}
	if len(offers["it"].Networks) == 0 {
		delete(offers, "it")
	}
	if rapid.Bool().Draw(t, "another method") {
		offers["other"] = login.Offer{Method: c, Reach: reach.Draw(t, "its reach"), Use: login.UseLogin, Networks: policies.Networks()}
	}
	f.Offers = offers
	return f, offers, c
}

// told is what the dispatcher did.
type told struct {
	enters  bool
	org     policies.OrgID
	choice  []policies.OrgID
	reason  login.Reason
	methods bool // it asks for another proof
}

// dispatch sends the person through the dispatcher, who proves themselves by a method that reaches as far as they do.
func dispatch(t *rapid.T, d *login.Dispatcher, f why.Facts, c *card, issuer *answers) told {
	ctx := context.Background()
	r, browser, err := d.Start(ctx, login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: f.Asked, Network: f.Network, Required: f.Party.Least}, session.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	v := login.Visit{ID: r.ID, Browser: browser, Network: f.Network}
	must := func(n login.Next, err error) login.Next {
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := must(d.View(ctx, v))
	c.proof.Method = ""
	for _, m := range n.Methods { // the sealed account isn't the person's
		if m != identity.MethodBreakGlass && c.proof.Method == "" && f.Offers[m].Reach >= f.Assurance {
			c.proof.Method = m
		}
	}
	if c.proof.Method != "" {
		begun := must(d.Begin(ctx, v, n.Form, c.proof.Method))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://card.example.test/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		to, refusal, err := d.Prove(ctx, login.Visit{Network: f.Network}, begun.Ticket, req)
		if err != nil || refusal != nil {
			t.Fatal(refusal, err)
		}
		_, code, _ := strings.Cut(to, "code=")
		n = must(d.Return(ctx, v, code))
	}
	out := told{methods: len(n.Methods) > 0}
	for _, p := range n.Posts {
		out.choice = append(out.choice, p.Org.ID)
	}
	if n.Refusal != nil {
		out.reason = n.Refusal.Reason
	}
	if n.Answer != nil && n.Refusal == nil {
		out.enters, out.org = true, issuer.last.Org
	}
	out.enters = out.enters || len(out.choice) > 0
	return out
}

// TestNoSecondOpinion: of random people, relying parties, networks and proofs the answer is the dispatcher's, and so is the reason.
func TestNoSecondOpinion(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	w := logintest.New(t, db, login.Migration())
	n := 0
	causes := map[why.Cause]int{}
	rapid.Check(t, func(t *rapid.T) {
		n++
		f, offers, c := anyFacts(t, w, n)
		issuer := &answers{}
		d, err := login.New(login.Config{
			DB: db, Now: w.Now, Random: rand.Reader, People: w.Resolver, Posts: w.Posts, Policy: w.Engine, Parties: onlyParty(f.Party.RelyingParty), Sessions: w.Sessions,
			Offers: offers, Issuers: map[identity.IssuerID]login.Issuer{identity.IssuerOIDC: issuer},
			ReturnTo: func(_ policies.Network, _ identity.LoginID, code string) string {
				return "https://login.example.test/?code=" + code
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		actor, err := w.Resolver.Person(context.Background(), f.Person.ID)
		switch {
		case errors.Is(err, access.ErrPersonEnded):
			f.Posts = []access.Actor{{Kind: access.KindPerson, Person: f.Person}}
		case err != nil:
			t.Fatal(err)
		default:
			if f.Posts, err = w.Posts.Choices(context.Background(), actor, f.At); err != nil {
				t.Fatal(err)
			}
		}
		a, err := why.Decide(w.Engine, f)
		if err != nil {
			t.Fatal(err)
		}
		got := dispatch(t, d, f, c, issuer)
		causes[a.Cause]++
		if a.Enters != got.enters || a.Org != got.org && a.Enters || !slices.Equal(a.Choice, got.choice) && a.Enters {
			t.Fatalf("the answer is %+v\nthe dispatcher %+v", a, got)
		}
		if c.proof.Method == "" {
			return // the dispatcher never saw a proof, and knows nothing of the person
		}
		want := map[why.Cause]login.Reason{
			why.CausePersonEnded: login.ReasonPerson, why.CauseNoFunctions: login.ReasonPolicy, why.CauseFunction: login.ReasonPolicy, why.CauseSeat: login.ReasonPolicy,
			why.CauseReach: login.ReasonPolicy, why.CauseNetwork: login.ReasonPolicy, why.CauseForbidden: login.ReasonPolicy, why.CauseUnreachable: login.ReasonAssurance,
		}[a.Cause]
		switch {
		case c.unlinked: // the dispatcher asks whose the card is before it knows whom to ask the policies about
			if a.Cause == "" {
				t.Fatalf("nobody's card, and the answer is %+v", a)
			}
		case want == login.ReasonPolicy && f.Assurance < policies.AssuranceCard: // the dispatcher may ask for the card before it says no
		case want != "" && got.reason != want, a.Cause == why.CauseAssurance && !got.methods, a.Cause == why.CauseNoCard:
			t.Fatalf("the answer is %+v\nthe dispatcher %+v", a, got)
		}
	})
	t.Log(causes)
	for _, c := range []why.Cause{"", why.CauseSeat, why.CauseNetwork} {
		if causes[c] == 0 {
			t.Errorf("nobody ended in %q: %v", c, slices.Sorted(maps.Keys(causes)))
		}
	}
}
