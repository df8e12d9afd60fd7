package search

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
)

// BenchmarkSearch asks an index of 250,000 people for first pages. The goal is 50 ms; each figure is against that.
func BenchmarkSearch(b *testing.B) {
	const size = 250_000
	rows, _ := sample.Orgs()
	s := &source{people: make(map[policies.PersonID]identity.Person, size)}
	for _, row := range rows.Orgs {
		s.orgs = append(s.orgs, row.Organization)
	}
	slices.SortFunc(s.orgs, func(p, q identity.Organization) int {
		if p.ID < q.ID {
			return -1
		}
		return 1
	})
	n := 0
	for p := range sample.People(s.orgs, size/len(s.orgs)+1, 1) {
		if n == size {
			break
		}
		n++
		p.ID = policies.PersonID(fmt.Sprintf("%026d", n))
		p.Section, p.Title = fmt.Sprintf("第%d部 税務%d課 管理係", n%7, n%60), []string{"主事", "主査", "係長", "課長"}[n%4]
		p.Duties, p.Phone, p.Extension = []string{"住民税・軽自動車税", "情報システム", "国民健康保険"}[n%3], fmt.Sprintf("03-%04d-%04d", n/10000, n%10000), fmt.Sprint(n%9000+1000)
		s.people[p.ID] = p
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	x := open(b, s)
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("open", func(b *testing.B) {
		for b.Loop() { // once is enough: it was measured above
		}
		b.ReportMetric(took.Seconds(), "open-s")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(x.state.Load().base.tokens.len()), "tokens")
	})
	town := scopeOf(b, action, s.orgs[0].ID)
	for _, c := range []struct {
		name  string
		scope policies.Scope
		text  string
	}{
		{"a rare name", everything, "わたなべ みさき"},
		{"a common name", everything, "佐藤"},
		{"latin", everything, "satou"},
		{"one letter", everything, "s"},
		{"everybody", everything, "第"},
		{"everybody twice", everything, "税務 管理"},
		{"organization and section", everything, "東京 税務"},
		{"eight words", everything, "s t k a 第 税 管 主"},
		{"phone", everything, "03-0012"},
		{"a town", town, "税務 s"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			total := 0
			for b.Loop() {
				began := time.Now()
				page, err := x.Search(c.scope, Query{Text: c.text})
				took = append(took, time.Since(began))
				if err != nil {
					b.Fatal(err)
				}
				total = page.Total
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()/0.050, "median-of-50ms")
			b.ReportMetric(took[len(took)*95/100].Seconds()/0.050, "p95-of-50ms")
			b.ReportMetric(float64(total), "found")
		})
	}
	b.Run("a change", func(b *testing.B) { // to the state after it, with the overlay full
		for i := range minOverlay {
			p := s.people[policies.PersonID(fmt.Sprintf("%026d", i+1))]
			p.Title = "部長"
			s.put(p)
		}
		catchUp(b, x)
		for b.Loop() {
			s.put(s.people[policies.PersonID(fmt.Sprintf("%026d", 1))])
			catchUp(b, x)
		}
	})
}
