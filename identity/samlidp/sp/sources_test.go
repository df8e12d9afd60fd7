package sp_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	address = "https://sp.example/metadata.xml"
	hour    = int64(time.Hour / time.Microsecond)
)

var (
	hub    = access.System(policies.TaskMetadata)
	person = access.Actor{Kind: access.KindPerson, Person: identity.Person{ID: "p1"}}
)

// tables are migrated once, and copied by each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, audit.Migration(db.Engine()), sp.Migration())
})

// told keeps what administrators were told, each id once.
type told struct {
	mu  sync.Mutex
	all []identity.Notice
}

func (n *told) EnqueueNotice(_ context.Context, _ *sql.Tx, x identity.Notice) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.ContainsFunc(n.all, func(o identity.Notice) bool { return o.ID == x.ID }) {
		n.all = append(n.all, x)
	}
	return nil
}

func (n *told) kinds() (kinds []string) {
	for _, x := range n.all {
		kinds = append(kinds, x.Kind)
	}
	return kinds
}

// house is a registry with one provider, whose metadata comes from an address.
type house struct {
	*testing.T
	db      *sqldb.DB
	reg     *sp.Registry
	sources *sp.Sources
	told    *told
	by      access.Actor
}

// inHouse runs fn on both databases; signed: the source has a pinned signer, and takes by itself what is harmless.
func inHouse(t *testing.T, signed bool, fn func(h *house)) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		by, err := access.BreakGlass("operator")
		must(t, err)
		n := &told{}
		h := &house{t, db, sp.NewRegistry(db), sp.NewSources(db, n), n, by}
		must(t, h.reg.Add(t.Context(), by, registered(t), at))
		src := sp.Source{Address: address}
		if signed {
			src.Signers, src.Harmless = [][]byte{far(t, "signer")}, true
		}
		must(t, h.sources.Set(t.Context(), by, "sp", src, at))
		fn(h)
	})
}

func (h *house) take(by access.Actor, data []byte, now int64) sp.Result {
	h.Helper()
	r, err := sp.Read(data, address, now, h.overview().Status.Source)
	must(h, err)
	out, err := h.sources.Take(h.Context(), by, "sp", r, sp.Validators{ETag: `"1"`}, now)
	must(h, err)
	return out
}

func (h *house) overview() sp.Overview {
	h.Helper()
	o, err := h.sources.Of(h.Context(), "sp")
	must(h, err)
	return o
}

// rows counts audit rows: action, outcome, reason.
func (h *house) rows() map[string]int {
	h.Helper()
	rows, err := h.db.Reader().QueryContext(h.Context(), `SELECT action, outcome, reason FROM audit_row`)
	must(h, err)
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var action, outcome, reason string
		must(h, rows.Scan(&action, &outcome, &reason))
		all[strings.TrimSpace(action+" "+outcome+" "+reason)]++
	}
	must(h, rows.Err())
	return all
}

func (h *house) wants(what string, err, want error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Errorf("%s: %v", what, err)
	}
}

func (h *house) audited(want ...string) {
	h.Helper()
	got := h.rows()
	for _, w := range want {
		if got[w] == 0 {
			h.Errorf("no row %q in %v", w, got)
		}
	}
}

// A difference counts when a person who has seen it says so, and not before.
func TestShownBeforeItCounts(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		if out := h.take(hub, first(h).signedBy(h, "signer"), at); out.Outcome != sp.OutcomeSame {
			h.Fatalf("%+v", out)
		}
		if v := h.overview().Status.ValidUntil; v != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() {
			h.Errorf("valid until %d", v)
		}
		second := first(h)
		second.consumers = append(second.consumers, "https://sp.example/acs2")
		out := h.take(hub, second.signedBy(h, "signer"), at+hour)
		if out.Outcome != sp.OutcomePending || len(out.Proposal.Changes) != 1 || !out.Proposal.Verified {
			h.Fatalf("%+v", out)
		}
		if o := h.overview(); len(o.SP.Faces[0].Consumers) != 1 || o.Pending == nil || o.Pending.Hash != out.Proposal.Hash || o.Stale {
			h.Fatalf("it counts before anybody has seen it: %+v", o)
		}
		// The same again is the same proposal, also where it is valid until another time.
		second.validUntil = "2028-01-01T00:00:00Z"
		if again := h.take(hub, second.signedBy(h, "signer"), at+2*hour); again.Proposal.Hash != out.Proposal.Hash {
			h.Error("a proposal changes with the time at which it was signed")
		}
		if k := h.told.kinds(); !slices.Equal(k, []string{identity.NoticeMetadata}) {
			h.Errorf("told: %v", k)
		}
		_, err := h.sources.Accept(ctx, h.by, "sp", out.Proposal.Hash, at+3*hour)
		h.wants("break-glass accepts", err, identity.ErrRefused)
		_, err = h.sources.Accept(ctx, hub, "sp", out.Proposal.Hash, at+3*hour)
		h.wants("the hub accepts", err, identity.ErrRefused)
		for _, hash := range []string{"", out.Proposal.Hash[:11], strings.Repeat("0", 64), strings.ToUpper(out.Proposal.Hash), out.Proposal.Hash + "0"} {
			_, err = h.sources.Accept(ctx, person, "sp", hash, at+3*hour)
			h.wants("accept "+hash, err, sp.ErrSwapped)
		}
		if len(h.overview().SP.Faces[0].Consumers) != 1 {
			h.Fatal("a refused decision counts")
		}
		done, err := h.sources.Accept(ctx, person, "sp", out.Proposal.Hash[:12], at+3*hour)
		must(h, err)
		o := h.overview()
		if len(o.SP.Faces[0].Consumers) != 2 || o.Pending != nil || done.DecidedBy != "p1" || o.Status.ValidUntil != time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() {
			h.Errorf("%+v", o)
		}
		if o.SP.Name != "試験" || o.SP.Least != policies.AssuranceTwo {
			h.Errorf("what metadata can't say was changed: %+v", o.SP)
		}
		_, err = h.sources.Accept(ctx, person, "sp", out.Proposal.Hash, at+4*hour)
		h.wants("accept twice", err, identity.ErrNotFound)
		if out := h.take(hub, second.signedBy(h, "signer"), at+5*hour); out.Outcome != sp.OutcomeSame {
			h.Errorf("what was accepted is a difference: %+v", out)
		}
		h.audited("rp.metadata.source done", "rp.metadata.fetch done", "rp.metadata.propose done", "rp.metadata.accept done", "rp.change done",
			"rp.metadata.accept refused swapped", "rp.metadata.accept refused not_a_person")
		if got, err := h.sources.Decided(ctx, "sp", 10); err != nil || len(got) != 1 || got[0].State != sp.ProposalAccepted || got[0].Hash != done.Hash {
			h.Errorf("%v %v", got, err)
		}
	})
}

// What was swapped between show and accept isn't accepted, nor what was made against another registration, nor what expired meanwhile.
func TestSwappedUnderWay(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		good, evil := first(h), first(h)
		good.consumers = append(good.consumers, "https://sp.example/acs2")
		evil.consumers = append(evil.consumers, "https://evil.test/acs")
		seen := h.take(hub, good.signedBy(h, "signer"), at).Proposal
		next := h.take(hub, evil.signedBy(h, "signer"), at+hour).Proposal
		_, err := h.sources.Accept(ctx, person, "sp", seen.Hash, at+2*hour)
		h.wants("swapped", err, sp.ErrSwapped)
		if err == nil || !strings.Contains(err.Error(), next.Hash[:12]) {
			h.Errorf("it doesn't say what is pending: %v", err)
		}
		// Somebody writes into the database.
		_, err = h.db.Writer().ExecContext(ctx, `UPDATE saml_proposal SET body = REPLACE(body, 'https://evil.test/acs', 'https://evil2.test/acs') WHERE state = 'pending'`)
		must(h, err)
		_, err = h.sources.Accept(ctx, person, "sp", next.Hash, at+2*hour)
		h.wants("changed where it is stored", err, sp.ErrSwapped)
		// The registration is changed.
		seen = h.take(hub, good.signedBy(h, "signer"), at+3*hour).Proposal
		p := h.overview().SP
		p.Name = "別名"
		must(h, h.reg.Change(ctx, h.by, p, at+4*hour))
		o := h.overview()
		if !o.Stale || o.Status.NextAt != at+4*hour {
			h.Errorf("it isn't made anew: stale %t, next %d", o.Stale, o.Status.NextAt-at)
		}
		if etag, _ := o.Conditional(at + 4*hour); etag != "" {
			h.Error("the document isn't asked for, although it has to be compared anew")
		}
		_, err = h.sources.Accept(ctx, person, "sp", seen.Hash, at+4*hour)
		h.wants("made against another registration", err, sp.ErrStale)
		fresh := h.take(hub, good.signedBy(h, "signer"), at+5*hour).Proposal
		if fresh.Hash == seen.Hash {
			h.Error("the hash doesn't name the registration")
		}
		end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
		_, err = h.sources.Accept(ctx, person, "sp", fresh.Hash, end)
		h.wants("expired meanwhile", err, sp.ErrExpired)
		_, err = h.sources.Accept(ctx, person, "sp", fresh.Hash, end-1)
		h.wants("a moment before", err, nil)
		if o := h.overview(); o.SP.Name != "別名" {
			h.Errorf("the change before is lost: %+v", o.SP)
		}
		h.audited("rp.metadata.withdraw done superseded", "rp.metadata.accept refused stale", "rp.metadata.accept refused expired")
	})
}

// An older document that the signer signed once is shown anew: a signing key that went doesn't come back by itself.
func TestReplayed(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		both := first(h)
		both.signing = append(both.signing, far(h, "next"))
		older := both.signedBy(h, "signer")
		if out := h.take(hub, older, at); out.Outcome != sp.OutcomeAccepted {
			h.Fatalf("%+v", out)
		}
		next := first(h)
		next.signing = [][]byte{far(h, "next")}
		out := h.take(hub, next.signedBy(h, "signer"), at+hour)
		_, err := h.sources.Accept(ctx, person, "sp", out.Proposal.Hash, at+hour)
		must(h, err)
		if out := h.take(hub, older, at+2*hour); out.Outcome != sp.OutcomePending || out.Proposal.Changes[0].Kind != sp.ChangeSigningAdded || !out.Proposal.Changes[0].Alarm {
			h.Errorf("the key that went is back: %+v", out)
		}
		// So it is where an administrator took the key out, and no proposal did.
		p := h.overview().SP
		p.Signing = [][]byte{far(h, "third")}
		must(h, h.reg.Change(ctx, h.by, p, at+3*hour))
		third := first(h)
		third.signing = [][]byte{far(h, "third"), far(h, "next")}
		if out := h.take(hub, third.signedBy(h, "signer"), at+4*hour); out.Outcome != sp.OutcomePending {
			h.Errorf("the key that was taken out is back: %+v", out)
		}
		// A document that is valid for a shorter time than what is in force isn't newer.
		p.Signing = first(h).signing
		shorter := first(h)
		shorter.signing, shorter.validUntil = append(shorter.signing, far(h, "fourth")), "2026-12-01T00:00:00Z"
		must(h, h.reg.Change(ctx, h.by, p, at+5*hour))
		if out := h.take(hub, shorter.signedBy(h, "signer"), at+6*hour); out.Outcome != sp.OutcomePending {
			h.Errorf("an older document is taken by itself: %+v", out)
		}
	})
}

// A document that was read by the signers of another source isn't taken.
func TestSourceChangedUnderWay(t *testing.T) {
	inHouse(t, true, func(h *house) {
		p := first(h)
		p.signing = append(p.signing, far(h, "next"))
		r, err := sp.Read(p.signedBy(h, "signer"), address, at, h.overview().Status.Source)
		must(h, err)
		must(h, h.sources.Set(h.Context(), h.by, "sp", sp.Source{Address: address, Signers: [][]byte{far(h, "other")}, Harmless: true}, at))
		_, err = h.sources.Take(h.Context(), hub, "sp", r, sp.Validators{}, at)
		h.wants("take", err, sp.ErrSource)
		if o := h.overview(); len(o.SP.Signing) != 1 || o.Pending != nil {
			h.Errorf("%+v", o)
		}
	})
}

// A person rejects; the hub doesn't ask again, until there is something else.
func TestRejected(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		p := first(h)
		p.consumers = append(p.consumers, "https://evil.test/acs")
		seen := h.take(hub, p.signedBy(h, "signer"), at).Proposal
		_, err := h.sources.Reject(ctx, person, "sp", "000000000000", "x", at)
		h.wants("reject something else", err, sp.ErrSwapped)
		_, err = h.sources.Reject(ctx, person, "sp", seen.Hash, "知らない宛先", at)
		h.wants("reject", err, nil)
		if out := h.take(hub, p.signedBy(h, "signer"), at+hour); out.Outcome != sp.OutcomeRejected || h.overview().Pending != nil {
			h.Errorf("%+v", out)
		}
		if n := len(h.told.kinds()); n != 1 {
			h.Errorf("told %d times", n)
		}
		if out := h.take(person, p.signedBy(h, "signer"), at+hour); out.Outcome != sp.OutcomePending {
			h.Errorf("a person who fetches it doesn't see it: %+v", out)
		}
		if out := h.take(hub, first(h).signedBy(h, "signer"), at+2*hour); out.Outcome != sp.OutcomeSame || h.overview().Pending != nil {
			h.Errorf("what the provider took back is pending: %+v", out)
		}
		h.audited("rp.metadata.reject done 知らない宛先", "rp.metadata.reject refused swapped", "rp.metadata.withdraw done gone")
	})
}

// What is harmless and signed is taken by itself; nothing else is, and nothing of that without a signer.
func TestHarmless(t *testing.T) {
	inHouse(t, true, func(h *house) {
		for _, d := range differences(h) {
			p := first(h)
			p.validUntil = "2031-01-01T00:00:00Z"
			d.change(&p)
			before := h.overview()
			out := h.take(hub, p.signedBy(h, "signer"), at)
			after := h.overview()
			changed := same(before.SP) != same(after.SP)
			if want := slices.Contains([]string{"a key beside the known one", "a new certificate of the key"}, d.name); changed != want || want != (out.Outcome == sp.OutcomeAccepted) {
				h.Errorf("%s: %s", d.name, out.Outcome)
			}
			if changed && sp.NeedsPerson(out.Proposal.Changes) {
				h.Errorf("%s: taken by itself: %v", d.name, out.Proposal.Changes)
			}
			must(h, h.reg.Change(h.Context(), h.by, registered(h), at))
		}
		h.audited("rp.metadata.accept done")
	})
	inHouse(t, false, func(h *house) {
		p := first(h)
		p.signing = append(p.signing, far(h, "next"))
		// It is signed, by whoever: nobody's key is pinned.
		if out := h.take(hub, p.signedBy(h, "signer"), at); out.Outcome != sp.OutcomePending || !sp.NeedsPerson(out.Proposal.Changes) || out.Proposal.Verified {
			h.Errorf("%+v", out)
		}
		err := h.sources.Set(h.Context(), h.by, "sp", sp.Source{Address: address, Harmless: true}, at)
		if err == nil || !strings.Contains(err.Error(), "without a pinned signer") {
			h.Errorf("%v", err)
		}
	})
}

// What an administrator chose otherwise than metadata says stays, until metadata says something else than it did.
func TestTerms(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		open := first(h)
		open.unsigned, open.formats = true, []sp.NameID{sp.NameIDEmail}
		must(h, h.reg.Change(ctx, h.by, registered(h), at)) // signed, persistent
		if out := h.take(hub, open.signedBy(h, "signer"), at); out.Outcome != sp.OutcomeSame {
			h.Errorf("what is registered more strictly is a difference: %+v", out.Proposal.Changes)
		}
		strict := open
		strict.unsigned = false
		if out := h.take(hub, strict.signedBy(h, "signer"), at+hour); out.Outcome != sp.OutcomeSame {
			h.Errorf("%+v", out)
		}
		out := h.take(hub, open.signedBy(h, "signer"), at+2*hour)
		if out.Outcome != sp.OutcomePending || out.Proposal.Changes[0].Kind != sp.ChangeSigned || !out.Proposal.Changes[0].Alarm {
			h.Errorf("signatures are dropped, and nobody is asked: %+v", out)
		}
	})
}

// Documents that aren't taken change nothing, each with its reason.
func TestHostileDocuments(t *testing.T) {
	inHouse(t, true, func(h *house) {
		good := first(h)
		good.consumers = append(good.consumers, "https://sp.example/acs2")
		doc := string(good.signedBy(h, "signer"))
		evil := good
		evil.consumers = []string{"https://evil.test/acs"}
		evil.entity = "https://evil.test/metadata"
		entity := strings.Index(doc, "<ds:Signature")
		if entity < 0 {
			h.Fatal(doc)
		}
		signature := doc[entity : strings.Index(doc, "</ds:Signature>")+len("</ds:Signature>")]
		open := evil.text()[:strings.Index(evil.text(), "<md:SPSSODescriptor")]
		source := h.overview().Status.Source
		for name, text := range map[string]string{
			"by another key":     string(good.signedBy(h, "other")),
			"unsigned":           good.text(),
			"changed":            strings.Replace(doc, "https://sp.example/acs2", "https://evil.test/acs", 1),
			"signature moved":    open + signature + evil.text()[len(open):],
			"XSW, wrapped":       open + doc + evil.text()[len(open):],
			"XSW, beside":        strings.Replace(evil.text(), "<md:SPSSODescriptor", signature+"<md:Extensions>"+strings.Replace(doc, signature, "", 1)+"</md:Extensions><md:SPSSODescriptor", 1),
			"XSW, in an Object":  strings.Replace(evil.text(), "<md:SPSSODescriptor", strings.Replace(signature, "</ds:Signature>", "<ds:Object>"+strings.Replace(doc, signature, "", 1)+"</ds:Object></ds:Signature>", 1)+"<md:SPSSODescriptor", 1),
			"two signatures":     strings.Replace(doc, signature, signature+signature, 1),
			"two entities":       doc + doc,
			"a signed aggregate": `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">` + doc + doc + `</md:EntitiesDescriptor>`,
			"an aggregate of it": `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">` + doc + `</md:EntitiesDescriptor>`,
			"DTD":                `<!DOCTYPE x [<!ENTITY a "b">]>` + doc,
			"bomb":               `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><md:EntityDescriptor>&b;</md:EntityDescriptor>`,
			"deep":               strings.Repeat("<a>", 100_000),
			"many":               "<a>" + strings.Repeat("<b/>", 20_000) + "</a>",
			"large":              doc + strings.Repeat(" ", 1<<20),
			"garbage":            "\x00\x01\x02",
			"HTML":               "<!doctype html><html><body>502</body></html>",
			"nothing":            "",
		} {
			if r, err := sp.Read([]byte(text), address, at, source); err == nil {
				h.Errorf("%s: %+v", name, r.Metadata)
			}
		}
		// Signed by the signer, and not to be registered.
		for name, change := range map[string]func(p *published){
			"javascript":   func(p *published) { p.consumers = []string{"javascript:alert(1)"} },
			"http":         func(p *published) { p.consumers = []string{"http://sp.example/acs"} },
			"expired":      func(p *published) { p.validUntil = time.UnixMicro(at).UTC().Format(time.RFC3339) },
			"no entity id": func(p *published) { p.entity = "sp" },
		} {
			p := good
			change(&p)
			if r, err := sp.Read(p.signedBy(h, "signer"), address, at, source); err == nil {
				h.Errorf("%s: %+v", name, r.Metadata)
			}
		}
		// Beside a good address, a bad one is left out, and says so.
		p := good
		p.consumers = append(p.consumers, "javascript:alert(1)", "http://sp.example/acs", "https://sp.exаmple/acs")
		r, err := sp.Read(p.signedBy(h, "signer"), address, at, source)
		if err != nil || len(r.Consumers) != 2 || len(r.Notices) != 3 {
			h.Errorf("%+v %v", r.Metadata, err)
		}
		// A key that can't be taken makes requests that can't be checked: what would be registered isn't.
		p = good
		_, weak, _ := keys(h)
		p.signing = [][]byte{weak.cert.Raw}
		if out := h.take(hub, p.signedBy(h, "signer"), at); out.Outcome != sp.OutcomeFailed || out.Why != "unregistrable" || h.overview().Pending != nil {
			h.Errorf("%+v", out)
		}
	})
}

// The entity id of another provider isn't taken over.
func TestEntityOfAnother(t *testing.T) {
	inHouse(t, true, func(h *house) {
		other := registered(h)
		other.ID, other.EntityID = "other", "https://other.example/metadata"
		must(h, h.reg.Add(h.Context(), h.by, other, at))
		p := first(h)
		p.entity = other.EntityID
		out := h.take(hub, p.signedBy(h, "signer"), at)
		if out.Outcome != sp.OutcomePending || !out.Proposal.Changes[0].Alarm {
			h.Fatalf("%+v", out)
		}
		_, err := h.sources.Accept(h.Context(), person, "sp", out.Proposal.Hash, at)
		h.wants("accept", err, identity.ErrExists)
		if h.overview().SP.EntityID != "https://sp.example/metadata" {
			h.Error("it was taken over")
		}
		h.audited("rp.metadata.accept refused entity_id_taken")
	})
}

// A failure keeps what is in force, is tried again ever later, and is told of when it lasts.
func TestFailing(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		h.take(hub, first(h).signedBy(h, "signer"), at)
		before := h.overview()
		now, last := at, int64(0)
		for i := range 12 {
			_, err := h.sources.Fail(ctx, hub, "sp", "unreachable", "相手に届きません / unreachable", now)
			must(h, err)
			pause := h.overview().Status.NextAt - now
			if pause < last || pause < hour || pause > 24*hour {
				h.Errorf("failure %d is tried again after %d hours", i, pause/hour)
			}
			now, last = now+pause, pause
		}
		o := h.overview()
		if same(o.SP) != same(before.SP) || o.Status.ValidUntil != before.Status.ValidUntil || o.Status.Why != "unreachable" || o.Status.Fails != 12 {
			h.Errorf("%+v", o.Status)
		}
		if k := h.told.kinds(); !slices.Equal(k, []string{identity.NoticeMetadataFails}) {
			h.Errorf("told: %v", k)
		}
		if n := h.rows()["rp.metadata.fetch refused unreachable"]; n != 1 {
			h.Errorf("%d rows of one failure", n)
		}
		if etag, _ := o.Conditional(now); etag != "" {
			h.Error("after a failure it is asked for what is newer only")
		}
		h.take(hub, first(h).signedBy(h, "signer"), at+hour)
		if o := h.overview(); o.Status.Why != "" || o.Status.Fails != 0 {
			h.Errorf("%+v", o.Status)
		}
		if etag, _ := h.overview().Conditional(at + 2*hour); etag != `"1"` {
			h.Errorf("etag %q", etag)
		}
		if etag, _ := h.overview().Conditional(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()); etag != "" {
			h.Error("an expired document isn't asked for anew")
		}
		must(h, h.sources.Unchanged(ctx, "sp", at+3*hour))
		if o := h.overview(); o.Status.ReadAt != at+3*hour || o.Status.ETag != `"1"` {
			h.Errorf("%+v", o.Status)
		}
	})
}

// Hundreds are spread over the day, each at its own moment, and one claim takes one.
func TestDue(t *testing.T) {
	inHouse(t, false, func(h *house) {
		ctx := h.Context()
		due, err := h.sources.Due(ctx, at, 10)
		if err != nil || len(due) != 1 || due[0].Party != "sp" {
			h.Fatalf("%v %v", due, err)
		}
		claim := func() (ok bool) {
			must(h, h.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
				ok, err = h.sources.Claim(ctx, tx, due[0], at)
				return err
			}))
			return ok
		}
		if !claim() || claim() {
			t.Error("two claims of one")
		}
		if due, err := h.sources.Due(ctx, at, 10); err != nil || len(due) != 0 {
			t.Errorf("%v %v", due, err)
		}
		p := first(h)
		hours := map[int64]int{}
		for i := range 200 {
			id := policies.RelyingPartyID(fmt.Sprint("sp-", i))
			x := registered(h)
			x.ID, x.EntityID = id, "urn:"+string(id)
			must(h, h.reg.Add(ctx, h.by, x, at))
			must(h, h.sources.Set(ctx, h.by, id, sp.Source{Address: address}, at))
			r, err := sp.Read([]byte(p.text()), address, at, sp.Source{Address: address})
			must(h, err)
			_, err = h.sources.Take(ctx, hub, id, r, sp.Validators{}, at)
			must(h, err)
			st, err := h.sources.Status(ctx, id)
			must(h, err)
			if st.NextAt <= at+12*hour || st.NextAt > at+36*hour {
				h.Fatalf("next after %d hours", (st.NextAt-at)/hour)
			}
			hours[(st.NextAt-at)/hour]++
			if i%50 == 0 {
				must(h, h.sources.Unchanged(ctx, id, st.NextAt+hour/4))
				after, err := h.sources.Status(ctx, id)
				must(h, err)
				if after.NextAt != st.NextAt+24*hour {
					h.Errorf("the day after at another moment: %d", (after.NextAt-st.NextAt)/hour)
				}
			}
		}
		if len(hours) < 20 {
			h.Errorf("in %d hours of the day: %v", len(hours), hours)
		}
		for text, want := range map[string]int64{"PT1S": 1, "PT6H": 6, "P30D": 24, "rubbish": 24} {
			p.cache = text
			r, err := sp.Read([]byte(p.text()), address, at, sp.Source{Address: address})
			must(h, err)
			_, err = h.sources.Take(ctx, hub, "sp", r, sp.Validators{}, at)
			must(h, err)
			if d := h.overview().Status.NextAt - at; d <= want*hour/2 || d > want*hour*3/2 {
				h.Errorf("cacheDuration %s: again after %d minutes", text, d/(hour/60))
			}
		}
	})
}

// What a removed provider had is gone with it; one that comes from files has no address.
func TestNoSource(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		other := registered(h)
		other.ID, other.EntityID = "file", "urn:file"
		must(h, h.reg.Add(ctx, h.by, other, at))
		st, err := h.sources.Status(ctx, "file")
		if err != nil || st.Source.Address != "" || st.NextAt != 0 {
			h.Errorf("%+v %v", st, err)
		}
		p := first(h)
		p.entity, p.consumers = "urn:file", append(p.consumers, "https://sp.example/acs2")
		r, err := sp.Read([]byte(p.text()), "file", at, st.Source)
		must(h, err)
		dry, err := h.sources.Dry(ctx, "file", r)
		if err != nil || dry.Outcome != sp.OutcomePending {
			h.Errorf("%+v %v", dry, err)
		}
		if o, err := h.sources.Of(ctx, "file"); err != nil || o.Pending != nil {
			h.Errorf("a dry run keeps something: %+v %v", o.Pending, err)
		}
		out, err := h.sources.Take(ctx, person, "file", r, sp.Validators{}, at)
		must(h, err)
		if out.Proposal.Hash != dry.Proposal.Hash {
			h.Error("a dry run shows another hash")
		}
		_, err = h.sources.Accept(ctx, person, "file", out.Proposal.Hash, at)
		must(h, err)
		o, err := h.sources.Of(ctx, "file")
		if err != nil || len(o.SP.Faces[0].Consumers) != 2 || o.Status.NextAt != 0 || o.Status.ValidUntil == 0 {
			h.Errorf("%+v %v", o, err)
		}
		must(h, h.reg.Remove(ctx, h.by, "sp", "試験", at))
		if _, err := h.sources.Of(ctx, "sp"); !errors.Is(err, identity.ErrNotFound) {
			h.Errorf("%v", err)
		}
		must(h, h.reg.Add(ctx, h.by, registered(h), at))
		if o := h.overview(); o.Status.Source.Address != "" || o.Pending != nil {
			h.Errorf("what was removed is there again: %+v", o)
		}
	})
}

// Each threshold of each certificate is told once.
func TestWarn(t *testing.T) {
	inHouse(t, true, func(h *house) {
		ctx := h.Context()
		p := registered(h)
		p.Signing = [][]byte{until(h, "sp", time.UnixMicro(at).AddDate(0, 0, 100))}
		must(h, h.reg.Change(ctx, h.by, p, at))
		var counts []int
		for d := range 140 {
			_, err := h.sources.Warn(ctx, at+int64(d)*24*hour)
			must(h, err)
			if d == 9 || d == 10 || d == 69 || d == 70 || d == 92 || d == 93 || d == 99 || d == 100 || d == 139 {
				counts = append(counts, len(h.told.all))
			}
		}
		sum, err := h.sources.Summary(ctx, at+80*24*hour)
		if err != nil || sum.Waits != 0 || sum.Failing != 0 || sum.Ending[30] != 1 || sum.Ends() != 1 {
			h.Errorf("%+v %v", sum, err)
		}
		_, err = h.sources.Fail(ctx, hub, "sp", "timeout", "x", at)
		must(h, err)
		again, err := h.sources.Summary(ctx, at+120*24*hour)
		if err != nil || again.Failing != 1 || again.Ending[0] != 1 {
			h.Errorf("%+v %v", again, err)
		}
		if !slices.Equal(counts, []int{0, 1, 1, 2, 2, 3, 3, 4, 4}) {
			h.Errorf("told: %v", counts)
		}
		if n := h.told.all[0]; n.Kind != identity.NoticeExpires || n.Object != "sp" || !strings.HasPrefix(n.Detail, "signing 2026") && !strings.HasPrefix(n.Detail, "signing 2027") {
			h.Errorf("%+v", n)
		}
	})
}

// Two nodes read one document at once: one proposal, told once.
func TestAtOnce(t *testing.T) {
	inHouse(t, true, func(h *house) {
		p := first(h)
		p.consumers = append(p.consumers, "https://sp.example/acs2")
		r, err := sp.Read(p.signedBy(h, "signer"), address, at, h.overview().Status.Source)
		must(h, err)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := h.sources.Take(h.Context(), hub, "sp", r, sp.Validators{}, at); err != nil {
					h.Error(err)
				}
			})
		}
		all.Wait()
		if n := h.rows()["rp.metadata.propose done"]; n != 1 || len(h.told.all) != 1 {
			h.Errorf("%d proposals, told %d times", n, len(h.told.all))
		}
		var accepted sync.Map
		o := h.overview()
		for i := range 8 {
			all.Go(func() {
				if _, err := h.sources.Accept(h.Context(), person, "sp", o.Pending.Hash, at); err == nil {
					accepted.Store(i, true)
				}
			})
		}
		all.Wait()
		n := 0
		accepted.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			h.Errorf("accepted %d times", n)
		}
	})
}
