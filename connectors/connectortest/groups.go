package connectortest

import (
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/connectors"
)

// group makes the n-th sample group.
func (r *run) group(n int) connectors.Group {
	g, err := r.GroupWriter.CreateGroup(r.ctx, connectors.Group{Name: groupName(n)})
	r.must(err, "CreateGroup")
	if g.ID == "" || g.Name != groupName(n) {
		r.fatalf("CreateGroup gives %+v", g)
	}
	return g
}

// oneGroup checks that exactly one group has the n-th name, and that it is found.
func (r *run) oneGroup(n int) connectors.Group {
	got, err := r.Groups.FindGroup(r.ctx, groupName(n))
	r.must(err, "FindGroup")
	count := 0
	r.must(r.Groups.ListGroups(r.ctx, func(page []connectors.Group) error {
		for _, g := range page {
			if g.Name == groupName(n) {
				count++
				if g.ID != got.ID {
					r.errorf("FindGroup gives %q, the list %q", got.ID, g.ID)
				}
			}
		}
		return nil
	}), "ListGroups")
	if count != 1 {
		r.errorf("%d groups are called %s, want 1", count, groupName(n))
	}
	return got
}

func groups(r *run) {
	_, err := r.Groups.FindGroup(r.ctx, groupName(1))
	r.want(err, "FindGroup before there is one", connectors.KindNotFound)
	made, other := r.group(1), r.group(2)
	if made.ID == other.ID {
		r.errorf("two groups have the id %q", made.ID)
	}
	again, err := r.GroupWriter.CreateGroup(r.ctx, connectors.Group{Name: groupName(1)})
	switch {
	case err != nil:
		r.want(err, "CreateGroup of a group that exists", connectors.KindConflict)
	case again.ID != made.ID:
		r.errorf("CreateGroup made a second group: %q and %q", made.ID, again.ID)
	}
	r.settle()
	if got := r.oneGroup(1); got.ID != made.ID {
		r.errorf("FindGroup gives %q, made %q", got.ID, made.ID)
	}
	_, err = r.Groups.FindGroup(r.ctx, groupName(3))
	r.want(err, "FindGroup of one that isn't there", connectors.KindNotFound)
	if got := r.members(made.ID); len(got) != 0 {
		r.errorf("a new group has members: %v", got)
	}
}

func lostGroup(r *run) {
	_, err := r.Groups.FindGroup(r.ctx, groupName(1)) // a connector that remembers absence must not rely on it now
	r.want(err, "FindGroup before there is one", connectors.KindNotFound)
	r.tap.Put(LoseAnswer, 1, Write)
	r.tap.Take()
	_, err = r.GroupWriter.CreateGroup(r.ctx, connectors.Group{Name: groupName(1)})
	r.want(err, "CreateGroup whose answer is lost", connectors.KindAmbiguous)
	if n := writes(r.tap.Take()); n != 1 {
		r.errorf("the creation of a group was sent %d times", n)
	}
	r.oneGroup(1)
	if _, err = r.GroupWriter.CreateGroup(r.ctx, connectors.Group{Name: groupName(1)}); err != nil {
		r.want(err, "CreateGroup once more", connectors.KindConflict)
	}
	r.settle()
	r.oneGroup(1)
}

func members(r *run) {
	g, other := r.group(1), r.group(2)
	var ids []string
	for n := range 5 {
		ids = append(ids, r.account(n).ID)
	}
	add := func(group string, ids ...string) {
		r.must(r.GroupWriter.AddMembers(r.ctx, group, ids), "AddMembers")
	}
	remove := func(ids ...string) {
		r.must(r.GroupWriter.RemoveMembers(r.ctx, g.ID, ids), "RemoveMembers")
	}
	add(other.ID, ids...)
	add(g.ID, ids[0], ids[1], ids[2])
	add(g.ID, ids[0], ids[1], ids[2])         // all of them are in
	add(g.ID, ids[2], ids[3], ids[3], ids[4]) // one is in, one is named twice
	r.wantMembers(g.ID, ids...)
	add(g.ID)
	remove()
	r.wantMembers(g.ID, ids...)
	remove(ids[1], ids[3])
	r.wantMembers(g.ID, ids[0], ids[2], ids[4])
	remove(ids[1], ids[3])         // none of them is in
	remove(ids[1], ids[4], ids[4]) // one is in
	r.wantMembers(g.ID, ids[0], ids[2])
	remove(ids[0], ids[2])
	r.wantMembers(g.ID)
	r.wantMembers(other.ID, ids...)
}

func (r *run) wantMembers(group string, want ...string) {
	got := r.members(group)
	slices.Sort(got)
	want = slices.Clone(want)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.errorf("the members are %v, want %v", got, want)
	}
}

func memberBatch(r *run) {
	g := r.group(1)
	batch := r.Limits.MemberBatch
	var ids []string
	for n := range batch + 1 {
		ids = append(ids, r.account(n).ID)
	}
	r.tap.Take()
	r.want(r.GroupWriter.AddMembers(r.ctx, g.ID, ids), "AddMembers of more than a batch", connectors.KindInvalid)
	r.want(r.GroupWriter.RemoveMembers(r.ctx, g.ID, ids), "RemoveMembers of more than a batch", connectors.KindInvalid)
	if sent := r.tap.Take(); len(sent) != 0 {
		r.errorf("%d requests were sent for batches that are too large", len(sent))
	}
	r.must(r.GroupWriter.AddMembers(r.ctx, g.ID, ids[:batch]), "AddMembers of a whole batch")
	r.must(r.GroupWriter.AddMembers(r.ctx, g.ID, ids[batch:]), "AddMembers of one more")
	r.wantMembers(g.ID, ids...) // longer than a page of any product
	r.must(r.GroupWriter.RemoveMembers(r.ctx, g.ID, ids[1:]), "RemoveMembers of a whole batch")
	r.wantMembers(g.ID, ids[0])
}

// listing goes over more than one page of every product.
func listing(r *run) {
	const n = 120
	want := map[string]bool{}
	var ids []string
	for i := range n {
		a := r.account(i)
		want[a.ID] = true
		ids = append(ids, a.ID)
	}
	if r.h.ListNeedsGroup {
		g := r.group(1)
		for chunk := range slices.Chunk(ids, r.Limits.MemberBatch) {
			r.must(r.GroupWriter.AddMembers(r.ctx, g.ID, chunk), "AddMembers")
		}
	}
	r.settle()
	seen := map[string]int{}
	r.must(r.Accounts.ListAccounts(r.ctx, func(page []connectors.Account) error {
		for _, a := range page {
			seen[a.ID]++
			if want[a.ID] && (a.Email == "" || !a.Active) {
				r.errorf("listed as %+v", a)
			}
		}
		return nil
	}), "ListAccounts")
	for id := range want {
		if seen[id] != 1 {
			r.fatalf("an account is listed %d times of %d accounts seen", seen[id], len(seen))
		}
	}
	for i := range 60 {
		r.group(i + 10)
	}
	r.settle()
	names := map[string]int{}
	r.must(r.Groups.ListGroups(r.ctx, func(page []connectors.Group) error {
		for _, g := range page {
			names[g.Name]++
		}
		return nil
	}), "ListGroups")
	for i := range 60 {
		if names[groupName(i+10)] != 1 {
			r.errorf("group %d is listed %d times", i, names[groupName(i+10)])
		}
	}
	stop := fmt.Errorf("stop")
	calls := 0
	if err := r.Accounts.ListAccounts(r.ctx, func([]connectors.Account) error { calls++; return stop }); err != stop || calls != 1 { //nolint:errorlint // it must be the caller's own error
		r.errorf("a caller that stops the list gets %v after %d pages", err, calls)
	}
}
