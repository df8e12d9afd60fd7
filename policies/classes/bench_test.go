package classes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/policytest"
)

// The limits of the issue, on the two-core machine that they were set for.
const (
	limitMedian  = 25 * time.Microsecond
	limitP99     = 100 * time.Microsecond
	limitClasses = time.Second

	benchPeople    = 60_000
	benchThings    = 10_000
	benchQuestions = 15 // of each person: 4 about seats (2 products, 2 kinds of seat), 11 about organizations
)

// twentyPolicies all apply to every action, so that each decision evaluates all of them.
func twentyPolicies() string {
	conditions := []string{
		`when { principal.role == Musubi::Role::"administrator" && principal.kind == Musubi::Kind::"ministry" }`,
		`when { resource is Musubi::Organization && resource == principal.org && principal.role != Musubi::Role::"general" }`,
		`when { resource is Musubi::Organization && resource has parent && resource.parent == principal.org }`,
		`when { [Musubi::Kind::"agency", Musubi::Kind::"prefecture"].contains(principal.kind) } unless { principal.role == Musubi::Role::"general" }`,
		`when { principal.org == Musubi::Organization::"000003" || principal.org == Musubi::Organization::"000004" }`,
	}
	var b strings.Builder
	b.WriteString(`@id("ended") forbid (principal, action, resource) unless { principal.active };` + "\n")
	for i := 1; i < 20; i++ {
		effect := "permit"
		if i%7 == 0 {
			effect = "forbid"
		}
		fmt.Fprintf(&b, "@id(\"p-%d\") %s (principal, action, resource) %s;\n", i, effect, conditions[i%len(conditions)])
	}
	return b.String()
}

func nation() (people []policies.Person, things []policies.Organization) {
	kinds, roles := policies.OrgKinds(), policies.Roles()
	for i := range benchThings {
		o := policies.Organization{ID: policies.OrgID(fmt.Sprintf("%06d", i)), Kind: kinds[i%len(kinds)]}
		if i >= 47 {
			o.Parent = policies.OrgID(fmt.Sprintf("%06d", i%47))
		}
		things = append(things, o)
	}
	for i := range benchPeople {
		people = append(people, policies.Person{
			ID: policies.PersonID(fmt.Sprintf("p%05d", i)), Org: things[i%1788], Role: roles[i/7%len(roles)], Active: i%50 != 0,
		})
	}
	return people, things
}

// BenchmarkDecision times single decisions of a set of twenty policies, over people and organizations that come in no order.
func BenchmarkDecision(b *testing.B) {
	e := policytest.Engine(b, twentyPolicies())
	people, things := nation()
	took := make([]time.Duration, 0, 1<<16)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		p, o := people[i*7919%len(people)], things[i*104729%len(things)]
		start := time.Now()
		_, err := e.Evaluate(p, policies.ActionPeopleRead, o)
		elapsed := time.Since(start)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, elapsed)
	}
	slices.Sort(took)
	median, p99 := took[len(took)/2], took[len(took)*99/100]
	b.ReportMetric(float64(median.Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(p99.Nanoseconds())/1e3, "p99-us")
	b.ReportMetric(float64(median)/float64(limitMedian), "p50/limit")
	b.ReportMetric(float64(p99)/float64(limitP99), "p99/limit")
}

// askNation asks the benchmark's questions about each of people.
func askNation(
	people []policies.Person, things []policies.Organization,
	seats func(policies.Person) ([]policies.SeatDecision, error),
	decide func(policies.Person, *policies.Organization) (policies.Decision, error),
) error {
	seatQuestions := len(policies.Seats()) * len(policies.Reached())
	for i, p := range people {
		if _, err := seats(p); err != nil {
			return err
		}
		for j := range benchQuestions - seatQuestions {
			o := &things[(i*31+j*907)%len(things)]
			if j == 0 {
				o = &p.Org
			}
			if _, err := decide(p, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// BenchmarkPopulation asks fifteen questions about each of 60,000 people through fresh classes, and, for the ratio, about
// each fortieth of them one by one.
func BenchmarkPopulation(b *testing.B) {
	e := policytest.Engine(b, seatPolicies())
	people, things := nation()
	var sample []policies.Person
	for i := 0; i < len(people); i += 40 {
		sample = append(sample, people[i])
	}
	start := time.Now()
	err := askNation(sample, things, e.Seats, func(p policies.Person, o *policies.Organization) (policies.Decision, error) {
		return e.Evaluate(p, policies.ActionPeopleRead, *o)
	})
	if err != nil {
		b.Fatal(err)
	}
	oneByOne := time.Since(start) * time.Duration(len(people)/len(sample))

	var c *Classes
	for b.Loop() {
		c = New(e)
		err := askNation(people, things, c.Seats, func(p policies.Person, o *policies.Organization) (policies.Decision, error) {
			return c.Decide(p, policies.ActionPeopleRead, o, policies.Context{})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	each := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(each.Seconds(), "s/900k-questions")
	b.ReportMetric(oneByOne.Seconds(), "s-one-by-one")
	b.ReportMetric(float64(oneByOne)/float64(each), "times-faster")
	b.ReportMetric(float64(each)/float64(limitClasses), "time/limit")
	b.ReportMetric(float64(c.Len()), "classes")
}

// seatPolicies is twentyPolicies without a person who would hold two seats in one product.
func seatPolicies() string {
	return twentyPolicies() + `@id("one-seat") forbid (principal, action == Musubi::Action::"seat.portal_customer", resource == Musubi::Product::"atlassian");
@id("other-seat") forbid (principal, action == Musubi::Action::"seat.licensed_member", resource == Musubi::Product::"jira");
`
}
