package crl

import (
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

func verified(t testing.TB, d draft) *List {
	t.Helper()
	l, err := Parse(d.make(), Rules{}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckSignature(d.signer().pub, anySignature); err != nil {
		t.Fatal(err)
	}
	return l
}

func partition(cn string) []byte {
	return idp(der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(4), name(cn)))))
}

// A list takes another's place only if it is of the same issuer, key and scope, newer, and not past its time.
func TestReplaces(t *testing.T) {
	day := 24 * time.Hour
	other := ext(pkix.OIDAuthorityKeyID, false, seq(der.Wrap(der.Context(0), octets("another key"))))
	old := draft{number: 7, exts: [][]byte{partition("TEST partition 13")}}
	for _, c := range []struct {
		name string
		list draft
		want Code
	}{
		{"the next list", draft{number: 8, this: timeOf(thisUpdate.Add(day)), next: timeOf(nextUpdate.Add(day)), exts: old.exts}, ""},
		{"the next list, to be replaced earlier", draft{number: 8, next: timeOf(nextUpdate.Add(-time.Hour)), exts: old.exts}, ""},
		{"the same number, another list", draft{number: 7, entries: oneEntry().entries, exts: old.exts}, CodeLower},
		{"a lower number", draft{number: 6, this: timeOf(thisUpdate.Add(day)), next: timeOf(nextUpdate.Add(day)), exts: old.exts}, CodeLower},
		{"a number that is lower by its octets only", draft{number: 1 << 20, this: timeOf(thisUpdate.Add(day)), next: timeOf(nextUpdate.Add(day)), exts: old.exts}, ""},
		{"a higher number of an earlier day", draft{number: 8, this: timeOf(thisUpdate.Add(-day)), exts: old.exts}, CodeOlder},
		{"past its time", draft{number: 8, this: timeOf(thisUpdate), next: timeOf(thisUpdate.Add(time.Minute)), exts: old.exts}, CodeStale},
		{"another issuer", draft{number: 8, issuer: name("TEST other"), exts: old.exts}, CodeOtherIssuer},
		{"another spelling of the issuer", draft{number: 8, issuer: name("Test  ca"), exts: old.exts}, ""},
		{
			"another generation of the issuer",
			draft{allExts: der.Wrap(der.Constructed(0), seq(other, ext(pkix.OIDCRLNumber, false, integerOf(8)), old.exts[0]))},
			CodeOtherIssuer,
		},
		{"another partition", draft{number: 8, exts: [][]byte{partition("TEST partition 14")}}, CodeOtherScope},
		{"no partition", draft{number: 8}, CodeOtherScope},
		{"fewer reasons", draft{number: 8, exts: [][]byte{idp(fullName, octets("\x83\x02\x06\x40"))}}, CodeOtherScope},
		{"users only", draft{number: 8, exts: [][]byte{idp(fullName, octets("\x81\x01\xff"))}}, CodeOtherScope},
		{"a delta", draft{number: 8, exts: [][]byte{old.exts[0], delta}}, CodeOtherScope},
	} {
		now := thisUpdate.Add(time.Hour)
		err := Replaces(verified(t, old).Info(), verified(t, c.list).Info(), now)
		if CodeOf(err) != c.want || err != nil && c.want == "" {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	l := verified(t, old)
	if err := Replaces(l.Info(), l.Info(), nextUpdate.Add(day)); err != nil {
		t.Errorf("a list in its own place: %v", err)
	}
}

func TestCompareNumbers(t *testing.T) {
	order := [][]byte{nil, {0}, {1}, {0x7f}, {0, 0x80}, {0, 0xff}, {1, 0}, {0x7f, 0xff}, {0, 0x80, 0}, {1, 0, 0, 0}}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareNumbers(a, b); got != want {
				t.Errorf("%x, %x: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestStore(t *testing.T) {
	var s Store
	now := thisUpdate.Add(time.Hour)
	if s.Of(named("TEST CA")) != nil || s.All() != nil {
		t.Error("an empty store holds something")
	}
	unchecked, err := Parse(draft{}.make(), Rules{}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(unchecked, now); CodeOf(err) != CodeSignature {
		t.Errorf("a list that nobody verified: %v", err)
	}
	if err := s.Restore(unchecked); CodeOf(err) != CodeSignature {
		t.Errorf("a list that nobody verified: %v", err)
	}
	swap := func(d draft, want Code, count int) Held {
		t.Helper()
		old, err := s.Swap(verified(t, d), now)
		if CodeOf(err) != want || err != nil && want == "" {
			t.Errorf("%v, want %q", err, want)
		}
		if got := len(s.Of(named("test ca"))); got != count {
			t.Errorf("%d lists, want %d", got, count)
		}
		return old
	}
	swap(draft{next: timeOf(now)}, CodeStale, 0)
	swap(draft{number: 7}, "", 1)
	swap(draft{number: 7, exts: [][]byte{partition("TEST partition 13")}}, "", 2)
	swap(draft{number: 9, exts: [][]byte{delta}}, "", 3)
	swap(draft{number: 7, issuer: name("TEST other")}, "", 3)
	swap(draft{number: 3}, CodeLower, 3)
	if old := swap(draft{number: 8}, "", 3); old == nil || old.Info().Number[0] != 7 {
		t.Errorf("the list that was replaced: %v", old)
	}
	// Another generation of the CA: one name, another key. Its list stands beside, whatever the numbers.
	swap(draft{by: new(ecSigner()), number: 1}, "", 4)
	if len(s.All()) != 5 {
		t.Errorf("%d lists in all", len(s.All()))
	}
	if err := s.Restore(verified(t, draft{number: 100})); CodeOf(err) != CodeOlder {
		t.Errorf("a snapshot over a list in use: %v", err)
	}
	if err := s.Restore(verified(t, draft{issuer: name("TEST third"), this: timeOf(revokedAt), next: timeOf(revokedAt.Add(time.Hour))})); err != nil {
		t.Errorf("an old snapshot at a restart: %v", err)
	}
}

// Readers see a list or its successor, never neither, while lists are swapped under them.
func TestStoreUnderReaders(t *testing.T) {
	var s Store
	now := thisUpdate.Add(time.Hour)
	if _, err := s.Swap(verified(t, draft{number: 1, entries: oneEntry().entries}), now); err != nil {
		t.Fatal(err)
	}
	var lists []*List
	for n := range 20 {
		lists = append(lists, verified(t, draft{number: int64(n + 2), entries: oneEntry().entries}))
	}
	issuer, serial := named("TEST CA"), integerOf(5)[2:]
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			number := []byte{0}
			for {
				select {
				case <-stop:
					return
				default:
				}
				held := s.Of(issuer)
				if len(held) != 1 {
					t.Errorf("%d lists", len(held))
					return
				}
				if _, revoked := held[0].Lookup(issuer, serial); !revoked {
					t.Error("not revoked for a moment")
					return
				}
				if CompareNumbers(held[0].Info().Number, number) < 0 {
					t.Error("an older list came back")
					return
				}
				number = held[0].Info().Number
			}
		})
	}
	for _, l := range lists {
		if _, err := s.Swap(l, now); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
}

// An indirect list: an entry is about the issuer that it or the last one before it names, and at first about the list's own.
func TestIndirectList(t *testing.T) {
	d := draft{exts: [][]byte{idp(fullName, octets("\x84\x01\xff"))}, entries: [][]byte{
		entry(integerOf(1), revokedAt),
		entry(integerOf(2), revokedAt, certIssuer("TEST A"), reason(1)),
		entry(integerOf(1), revokedAt),
		entry(integerOf(1), revokedAt, certIssuer("TEST B")),
		entry(integerOf(9), revokedAt, certIssuer("TEST CA")),
	}}
	l := verified(t, d)
	for _, c := range []struct {
		issuer string
		serial int64
		want   bool
	}{
		{"TEST CA", 1, true},
		{"TEST CA", 2, false},
		{"TEST CA", 9, true},
		{"TEST A", 1, true},
		{"TEST A", 2, true},
		{"TEST A", 9, false},
		{"test  a", 2, true},
		{"TEST B", 1, true},
		{"TEST B", 2, false},
		{"TEST C", 1, false},
	} {
		if _, ok := l.Lookup(named(c.issuer), integerOf(c.serial)[2:]); ok != c.want {
			t.Errorf("%s %d: %v, want %v", c.issuer, c.serial, ok, c.want)
		}
	}
	d.entries = append(d.entries, entry(integerOf(1), revokedAt))
	if _, err := Parse(d.make(), Rules{}, Limits{}); CodeOf(err) != CodeDuplicate {
		t.Errorf("one certificate of the list's own issuer twice: %v", err)
	}
}
