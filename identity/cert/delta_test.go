package cert_test

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// fewCards are cards whose status a history changes.
var fewCards = sync.OnceValue(func() []*testpki.Card {
	b := theBench()
	cards := make([]*testpki.Card, 4)
	for i := range cards {
		cards[i] = must(b.ca.Issue(testpki.Holder{Kind: testpki.P256}, present))
	}
	return cards
})

// A delta on its base says what the complete list of the same number says, for every history of revocations, holds and releases and every base.
// Where hold is final, what the base has on hold stays so whatever the delta says.
func TestDeltaOnBaseIsTheCompleteList(t *testing.T) {
	b := theBench()
	cards := fewCards()
	config := b.auth.Config()
	config.HoldFinal = false
	releasable := must(cert.NewProfile(config))
	reasons := []int{testpki.KeyCompromise, testpki.CertificateHold, testpki.CertificateHold, testpki.Superseded, testpki.Unspecified}
	rapid.Check(t, func(t *rapid.T) {
		// A history: at each number at most one card is revoked, put on hold, or released from it.
		const absent = -1
		states := [][]int{{absent, absent, absent, absent}}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			now := append([]int(nil), states[len(states)-1]...)
			i := rapid.IntRange(0, len(cards)-1).Draw(t, "card")
			switch now[i] {
			case absent:
				now[i] = rapid.SampledFrom(reasons).Draw(t, "reason")
			case testpki.CertificateHold:
				now[i] = rapid.SampledFrom([]int{absent, testpki.KeyCompromise}).Draw(t, "then")
			}
			states = append(states, now)
		}
		last := len(states) - 1
		base := rapid.IntRange(0, last-1).Draw(t, "base")
		since := rapid.IntRange(0, base).Draw(t, "since") // the base that the delta names: not above the one at hand
		at := func(number int) time.Time { return present.Add(time.Duration(number-20) * time.Minute) }
		list := func(number int, change func(*testpki.List)) []byte {
			return b.list(func(l *testpki.List) {
				l.Number, l.ThisUpdate = uint64(100+number), at(number)
				for i, s := range states[number] {
					if s != absent {
						l.Entries = append(l.Entries, cards[i].Entry(at(number).Add(-time.Hour), s))
					}
				}
				if change != nil {
					change(l)
				}
			})
		}
		delta := list(last, func(l *testpki.List) {
			l.Base, l.Entries = uint64(100+since), nil
			for i, s := range states[last] {
				changed, removed := false, false
				for n := since; n < last; n++ {
					changed = changed || states[n][i] != s
					removed = removed || states[n][i] != absent
				}
				switch {
				case s != absent && changed:
					l.Entries = append(l.Entries, cards[i].Entry(at(last).Add(-time.Hour), s))
				case s == absent && removed:
					l.Entries = append(l.Entries, cards[i].Entry(at(last).Add(-time.Hour), testpki.RemoveFromCRL))
				}
			}
		})
		both, complete := lists(list(base, nil), delta), lists(list(last, nil))
		for i, card := range cards {
			got := releasable.Verify(b.anchors, evidence(card.Raw, both))
			want := releasable.Verify(b.anchors, evidence(card.Raw, complete))
			if got.Code != want.Code {
				t.Fatalf("card %d: base %d and delta %d since %d say %s, the complete list %s: %v", i, base, last, since, got.Code, want.Code, states)
			}
			final := b.auth.Verify(b.anchors, evidence(card.Raw, both))
			if states[base][i] == testpki.CertificateHold && final.Valid || states[base][i] != absent && final.Valid || want.Code != cert.OK && final.Valid {
				t.Fatalf("card %d: %s where hold is final: %v", i, final.Code, states)
			}
		}
		// Neither a delta without its base nor with one that is older than it names says anything.
		if v := releasable.Verify(b.anchors, evidence(cards[0].Raw, lists(delta))); v.Valid {
			t.Fatal("a delta alone was enough")
		}
		if since > 0 && states[since-1][0] == absent && states[last][0] != absent {
			older := lists(list(since-1, nil), delta)
			v := releasable.Verify(b.anchors, evidence(cards[0].Raw, older))
			if !v.Valid {
				t.Fatalf("a delta counted on a base that is older than its own: %s", v.Code)
			}
		}
	})
}
