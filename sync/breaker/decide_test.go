package breaker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseLimits(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{DefaultNationAccounts, true},
		{DefaultNationMemberships, true},
		{DefaultChangeAccounts, true},
		{DefaultChangeMemberships, true},
		{DefaultProductAccounts, true},
		{DefaultProductMemberships, true},
		{DefaultOrganizationAccounts, true},
		{DefaultOrganizationMemberships, true},
		{"1h 0 0%", true},
		{"90d 5 100%", true},
		{"24h 10 0.05%", true},
		{"", false},
		{"24h 10", false},
		{"24h 10 10", false},
		{"24h -1 10%", false},
		{"24h 10 101%", false},
		{"24h 10 NaN%", false},
		{"24h 10 -1%", false},
		{"0h 1 1%", false},
		{"91d 1 1%", false},
		{"24m 1 1%", false},
		{"24h 9999999 1%", false},
		{"24h 1 1%, ", false},
		{"1h 1 1% x", false},
		{"1h 1 1%,1h 1 1%,1h 1 1%,1h 1 1%,1h 1 1%,1h 1 1%,1h 1 1%,1h 1 1%,1h 1 1%", false},
	} {
		if _, err := ParseLimits(LevelNation, LossAccounts, c.text); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestEveryBreakerHasALimit(t *testing.T) {
	c := Default()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	for i := range c.Limits {
		without := Config{Announced: c.Announced}
		for j, l := range c.Limits {
			if l.Level != c.Limits[i].Level || l.Loss != c.Limits[i].Loss {
				without.Limits = append(without.Limits, c.Limits[j])
			}
		}
		if without.check() == nil {
			t.Errorf("a configuration without limits for %s of %s is taken", c.Limits[i].Loss, c.Limits[i].Level)
		}
	}
}

func TestDecide(t *testing.T) {
	limit := Limit{Level: LevelOrganization, Loss: LossAccounts, Window: 24 * time.Hour, Least: 10, Share: 0.1}
	for _, c := range []struct {
		name                  string
		lost, asked, baseline int
		trips                 bool
	}{
		{"nothing is asked for", 50, 0, 100, false},
		{"a small organization loses up to the floor", 0, 10, 10, false},
		{"one more than the floor", 0, 11, 10, true},
		{"in two parts", 6, 5, 30, true},
		{"a large one loses a tenth", 0, 100, 1000, false},
		{"and no more", 0, 101, 1000, true},
		{"the baseline is what was there when the window began", 50, 50, 950, false},
		{"not what is there now", 50, 51, 950, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Decide([]Count{{Limit: limit, Lost: c.lost, Asked: c.asked, Baseline: c.baseline}})
			if (len(got) > 0) != c.trips {
				t.Errorf("%+v", got)
			}
		})
	}
}

// However the losses are cut into pieces, what passes within one window is never more than allowed.
func TestNoWayOfCuttingPassesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{Least: rapid.IntRange(0, 20).Draw(t, "least"), Share: rapid.Float64Range(0, 1).Draw(t, "share"), Window: time.Hour}
		there := rapid.IntRange(0, 500).Draw(t, "baseline")
		lost := 0
		for _, asked := range rapid.SliceOfN(rapid.IntRange(1, 40), 0, 30).Draw(t, "pieces") {
			if len(Decide([]Count{{Limit: l, Lost: lost, Asked: asked, Baseline: there - lost}})) == 0 {
				lost += asked
			}
		}
		if lost > l.Allowed(there) {
			t.Fatalf("%d of %d lost, %d allowed", lost, there, l.Allowed(there))
		}
	})
}

func TestSince(t *testing.T) {
	l := Limit{Window: time.Hour}
	hour := time.Hour.Microseconds()
	if got := l.Since(3*hour, 0); got != 2*hour {
		t.Errorf("without a release the window begins at %d", got)
	}
	if got := l.Since(3*hour, 2*hour+5); got != 2*hour+5 {
		t.Errorf("a release begins it anew: %d", got)
	}
	if got := l.Since(3*hour, hour); got != 2*hour {
		t.Errorf("an old release doesn't lengthen it: %d", got)
	}
}
