package samlsp

import (
	"slices"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
)

// FuzzResponse holds that no change of a good response makes it say something else: whatever is taken says what was signed.
func FuzzResponse(f *testing.F) {
	now := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	p, err := idptest.New("https://login.localhost", func() time.Time { return now })
	if err != nil {
		f.Fatal(err)
	}
	p.Audience = "https://slack.com"
	p.Person = &idptest.Person{NameID: "p-1", Format: idptest.Persistent, Attributes: [][2]string{{slackEmail, "a@city.example.lg.jp"}}, Context: idptest.Card, Index: "_s"}
	const consumer = "https://shop.localhost/sso/saml"
	want := wanted{issuer: p.EntityID(), entity: p.Audience, consumer: consumer, request: "_r", cert: p.Certificate, either: true, required: []string{slackEmail}, now: now}
	// Each process has a key of its own, so that what is tried is a change and not a document.
	var good [4][]byte
	for i := range good {
		p.SignResponse, p.SignAssertion = i&1 == 0, i&2 == 0
		if good[i], err = p.Respond("_r", consumer); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(byte(0), uint16(0), uint16(0), []byte(nil))
	f.Add(byte(1), uint16(400), uint16(3), []byte("x"))
	f.Add(byte(2), uint16(900), uint16(0), []byte("<!-- -->"))
	f.Add(byte(3), uint16(0), uint16(0), []byte("<!DOCTYPE x>"))
	f.Fuzz(func(t *testing.T, shape byte, at, cut uint16, insert []byte) {
		whole := good[shape%4]
		from := min(int(at), len(whole))
		to := min(from+int(cut), len(whole))
		raw := slices.Concat(whole[:from], insert, whole[to:])
		root, no := read(raw)
		if no != "" {
			return
		}
		a, refusal := judge(root, want)
		if refusal == nil && (a.name != "p-1" || a.one(slackEmail) != "a@city.example.lg.jp" || a.index != "_s" || a.context != idptest.Card) {
			t.Errorf("taken: %+v\n%s", a, raw)
		}
		if refusal == nil && shape%4 == 3 {
			t.Errorf("taken without a signature: %s", raw)
		}
		if refusal != nil && len(insert) == 0 && cut == 0 && shape%4 != 3 {
			t.Errorf("refused unchanged: %+v", refusal)
		}
	})
}

// FuzzQuery holds that no query ends a session that the provider hasn't signed, and that nothing in one makes the reader fail.
func FuzzQuery(f *testing.F) {
	now := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	p, err := idptest.New("https://login.localhost", func() time.Time { return now })
	if err != nil {
		f.Fatal(err)
	}
	const to = "https://shop.localhost/saml/slo"
	good := p.Redirect(to, "SAMLRequest", p.Logout(to, "p-1", "_s"), "r")[len(to)+1:]
	f.Add(uint16(0), uint16(0), "")
	f.Add(uint16(5000), uint16(0), "&SAMLResponse=x")
	f.Add(uint16(0), uint16(60000), "SAMLRequest=%zz&SigAlg=x&Signature=x")
	party := &Party{}
	party.Visitors = visitorsAt(f, now)
	s := entered{cert: p.Certificate}
	f.Fuzz(func(t *testing.T, at, cut uint16, insert string) {
		from := min(int(at), len(good))
		query := good[:from] + insert + good[min(from+int(cut), len(good)):]
		m, no := party.receiveQuery(query, s)
		if no != "" {
			return
		}
		if got := text(only(m.root, nsAssertion, "NameID")); got != "p-1" || len(query) < 100 {
			doc := etree.NewDocument()
			doc.SetRoot(m.root)
			raw, _ := doc.WriteToString()
			t.Errorf("taken: %q %s", query, raw)
		}
	})
}
