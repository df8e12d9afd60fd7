package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// Function is a function of the workspace, as the published documents number them.
type Function string

// The functions.
const (
	FunctionQuestionnaire Function = "questionnaire"  // 1 照会
	FunctionDocuments     Function = "documents"      // 2 ドキュメント
	FunctionSharing       Function = "sharing"        // 5 情報共有
	FunctionForms         Function = "standard_forms" // 7 データ標準レイアウト
	FunctionInquiries     Function = "inquiries"      // 9 お問い合わせ
	FunctionIncident      Function = "incident"       // 10 異常時連絡等
	FunctionFAQ           Function = "faq"            // 11 FAQ
	FunctionContacts      Function = "contacts"       // 13 連絡先検索
	FunctionReports       Function = "reports"        // 14 レポート
)

// Functions lists every function that isn't administration, in the order of their numbers.
func Functions() []Function {
	return []Function{
		FunctionQuestionnaire, FunctionDocuments, FunctionSharing, FunctionForms, FunctionInquiries, FunctionIncident,
		FunctionFAQ, FunctionContacts, FunctionReports,
	}
}

// Use is how a function is used.
type Use string

// The uses.
const (
	UseRead   Use = "read"   // 見る
	UsePost   Use = "post"   // 出す: to ask, publish, share, inquire, contact
	UseAnswer Use = "answer" // 答える
	UseNotify Use = "notify" // 災害時連絡を出す
)

// Uses lists every use, in the order in which they are shown.
func Uses() []Use { return []Use{UseRead, UsePost, UseAnswer, UseNotify} }

// RelyingParty is what policies may read of a relying party.
type RelyingParty struct {
	ID        RelyingPartyID
	Functions []Function // that it carries
	Networks  []Network  // from which it can be reached
	Products  []Product  // it takes a seat in one of them to enter; empty where there are no seats
	Hub       bool       // the hub's own pages
}

// Entry is how somebody comes to a relying party.
type Entry struct {
	Network   Network
	Assurance Assurance
	Sealed    bool // by a sealed break-glass account
}

// Stay is a session at one moment.
type Stay struct {
	Network Network
	Idle    time.Duration // since the last request
	Age     time.Duration // since the login
	Sealed  bool
}

const (
	actionEnter   = "login.enter"
	actionNetwork = "network.enter"
	actionStay    = "session.stay"

	prefixFunction = "function."
	prefixRelease  = "release."
)

func partyUID(id RelyingPartyID) cedar.EntityUID {
	return cedar.NewEntityUID(typeRelyingParty, cedar.String(id))
}

func networkUID(n Network) cedar.EntityUID { return cedar.NewEntityUID(typeNetwork, cedar.String(n)) }

func functionUID(f Function) cedar.EntityUID {
	return cedar.NewEntityUID(typeFunction, cedar.String(f))
}

// entranceActions lists the actions of this file.
func entranceActions() []string {
	names := []string{actionEnter, actionNetwork, actionStay}
	for _, u := range Uses() {
		names = append(names, prefixFunction+string(u))
	}
	for _, a := range Attributes() {
		names = append(names, prefixRelease+string(a))
	}
	return names
}

// entranceGroup gives the group of one of these actions; empty for any other.
func entranceGroup(action string) string {
	if !slices.Contains(entranceActions(), action) {
		return ""
	}
	group, _, _ := strings.Cut(action, ".")
	return group
}

func uidSet[T any](all []T, uid func(T) cedar.EntityUID) cedar.Set {
	values := make([]cedar.Value, len(all))
	for i, x := range all {
		values[i] = uid(x)
	}
	return cedar.NewSet(values...)
}

func partyEntity(rp RelyingParty) cedar.Entity {
	return cedar.Entity{UID: partyUID(rp.ID), Attributes: cedar.NewRecord(cedar.RecordMap{
		"functions": uidSet(rp.Functions, functionUID),
		"networks":  uidSet(rp.Networks, networkUID),
		"hub":       cedar.Boolean(rp.Hub),
	})}
}

// Check refuses a relying party that no policy can be asked about.
func (rp RelyingParty) Check() error {
	if rp.ID == "" {
		return errors.New("policies: a relying party has no id")
	}
	for _, p := range rp.Products {
		if !slices.Contains(Products(), p) {
			return fmt.Errorf("policies: relying party %s: unknown product %q; there are %q", rp.ID, p, Products())
		}
	}
	for _, f := range rp.Functions {
		if !slices.Contains(Functions(), f) {
			return fmt.Errorf("policies: relying party %s: unknown function %q; there are %q", rp.ID, f, Functions())
		}
	}
	for _, n := range rp.Networks {
		if !slices.Contains(Networks(), n) {
			return fmt.Errorf("policies: relying party %s: unknown network %q; there are %q", rp.ID, n, Networks())
		}
	}
	return nil
}

func (in Entry) check() error {
	if !slices.Contains(Networks(), in.Network) {
		return fmt.Errorf("policies: unknown network %q; there are %q", in.Network, Networks())
	}
	if in.Assurance < AssuranceNone || in.Assurance > AssuranceCard {
		return fmt.Errorf("policies: unknown assurance %d", in.Assurance)
	}
	return nil
}

// MayUse decides whether p may use a function in a way.
func (e *Engine) MayUse(p Person, u Use, f Function) (Decision, error) {
	if err := p.Check(); err != nil {
		return Decision{}, err
	}
	if !slices.Contains(Uses(), u) || !slices.Contains(Functions(), f) {
		return Decision{}, fmt.Errorf("policies: unknown use %q of function %q", u, f)
	}
	d, _, err := e.ask(p, prefixFunction+string(u), functionUID(f), nil, cedar.Record{})
	return d, err
}

// MayComeFrom decides whether p may come from a network at all.
func (e *Engine) MayComeFrom(p Person, n Network) (Decision, error) {
	if err := p.Check(); err != nil {
		return Decision{}, err
	}
	if err := (Entry{Network: n}).check(); err != nil {
		return Decision{}, err
	}
	d, _, err := e.ask(p, actionNetwork, networkUID(n), nil, cedar.Record{})
	return d, err
}

// usable gives those of the functions that p may use in any way.
func (e *Engine) usable(p Person, functions []Function) ([]Function, error) {
	var all []Function
	for _, f := range functions {
		for _, u := range Uses() {
			d, err := e.MayUse(p, u, f)
			if err != nil {
				return nil, err
			}
			if d.Allow {
				all = append(all, f)
				break
			}
		}
	}
	return all, nil
}

// MayEnter decides whether p may log in to rp in this way. An error means that there is no answer, and the caller must deny.
func (e *Engine) MayEnter(p Person, rp RelyingParty, in Entry) (Decision, error) {
	ctx, err := e.entering(p, rp, in)
	if err != nil {
		return Decision{}, err
	}
	d, _, err := e.askFacts(&facts{person: p, action: actionEnter, party: &rp}, partyUID(rp.ID), ctx)
	return d, err
}

// entering gathers what policies may read of p's entrance, of which some is decided by policies itself.
func (e *Engine) entering(p Person, rp RelyingParty, in Entry) (cedar.Record, error) {
	if err := errors.Join(p.Check(), rp.Check(), in.check()); err != nil {
		return cedar.Record{}, err
	}
	from, err := e.MayComeFrom(p, in.Network)
	if err != nil {
		return cedar.Record{}, err
	}
	functions, err := e.usable(p, rp.Functions)
	if err != nil {
		return cedar.Record{}, err
	}
	seat := len(rp.Products) == 0
	if !seat {
		seats, err := e.Seats(p)
		if err != nil {
			return cedar.Record{}, err
		}
		for _, s := range seats {
			seat = seat || s.Seat != SeatNone && slices.Contains(rp.Products, s.Product)
		}
	}
	return enterContext(in, from.Allow, functions, seat), nil
}

func enterContext(in Entry, from bool, functions []Function, seat bool) cedar.Record {
	return cedar.NewRecord(cedar.RecordMap{
		"network":          networkUID(in.Network),
		"permittedNetwork": cedar.Boolean(from),
		"functions":        uidSet(functions, functionUID),
		"seat":             cedar.Boolean(seat),
		"card":             cedar.Boolean(in.Assurance >= AssuranceCard),
		"sealed":           cedar.Boolean(in.Sealed),
	})
}

// Release lists what rp may be told of p, with the policies that say so. It doesn't say that p may enter.
func (e *Engine) Release(p Person, rp RelyingParty) (told []Attribute, by []string, err error) {
	if err := errors.Join(p.Check(), rp.Check()); err != nil {
		return nil, nil, err
	}
	for _, a := range Attributes() {
		d, _, err := e.askFacts(&facts{person: p, action: prefixRelease + string(a), party: &rp}, partyUID(rp.ID), cedar.Record{})
		if err != nil {
			return nil, nil, err
		}
		if d.Allow {
			told = append(told, a)
			by = append(by, d.Policies...)
		}
	}
	slices.Sort(by)
	return told, slices.Compact(by), nil
}

// MayStay decides whether p's session goes on.
func (e *Engine) MayStay(p Person, s Stay) (Decision, error) {
	if err := errors.Join(p.Check(), (Entry{Network: s.Network}).check()); err != nil {
		return Decision{}, err
	}
	if s.Idle < 0 || s.Age < 0 {
		return Decision{}, fmt.Errorf("policies: a session of the future: idle %s, age %s", s.Idle, s.Age)
	}
	d, _, err := e.ask(p, actionStay, networkUID(s.Network), nil, stayContext(s))
	return d, err
}

func stayContext(s Stay) cedar.Record {
	return cedar.NewRecord(cedar.RecordMap{
		"idleMinutes": cedar.Long(s.Idle / time.Minute),
		"ageMinutes":  cedar.Long(s.Age / time.Minute),
		"sealed":      cedar.Boolean(s.Sealed),
	})
}

// entranceProbes is Probes' part for this file.
func entranceProbes(p Person, made [3]cedar.Entity) []Probe {
	rp := RelyingParty{ID: "rp", Functions: Functions(), Networks: Networks()}
	var probes []Probe
	add := func(action string, resource cedar.EntityUID, party *RelyingParty, ctx cedar.Record) {
		f := &facts{person: p, action: action, party: party, made: made}
		probes = append(probes, Probe{
			Request: cedar.Request{
				Principal: cedar.NewEntityUID(typePerson, cedar.String(p.ID)), Action: actionUID(action), Resource: resource, Context: ctx,
			},
			Entities: f.all(),
		})
	}
	// The relying party names every function and network, so that one of each does for the requests.
	for _, u := range Uses() {
		add(prefixFunction+string(u), functionUID(FunctionFAQ), nil, cedar.Record{})
	}
	n := networkUID(NetworkInternet)
	add(actionNetwork, n, nil, cedar.Record{})
	add(actionStay, n, nil, stayContext(Stay{}))
	add(actionEnter, partyUID(rp.ID), &rp, enterContext(Entry{Network: NetworkInternet}, true, Functions(), true))
	for _, a := range Attributes() {
		add(prefixRelease+string(a), partyUID(rp.ID), &rp, cedar.Record{})
	}
	return probes
}
