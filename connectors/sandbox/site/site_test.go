package site_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// TestPrefixIndexAgreesWithAScan compares the index with the plain way, past several merges.
func TestPrefixIndexAgreesWithAScan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var x site.PrefixIndex
		keys := rapid.SliceOfN(rapid.StringMatching(`[abA]{1,4}`), 0, 1500).Draw(rt, "keys")
		for i, k := range keys {
			x.Add(k, fmt.Sprintf("%04d", i))
		}
		prefix := rapid.StringMatching(`[abB]{0,3}`).Draw(rt, "prefix")
		odd := func(id string) bool { return id[3]%2 == 1 }
		var want []string
		for i, k := range keys {
			if id := fmt.Sprintf("%04d", i); strings.HasPrefix(strings.ToLower(k), strings.ToLower(prefix)) && odd(id) {
				want = append(want, id)
			}
		}
		slices.SortFunc(want, func(a, b string) int {
			var i, j int
			_, _ = fmt.Sscan(strings.TrimLeft(a, "0")+" ", &i)
			_, _ = fmt.Sscan(strings.TrimLeft(b, "0")+" ", &j)
			if c := strings.Compare(strings.ToLower(keys[i]), strings.ToLower(keys[j])); c != 0 {
				return c
			}
			return strings.Compare(a, b)
		})
		if got := x.Search(prefix, len(keys)+1, odd); !slices.Equal(got, want) {
			rt.Fatalf("prefix %q: %v, want %v", prefix, got, want)
		}
		if limited := x.Search(prefix, 3, odd); !slices.Equal(limited, want[:min(3, len(want))]) {
			rt.Fatalf("limited: %v", limited)
		}
	})
}

// TestMembersRemember compares reads of an earlier moment with what was there then.
func TestMembersRemember(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var m site.Members
		at := time.Unix(1_800_000_000, 0)
		type moment struct {
			at  time.Time
			ids []string
		}
		var past []moment
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(1, 5).Draw(rt, "seconds")) * time.Second)
			ids := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3).Draw(rt, "ids")
			if rapid.Bool().Draw(rt, "add") {
				m.Add(at, ids...)
			} else {
				m.Remove(at, ids...)
			}
			past = append(past, moment{at, m.IDs(time.Time{})})
		}
		for _, p := range past {
			if at.Sub(p.at) > site.StaleWindow {
				continue
			}
			got := m.IDs(p.at)
			slices.Sort(got)
			slices.Sort(p.ids)
			if !slices.Equal(got, p.ids) {
				rt.Fatalf("%v ago: %v, want %v", at.Sub(p.at), got, p.ids)
			}
		}
	})
}

func TestTable(t *testing.T) {
	table := site.NewTable([]site.Route{{Method: "GET", Pattern: "/a/{id}", Op: "get"}, {Method: "PUT", Pattern: "/a/{id}", Op: "put"}, {Method: "GET", Pattern: "/a", Op: "list"}})
	for _, c := range []struct{ method, path, op, id, allowed string }{
		{"GET", "/a/x%2Fy", "get", "x/y", ""},
		{"GET", "/a/qm:1:2", "get", "qm:1:2", ""},
		{"GET", "/a", "list", "", ""},
		{"POST", "/a/x", "", "", "GET,PUT"},
		{"GET", "/a/", "", "", ""},
		{"GET", "/a/x/y", "", "", ""},
		{"GET", "/b", "", "", ""},
		{"GET", "/a/%zz", "", "", ""},
	} {
		r, vars, allowed := table.Match(c.method, c.path)
		op := ""
		if r != nil {
			op = r.Op
		}
		if op != c.op || vars["id"] != c.id || strings.Join(allowed, ",") != c.allowed {
			t.Errorf("%s %s: %q %v %v", c.method, c.path, op, vars, allowed)
		}
	}
}
