package connectortest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// step makes one random call.
func (s *sequence) step() {
	n, k := s.rand.IntN(4), s.rand.IntN(2)
	a, g := s.accounts[n], s.groups[k]
	switch choice := s.rand.IntN(10); {
	case a != nil && a.unsure:
		s.find(n) // never blindly again
	case a == nil:
		s.create(n)
	case choice < 2 && a.active:
		s.disable(n, a)
	case choice < 4 && (!a.active && s.h.Restores || a.active && s.h.Change != nil):
		s.update(n, a)
	case g == nil:
		s.createGroup(k)
	case g.unsure:
		s.findGroup(k)
	default:
		s.member(g, a)
	}
}

func (s *sequence) create(n int) {
	made, err := s.o.AccountWriter.CreateAccount(s.t.Context(), s.h.Account(n))
	switch nothing, _ := s.note(err, false, "create account %d", n); {
	case err == nil:
		s.accounts[n] = &knownAccount{id: made.ID, name: s.h.Account(n).DisplayName, active: true}
	case !nothing:
		s.accounts[n] = &knownAccount{unsure: true}
	}
}

func (s *sequence) update(n int, a *knownAccount) {
	want := s.h.Account(n)
	if a.active && a.name == want.DisplayName {
		want = s.h.Change(want)
	}
	want.ID = a.id
	_, err := s.o.AccountWriter.UpdateAccount(s.t.Context(), want)
	if _, unsure := s.note(err, true, "update account %d", n); unsure {
		a.unsure = true
	} else if err == nil {
		a.name, a.active = want.DisplayName, true
	}
}

func (s *sequence) disable(n int, a *knownAccount) {
	err := s.o.AccountWriter.DisableAccount(s.t.Context(), a.id)
	_, unsure := s.note(err, true, "disable account %d", n)
	if unsure {
		a.unsure = true
	} else if err == nil {
		a.active = false
	}
	if !s.leaves || !unsure && err != nil {
		return
	}
	for _, g := range s.groups {
		if g.members[a.id] {
			delete(g.members, a.id)
			g.unsure = g.unsure || unsure
		}
	}
}

func (s *sequence) createGroup(k int) {
	made, err := s.o.GroupWriter.CreateGroup(s.t.Context(), connectors.Group{Name: groupName(k)})
	if err == nil {
		s.note(err, false, "create group %d", k)
		s.groups[k] = &knownGroup{id: made.ID, members: map[string]bool{}}
		return
	}
	// Making a group can take several calls of which the first may have been carried out.
	s.note(err, true, "create group %d", k)
	s.groups[k] = &knownGroup{unsure: true}
}

func (s *sequence) member(g *knownGroup, a *knownAccount) {
	if g.members[a.id] {
		err := s.o.GroupWriter.RemoveMembers(s.t.Context(), g.id, []string{a.id})
		if _, unsure := s.note(err, true, "remove %s from %s", a.id, g.id); unsure {
			g.unsure = true
		} else if err == nil {
			delete(g.members, a.id)
		}
		return
	}
	if !a.active {
		return // what a product does with a member who has no access is its own affair
	}
	err := s.o.GroupWriter.AddMembers(s.t.Context(), g.id, []string{a.id})
	if _, unsure := s.note(err, true, "add %s to %s", a.id, g.id); unsure {
		g.unsure = true
	} else if err == nil {
		g.members[a.id] = true
		g.unsure = s.silent // the vendor says yes and may have lost it: only a look tells
	}
}

// find looks an account up once it must be there to be seen, and adopts what is found.
func (s *sequence) find(n int) {
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	want := s.h.Account(n)
	want.ID = s.accounts[n].id
	got, err := s.o.Accounts.FindAccount(s.t.Context(), want)
	s.note(err, true, "find account %d", n)
	switch {
	case err == nil:
		s.accounts[n] = &knownAccount{id: got.ID, name: got.DisplayName, active: got.Active}
	case connectors.KindOf(err) == connectors.KindNotFound:
		delete(s.accounts, n)
	}
}

func (s *sequence) findGroup(k int) {
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	got, err := s.o.Groups.FindGroup(s.t.Context(), groupName(k))
	s.note(err, true, "find group %d", k)
	switch {
	case connectors.KindOf(err) == connectors.KindNotFound:
		delete(s.groups, k)
		return
	case err != nil:
		return
	}
	members := map[string]bool{}
	err = s.o.Groups.ListMembers(s.t.Context(), got.ID, func(page []string) error {
		for _, id := range page {
			members[id] = true
		}
		return nil
	})
	s.note(err, true, "list group %d", k)
	if err == nil {
		s.groups[k] = &knownGroup{id: got.ID, members: members}
	}
}

// reconcile looks up what is unknown, now that nothing fails.
func (s *sequence) reconcile() error {
	s.steps = append(s.steps, "  reconcile")
	for n, a := range s.accounts {
		if a.unsure {
			if s.find(n); s.accounts[n] != nil && s.accounts[n].unsure {
				return fmt.Errorf("account %d can't be looked up", n)
			}
		}
	}
	for k, g := range s.groups {
		if g.unsure {
			if s.findGroup(k); s.groups[k] != nil && s.groups[k].unsure {
				return fmt.Errorf("group %d can't be looked up", k)
			}
		}
	}
	return nil
}

// compare says where belief and truth differ.
func (s *sequence) compare(truth Truth) error {
	var errs []error
	for n, a := range s.accounts {
		got, ok := truth.Accounts[a.id]
		want := TrueAccount{Email: s.h.Account(n).Email, DisplayName: a.name, Active: a.active}
		if !ok || got != want {
			errs = append(errs, fmt.Errorf("account %d is believed to be %s %+v and is %+v", n, a.id, want, got))
		}
	}
	if len(truth.Accounts) != len(s.accounts) {
		errs = append(errs, fmt.Errorf("%d accounts are believed, there are %v", len(s.accounts), truth.Accounts))
	}
	for k, g := range s.groups {
		got, ok := truth.Groups[groupName(k)]
		want := slices.Sorted(maps.Keys(g.members))
		if slices.Sort(got); !ok || !slices.Equal(got, want) {
			errs = append(errs, fmt.Errorf("group %d is believed to have %v and has %v", k, want, got))
		}
	}
	if len(truth.Groups) != len(s.groups) {
		errs = append(errs, fmt.Errorf("%d groups are believed, there are %v", len(s.groups), truth.Groups))
	}
	return errors.Join(errs...)
}
