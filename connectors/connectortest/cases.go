package connectortest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/musubi-hub/musubi/connectors"
)

func cases() []testCase {
	return slices.Concat(
		accountCases(), casesOf("message", messageCases()), casesOf("channel", channelCases()), casesOf("mention", mentionCases()),
		casesOf("guest", guestCases()), casesOf("event", eventCases()), casesOf("credential", credentialCases()),
		casesOf("work", workCases()), casesOf("mail", mailCases()),
	)
}

func casesOf(section string, list []testCase) []testCase {
	for i := range list {
		list[i].section = section
	}
	return list
}

func accountCases() []testCase {
	return []testCase{
		{name: "description", run: description},
		{name: "create and find", run: createAndFind},
		{name: "conflict", run: conflict},
		{name: "update", run: update},
		{name: "disable", run: disable},
		{name: "restore", run: restore},
		{name: "lost answer of a create", run: lostCreate},
		{name: "failed create", run: failedCreate},
		{name: "lost answers of repeatable calls", run: lostRepeatable},
		{name: "throttled by the vendor", run: throttled},
		{name: "throttled by our quota", run: throttledByUs},
		{name: "wrong token", run: wrongToken},
		{name: "echoed token", run: echoedToken},
		{name: "login page", run: loginPage},
		{name: "not found page", run: notFoundPage},
		{name: "fifty megabytes", run: fiftyMegabytes},
		{name: "redirect", run: redirect},
		{name: "canceled", run: canceled},
		{name: "deadline", run: deadline},
		{name: "groups", run: groups},
		{name: "lost answer of a group", run: lostGroup},
		{name: "members", run: members},
		{name: "member batch", run: memberBatch},
		{name: "listing", run: listing},
		{name: "at once", run: atOnce},
	}
}

func description(r *run) {
	l := r.Limits
	if r.Name == "" || r.Vendor == "" || r.Product == "" || r.LGWAN == "" || r.DataRegion == "" || r.ISMAP == "" {
		r.errorf("the description has gaps: %+v", r.Description)
	}
	if len(l.Budgets) == 0 || r.GroupWriter != nil && l.MemberBatch < 1 {
		r.errorf("the limits have gaps: %+v", l)
	}
	for _, b := range l.Budgets {
		if b.Class == "" || b.Rate <= 0 || b.Burst < 1 {
			r.errorf("a budget that gives nothing: %+v", b)
		}
	}
	r.account(1)
	_, err := r.find(1)
	r.must(err, "FindAccount")
	for class := range r.quota.taken {
		if !slices.ContainsFunc(l.Budgets, func(b connectors.Budget) bool { return b.Class == class }) {
			r.errorf("quota class %q is reserved but not declared", class)
		}
	}
	if len(r.quota.taken) == 0 {
		r.errorf("requests were sent without a reservation")
	}
}

func createAndFind(r *run) {
	_, err := r.find(1)
	r.want(err, "FindAccount before there is one", connectors.KindNotFound)
	made, other := r.account(1), r.account(2)
	r.settle()
	got, err := r.find(1)
	r.must(err, "FindAccount")
	want := r.h.Account(1)
	if got.ID != made.ID || got.Email != want.Email || got.DisplayName != want.DisplayName || !got.Active {
		r.errorf("found %+v, made %+v as %+v", got, made, want)
	}
	if got.Key != "" && got.Key != want.Key {
		r.errorf("the key came back as %q, want %q", got.Key, want.Key)
	}
	if made.ID == other.ID {
		r.errorf("two accounts have the id %q", made.ID)
	}
	_, err = r.find(3)
	r.want(err, "FindAccount of one that isn't there", connectors.KindNotFound)
}

func conflict(r *run) {
	made := r.account(1)
	_, err := r.AccountWriter.CreateAccount(r.ctx, r.h.Account(1))
	r.want(err, "CreateAccount of an account that exists", connectors.KindConflict)
	r.settle()
	got, err := r.find(1)
	r.must(err, "FindAccount")
	if got.ID != made.ID {
		r.errorf("the account was made twice: %q and %q", made.ID, got.ID)
	}
}

func update(r *run) {
	a, b := r.account(1), r.account(2)
	want := r.h.Account(1)
	want.ID = a.ID
	same, err := r.AccountWriter.UpdateAccount(r.ctx, want)
	r.must(err, "UpdateAccount without a change")
	if same.ID != a.ID || !same.Active || same.DisplayName != want.DisplayName {
		r.errorf("an update without a change gives %+v", same)
	}
	if r.h.Change == nil {
		want.DisplayName += " changed"
		_, err := r.AccountWriter.UpdateAccount(r.ctx, want)
		r.want(err, "UpdateAccount that the product can't carry out", connectors.KindInvalid)
	} else {
		want = r.h.Change(want)
		for range 2 {
			_, err := r.AccountWriter.UpdateAccount(r.ctx, want)
			r.must(err, "UpdateAccount")
		}
		r.settle()
		got, err := r.find(1)
		r.must(err, "FindAccount")
		if got.ID != a.ID || got.DisplayName != want.DisplayName || !got.Active {
			r.errorf("after the update: %+v, want %+v", got, want)
		}
	}
	other, err := r.find(2)
	r.must(err, "FindAccount of the other")
	if other.ID != b.ID || other.DisplayName != r.h.Account(2).DisplayName {
		r.errorf("the other account changed: %+v", other)
	}
	want.ID = r.h.MissingID
	_, err = r.AccountWriter.UpdateAccount(r.ctx, want)
	r.want(err, "UpdateAccount of one that isn't there", connectors.KindNotFound)
}

func disable(r *run) {
	a := r.account(1)
	r.account(2)
	for range 2 {
		r.must(r.AccountWriter.DisableAccount(r.ctx, a.ID), "DisableAccount")
	}
	r.settle()
	got, err := r.find(1)
	switch {
	case err != nil:
		r.want(err, "FindAccount of a disabled account", connectors.KindNotFound)
	case got.Active:
		r.errorf("the account is still active: %+v", got)
	}
	other, err := r.find(2)
	r.must(err, "FindAccount of the other")
	if !other.Active {
		r.errorf("the other account was disabled too")
	}
	r.must(r.AccountWriter.DisableAccount(r.ctx, r.h.MissingID), "DisableAccount of an account that is gone")
}

func restore(r *run) {
	a := r.account(1)
	r.must(r.AccountWriter.DisableAccount(r.ctx, a.ID), "DisableAccount")
	want := r.h.Account(1)
	want.ID = a.ID
	_, err := r.AccountWriter.UpdateAccount(r.ctx, want)
	if !r.h.Restores {
		r.want(err, "UpdateAccount that would restore", connectors.KindInvalid, connectors.KindNotFound)
		return
	}
	r.must(err, "UpdateAccount of a disabled account")
	r.settle()
	got, err := r.find(1)
	r.must(err, "FindAccount")
	if !got.Active || got.ID != a.ID {
		r.errorf("not restored: %+v", got)
	}
}

func atOnce(r *run) {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = r.AccountWriter.CreateAccount(r.ctx, r.h.Account(i))
			if errs[i] == nil {
				_, errs[i] = r.GroupWriter.CreateGroup(r.ctx, connectors.Group{Name: groupName(i % 2)})
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		r.saw(err)
		if err != nil && connectors.KindOf(err) != connectors.KindConflict {
			r.errorf("call %d of 8 at once: %v", i, err)
		}
	}
	names := map[string]int{}
	r.must(r.Groups.ListGroups(r.ctx, func(page []connectors.Group) error {
		for _, g := range page {
			names[g.Name]++
		}
		return nil
	}), "ListGroups")
	if len(names) != 2 || names[groupName(0)] != 1 || names[groupName(1)] != 1 {
		r.errorf("groups made at once: %v", names)
	}
}

func groupName(n int) string { return fmt.Sprintf("適合試験 %03d \"<&> group", n) }
