package samlidp_test

import (
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// partner is a real service provider: crewjam/saml, with the certificates that it was given and no others.
type partner struct {
	id     policies.RelyingPartyID
	owner  policies.OrgID
	intake sp.Intake
	hour   int // of the day at which it fetches, or is logged in to
	peer   saml.ServiceProvider
}

// line is how waiting shows it.
func (p *partner) line(reason rollover.Reason) string {
	return string(p.id) + " " + string(p.owner) + " " + string(reason)
}

// town is a house with partners.
type town struct {
	*house
	store    *rollover.Store
	partners []*partner
	why      error // one of the logins that failed last
}

// newTown registers n partners of a kind in turn: of ten, seven read metadata, two take certificates and hold two, one holds one.
func newTown(t *testing.T, db *sqldb.DB, n int) *town {
	t.Helper()
	h := newHouse(t, db)
	saml.TimeNow, saml.Clock = h.now, dsig.NewFakeClockAt(start)
	c := &town{house: h, store: rollover.New(db, h.ring, samlidp.Purpose)}
	for _, p := range h.list() { // what a house has is in nobody's way here
		must(t, h.registry.Remove(t.Context(), operator, p.ID, "試験", 1))
	}
	for i := range n {
		intake := sp.IntakeMetadata
		switch i % 10 {
		case 3, 6:
			intake = sp.IntakeCertificates
		case 9:
			intake = sp.IntakeCertificate
		}
		id := policies.RelyingPartyID(fmt.Sprintf("p%02d", i))
		owner := policies.OrgID(fmt.Sprintf("0%d1002", i%5+1))
		h.register(id, func(p *sp.SP) {
			p.Intake, p.Owner, p.Sector, p.Faces = intake, owner, "one.example", p.Faces[:1]
			p.Sign = []sp.Sign{sp.SignResponse, sp.SignAssertion}[i%2]
		})
		peer := saml.ServiceProvider{EntityID: entityOf(id), AcsURL: *mustURL(t, acs), MetadataURL: *mustURL(t, entityOf(id)), IDPMetadata: &saml.EntityDescriptor{}, AuthnNameIDFormat: saml.PersistentNameIDFormat}
		c.partners = append(c.partners, &partner{id, owner, intake, i % 24, peer})
	}
	return c
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return u
}

func (h *house) list() []sp.SP {
	all, err := h.registry.List(h.t.Context())
	must(h.t, err)
	return all
}

func (c *town) counterparties() (out []rollover.Counterparty) {
	for _, p := range c.list() {
		out = append(out, rollover.Of(p))
	}
	return out
}

// fetch has a partner read the metadata at its own address.
func (c *town) fetch(p *partner) {
	c.t.Helper()
	to, err := samlidp.MetadataAddress(made.seal, origin, policies.NetworkInternet, p.id)
	must(c.t, err)
	r := httptest.NewRequest(http.MethodGet, to, nil)
	r.Header.Set("User-Agent", "crewjam/"+string(p.id))
	got := c.serve(policies.NetworkInternet, r)
	var m saml.EntityDescriptor
	must(c.t, xml.Unmarshal([]byte(got.body), &m))
	p.peer.IDPMetadata = &m
}

// enter has somebody at the partner enter certificates: those of the keys named, and no others.
func (c *town) enter(p *partner, keyIDs ...string) {
	c.t.Helper()
	var m saml.EntityDescriptor
	must(c.t, xml.Unmarshal([]byte(c.get(origin+"/saml/metadata").body), &m))
	role := &m.IDPSSODescriptors[0]
	given := role.KeyDescriptors
	role.KeyDescriptors = nil
	for _, cert := range c.certificates() {
		if !slices.Contains(keyIDs, fmt.Sprintf("%x", cert.SubjectKeyId)) {
			continue
		}
		for _, k := range given {
			if strings.Join(strings.Fields(k.KeyInfo.X509Data.X509Certificates[0].Data), "") == base64.StdEncoding.EncodeToString(cert.Raw) {
				role.KeyDescriptors = append(role.KeyDescriptors, k)
			}
		}
	}
	if len(role.KeyDescriptors) != len(keyIDs) {
		c.t.Fatalf("%s: %d of %d certificates", p.id, len(role.KeyDescriptors), len(keyIDs))
	}
	p.peer.IDPMetadata = &m
}

// login logs somebody in at a partner, which judges the answer.
func (c *town) login(p *partner) error {
	request, err := p.peer.MakeAuthenticationRequest(sso, saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		return err
	}
	to, err := request.Redirect("", &p.peer)
	if err != nil {
		return err
	}
	r := c.redirect(to.RawQuery)
	if r.to != acs {
		return fmt.Errorf("%s: %+v", p.id, r)
	}
	_, err = p.peer.ParseXMLResponse([]byte(r.doc), []string{request.ID}, p.peer.AcsURL)
	var why *saml.InvalidResponseError
	if errors.As(err, &why) {
		err = fmt.Errorf("%s: %w", p.id, why.PrivateErr)
	}
	return err
}

// everybody logs in at every partner, by eight callers at a time, and gives the partners where it failed.
func (c *town) everybody() (failed []policies.RelyingPartyID) {
	saml.Clock = dsig.NewFakeClockAt(c.now()) // by which certificates are judged there
	var mu sync.Mutex
	next := make(chan *partner)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for p := range next {
				if err := c.login(p); err != nil {
					mu.Lock()
					c.why = err
					failed = append(failed, p.id)
					mu.Unlock()
				}
			}
		})
	}
	for _, p := range c.partners {
		next <- p
	}
	close(next)
	wg.Wait()
	slices.Sort(failed)
	return failed
}

func (c *town) report() rollover.Report {
	c.t.Helper()
	r, err := c.store.Report(c.t.Context(), c.db.Reader(), c.counterparties(), c.now().UnixMicro())
	must(c.t, err)
	return r
}

func (c *town) promote(p rollover.Promotion) (keys.Rotation, rollover.Report, error) {
	p.Counterparties, p.At = c.counterparties(), c.now().UnixMicro()
	return c.store.Promote(c.t.Context(), p, noRecord)
}

func waiting(r rollover.Report) (out []string) {
	for _, s := range r.Waiting() {
		out = append(out, string(s.ID)+" "+string(s.Owner)+" "+string(s.Reason))
	}
	return out
}

func ids(all []rollover.Standing) (out []policies.RelyingPartyID) {
	for _, s := range all {
		out = append(out, s.ID)
	}
	slices.Sort(out)
	return out
}

// TestRollover is a year's change of key with 50 service providers that log people in all the while: no login fails, the three that are late are
// named, and once they have caught up the key is promoted. Then the key is stolen: whose logins fail is what was foretold.
func TestRollover(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		n := 50
		if db.Engine() == sqldb.PostgreSQL { // what differs there is how nodes meet, not how many providers there are
			n = 10
		}
		c := newTown(t, db, n)
		late := []*partner{c.partners[n-4], c.partners[n-2], c.partners[n-1]} // one of each kind
		first, err := c.ring.Signer(t.Context(), db.Reader(), samlidp.Purpose)
		must(t, err)
		for _, p := range c.partners {
			if p.intake == sp.IntakeMetadata {
				c.fetch(p)
			} else {
				c.enter(p, first.Key().ID)
			}
		}
		// The key after the next one is what nobody has seen: the rollover is to that. What comes before it isn't looked at.
		for _, p := range c.partners {
			if p.intake != sp.IntakeMetadata {
				c.enter(p, c.report().Next.ID)
			}
		}
		_, _, err = c.promote(rollover.Promotion{Emergency: true, Unseen: true})
		must(t, err)
		must(t, c.provider.Ensure(t.Context()))
		r := c.report()
		active, next := r.Active.ID, r.Next.ID
		if failed := c.everybody(); failed != nil || len(r.Waiting()) != n {
			t.Fatalf("before: %v fail, %d wait: %v", failed, len(r.Waiting()), c.why)
		}

		for hour := range 15 * 24 {
			c.forward(time.Hour)
			for i, p := range c.partners {
				if slices.Contains(late, p) {
					continue
				}
				day := hour / 24
				switch {
				case p.intake == sp.IntakeMetadata && hour%72 == p.hour+24*(i%3):
					c.fetch(p)
					continue
				case p.intake == sp.IntakeCertificates && hour == 24*(1+i%10)+p.hour:
					c.enter(p, active, next)
					must(t, c.login(p))
					_, err := c.store.Confirm(t.Context(), operator, p.id, rollover.Told, next, "電話で確認", c.now().UnixMicro())
					must(t, err)
				case p.intake == sp.IntakeCertificate && hour == 24*(2+i%10)+p.hour: // both sides at the same minute
					must(t, c.login(p))
					c.enter(p, next)
					_, err := c.store.SwitchTo(t.Context(), operator, p.id, next, "", c.now().UnixMicro())
					must(t, err)
				case hour%120 != p.hour+24*(i%5):
					continue
				}
				if err := c.login(p); err != nil {
					t.Fatalf("on day %d: %v", day, err)
				}
			}
		}
		want := []string{late[0].line("by_hand"), late[1].line("older"), late[2].line("one_held")}
		slices.Sort(want)
		if p := c.report(); !cmp.Equal(slices.Sorted(slices.Values(waiting(p))), want) || p.Early() {
			t.Fatalf("late: %q, want %q; too early: %v", waiting(p), want, p.Early())
		}
		_, named, err := c.promote(rollover.Promotion{Next: next})
		if !errors.Is(err, rollover.ErrNotReady) || !errors.Is(err, identity.ErrRefused) || len(named.Waiting()) != 3 {
			t.Fatalf("promoted in spite of the late ones: %v", err)
		}
		for _, p := range late {
			if !strings.Contains(err.Error(), string(p.id)) {
				t.Errorf("%s isn't named: %v", p.id, err)
			}
		}
		var owners []policies.OrgID
		for _, o := range rollover.ByOwner(named.Waiting()) {
			owners = append(owners, o.Org)
		}
		if diff := cmp.Diff([]policies.OrgID{late[0].owner, late[1].owner, late[2].owner}, owners); diff != "" {
			t.Errorf("by organization (-want +got):\n%s", diff)
		}
		if failed := c.everybody(); failed != nil {
			t.Fatalf("%v fail while the late ones are waited for: %v", failed, c.why)
		}

		// They catch up, each in its way; one of them is tried by one person first.
		c.enter(late[0], active, next)
		c.rehearse(t, late[0], next)
		c.fetch(late[1])
		c.enter(late[2], next)
		_, err = c.store.SwitchTo(t.Context(), operator, late[2].id, next, "", c.now().UnixMicro())
		must(t, err)
		if got := waiting(c.report()); !cmp.Equal(got, []string{late[1].line("settling")}) {
			t.Errorf("caught up: %q", got)
		}
		c.forward(rollover.Settle)
		done := make(chan []policies.RelyingPartyID)
		go func() { done <- c.everybody() }() // while people log in
		rotation, _, err := c.promote(rollover.Promotion{Next: next})
		must(t, err)
		if failed := append(<-done, c.everybody()...); failed != nil || rotation.Active.ID != next || rotation.Retired.ID != active {
			t.Fatalf("%v fail at the promotion: %+v", failed, rotation)
		}
		if _, _, err := c.promote(rollover.Promotion{Next: next}); !errors.Is(err, identity.ErrExists) {
			t.Errorf("the same promotion once more: %v", err)
		}
		c.stolen(t)
	})
}

// rehearse has one person's login signed by the next key; the logins of everybody else are as before.
func (c *town) rehearse(t *testing.T, p *partner, next string) {
	t.Helper()
	say := func() error {
		_, err := c.store.Confirm(t.Context(), operator, p.id, rollover.CameIn, next, "", c.now().UnixMicro())
		return err
	}
	if err := say(); !errors.Is(err, rollover.ErrNoLogin) {
		t.Errorf("somebody came in by a key that signed nothing: %v", err)
	}
	_, err := c.store.Rehearse(t.Context(), operator, rollover.Rehearsal{ID: "r1", Party: p.id, Person: "p1", Network: policies.NetworkInternet}, c.now().UnixMicro())
	must(t, err)
	by := func(person policies.PersonID) (key string) {
		c.mu.Lock()
		c.house.login.Person = person
		c.mu.Unlock()
		must(t, c.login(p))
		must(t, c.db.Reader().QueryRowContext(t.Context(), `SELECT key_id FROM saml_grant WHERE party = $1 AND person = $2 ORDER BY created_at DESC, id LIMIT 1`, string(p.id), string(person)).Scan(&key))
		c.forward(time.Microsecond)
		return key
	}
	if by("p2") == next || by("p1") != next || by("p1") == next {
		t.Error("a rehearsal is one login of one person")
	}
	must(t, say())
}

// stolen: the key that signs is withdrawn in one step. Who holds the next one goes on; who doesn't was named, and nobody else fails.
func (c *town) stolen(t *testing.T) {
	t.Helper()
	c.forward(4 * 24 * time.Hour)
	for i, p := range c.partners {
		if p.intake == sp.IntakeMetadata && i%7 != 0 {
			c.fetch(p)
		}
	}
	c.forward(rollover.Settle)
	r := c.report()
	if n := len(r.Waiting()); n < len(c.partners)/5 || n > len(c.partners)*4/5 {
		t.Fatalf("%d wait: the test would show little", len(r.Waiting()))
	}
	_, foretold, err := c.promote(rollover.Promotion{Next: r.Next.ID, Emergency: true})
	must(t, err)
	if diff := cmp.Diff(ids(foretold.Waiting()), c.everybody()); diff != "" {
		t.Errorf("who fails (-foretold +fails):\n%s", diff)
	}
	for _, cert := range c.certificates() {
		if fmt.Sprintf("%x", cert.SubjectKeyId) == r.Active.ID {
			t.Error("the stolen key's certificate is published still")
		}
	}
	if _, _, err := c.promote(rollover.Promotion{Emergency: true}); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("the emergency was declared twice: %v", err)
	}
	// They enter the new certificate.
	for _, p := range c.partners {
		c.enter(p, r.Next.ID)
	}
	if failed := c.everybody(); failed != nil {
		t.Errorf("%v fail with the new certificate", failed)
	}
}

// TestOwnAddress: a stranger's fetch is nobody's, and a fetch that was remembered a moment ago isn't again.
func TestOwnAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		own, err := samlidp.MetadataAddress(made.seal, origin, policies.NetworkInternet, "app")
		must(t, err)
		known := func() (rows int, last int64) {
			t.Helper()
			must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*), COALESCE(MAX(last_at), 0) FROM saml_key_evidence`).Scan(&rows, &last))
			return rows, last
		}
		for what, to := range map[string]string{
			"a guessed mark": own[:len(own)-1] + "x", "another's mark": strings.Replace(own, "/app/", "/other/", 1), "of nobody": strings.Replace(own, "/app/", "/nobody/", 1),
		} {
			h.refused(t, what, "metadata_address", func() result { return h.get(to) })
		}
		lgwan := strings.Replace(own, origin, originLGWAN, 1)
		h.refused(t, "of another network", "metadata_address", func() result {
			return h.serve(policies.NetworkLGWAN, httptest.NewRequest(http.MethodGet, lgwan, nil))
		})
		if n, _ := known(); n != 0 {
			t.Errorf("strangers left %d rows", n)
		}
		h.serve(policies.NetworkInternet, httptest.NewRequest(http.MethodHead, own, nil))
		if n, _ := known(); n != 0 {
			t.Error("who asked for the head alone has read it")
		}
		plain := h.get(origin + "/saml/metadata")
		if r := h.get(own); r.body == "" || r.body != plain.body {
			t.Error("the own address gives another document")
		}
		n, last := known()
		if n != 2 || last != h.now().UnixMicro() {
			t.Errorf("%d rows, at %d", n, last)
		}
		h.forward(time.Hour - time.Microsecond)
		h.get(own)
		if _, at := known(); at != last {
			t.Error("written again within the hour")
		}
		h.forward(time.Microsecond)
		h.get(own)
		if n, at := known(); n != 2 || at != h.now().UnixMicro() {
			t.Errorf("not written after an hour: %d rows, at %d", n, at)
		}
		must(t, h.registry.Remove(t.Context(), operator, "app", "試験", 1))
		if n, _ := known(); n != 0 {
			t.Error("what is known of a provider outlives it")
		}
		h.refused(t, "of one that is gone", "party_unknown", func() result { return h.get(own) })
	})
}

// TestDocument: signed once in five minutes, and anew where a key changes.
func TestDocument(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		read := func() string { return h.get(origin + "/saml/metadata").body }
		first := read()
		h.forward(5*time.Minute - time.Microsecond)
		if read() != first {
			t.Error("signed again within five minutes")
		}
		h.forward(time.Microsecond)
		second := read()
		if second == first {
			t.Error("the same document after five minutes")
		}
		_, err := h.ring.Rotate(t.Context(), samlidp.Purpose, keys.Turn{Early: true, Withdraw: true}, noRecord)
		must(t, err)
		if third := read(); third == second || len(h.certificates()) != 2 {
			t.Error("the document of before the rotation is served still")
		}
	})
}

// TestLogoutProvesKey: a provider that is switched is asked to log out, and answered, by the key that it knows; and logout messages prove which key each
// provider took: who names a SessionIndex took the assertion that told it, and who answers a request took that. Of an index that two keys told, of a
// made-up one and of a request that isn't answered nothing is learned.
func TestLogoutProvesKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		store := rollover.New(h.db, h.ring, samlidp.Purpose)
		active, next := h.certificates()[0], h.certificates()[1]
		name := map[string]string{fmt.Sprintf("%x", active.SubjectKeyId): "active", fmt.Sprintf("%x", next.SubjectKeyId): "next"}
		proven := func() (out []string) {
			t.Helper()
			rows, err := h.db.Reader().QueryContext(t.Context(), `SELECT party, key_id FROM saml_key_evidence WHERE kind = 'logout' ORDER BY party, last_at`)
			must(t, err)
			defer rows.Close()
			for rows.Next() {
				var party, key string
				must(t, rows.Scan(&party, &key))
				out = append(out, party+" "+name[key])
			}
			must(t, rows.Err())
			return out
		}
		is := func(want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, proven()); diff != "" {
				t.Fatalf("proven (-want +got):\n%s\n%s", diff, h.log.String())
			}
		}
		turn := func(party policies.RelyingPartyID) {
			t.Helper()
			_, err := store.SwitchTo(t.Context(), operator, party, "", "", h.now().UnixMicro())
			must(t, err)
		}
		ask := func(by policies.RelyingPartyID, who subject, indexes ...string) seen {
			return h.newBrowser().open(slo + "?" + carry("SAMLRequest", h.wants(by, who, nil, indexes...), "", h.own))
		}
		h.loggedIn("s1")
		who := h.enter("front")
		ask("front", who, "_made-up")
		is()
		ask("front", who)
		is("front active")

		turn("second")
		h.loggedIn("s2")
		who = h.enter("front")
		h.enter("second")
		s := ask("front", who)
		to, raw, _ := strings.Cut(s.to, "?")
		signed, _, _ := strings.Cut(raw, "&Signature=")
		in, err := url.ParseQuery(raw)
		must(t, err)
		octets, err := base64.StdEncoding.DecodeString(in.Get("Signature"))
		must(t, err)
		if err := wire.VerifyOctets([]byte(signed), in.Get("SigAlg"), octets, []*x509.Certificate{next}); err != nil || to != "https://second.example/slo" {
			t.Fatalf("%+v: %v", s, err)
		}
		is("front active")
		packed, err := base64.StdEncoding.DecodeString(in.Get("SAMLRequest"))
		must(t, err)
		doc, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
		must(t, err)
		h.newBrowser().open(slo + "?" + carry("SAMLResponse", h.answers("second", attribute(string(doc), "ID"), nil), "", h.own))
		is("front active", "second next")

		// One index, told by two keys.
		h.loggedIn("s3")
		h.enter("poster")
		turn("poster")
		who = h.enter("poster")
		h.newBrowser().posts(carryForm("SAMLRequest", signedDoc(t, h.wants("poster", who, nil), h.own), ""))
		is("front active", "second next")

		// By SOAP, in both directions.
		turn("soap")
		h.loggedIn("s4")
		h.enter("soap")
		must(t, h.end(t.Context(), "s4", session.WhyLogout))
		h.ends.post = func(_ *http.Request, body []byte) (int, string, []byte, error) {
			el, err := wire.Parse(body, wire.MessageLimits)
			must(t, err)
			inside, err := wire.Body(el)
			must(t, err)
			if inside, err = wire.Verify(inside, []*x509.Certificate{next}); err != nil {
				t.Errorf("the request by SOAP: %v", err)
				return http.StatusBadRequest, "text/xml", nil, nil
			}
			answer := signedDoc(t, h.answers("soap", wire.Attr(inside, "ID"), map[string]string{"Destination": ""}), h.own)
			return http.StatusOK, "text/xml", []byte(envelope(answer)), nil
		}
		must(t, h.provider.Deliver(t.Context(), h.ends.queue[len(h.ends.queue)-1]))
		is("front active", "second next", "soap next")
		turn("mute")
		h.loggedIn("s5")
		who = h.enter("mute")
		h.soap(envelope(signedDoc(t, h.wants("mute", who, map[string]string{"Destination": sloSOAP}), h.own)))
		is("front active", "mute next", "second next", "soap next")
	})
}
