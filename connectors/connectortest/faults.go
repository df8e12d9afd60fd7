package connectortest

import (
	"context"
	"net/http"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

func lostCreate(r *run) {
	r.tap.Put(LoseAnswer, 1, Write)
	r.tap.Take()
	_, err := r.AccountWriter.CreateAccount(r.ctx, r.h.Account(1))
	r.want(err, "CreateAccount whose answer is lost", connectors.KindAmbiguous)
	if n := writes(r.tap.Take()); n != 1 {
		r.errorf("a create was sent %d times", n)
	}
	r.settle()
	got, err := r.find(1)
	r.must(err, "FindAccount after the lost answer")
	if got.ID == "" || !got.Active {
		r.errorf("found %+v", got)
	}
	_, err = r.AccountWriter.CreateAccount(r.ctx, r.h.Account(1))
	r.want(err, "CreateAccount once more", connectors.KindConflict)
}

func failedCreate(r *run) {
	for _, f := range []struct {
		name  string
		fault Fault
	}{
		{"connection reset", Reset},
		{"500", Answer(http.StatusInternalServerError, "application/json", `{}`)},
		{"502 of a gateway", Answer(http.StatusBadGateway, "text/html", "<html>")},
		{"503", Answer(http.StatusServiceUnavailable, "application/json", `{}`)},
	} {
		r.tap.Put(f.fault, 1, Write)
		r.tap.Take()
		_, err := r.AccountWriter.CreateAccount(r.ctx, r.h.Account(1))
		r.want(err, "CreateAccount with "+f.name, connectors.KindAmbiguous)
		if n := writes(r.tap.Take()); n != 1 {
			r.errorf("%s: a create was sent %d times", f.name, n)
		}
	}
	r.settle()
	_, err := r.find(1)
	r.want(err, "FindAccount after failures", connectors.KindNotFound)
	r.account(1)
}

func lostRepeatable(r *run) {
	a := r.account(1)
	want := r.h.Account(1)
	want.ID = a.ID
	group := r.group(1)
	steps := []struct {
		name string
		do   func() error
	}{
		{"FindAccount", func() error { _, err := r.find(1); return err }},
		{"UpdateAccount", func() error { _, err := r.AccountWriter.UpdateAccount(r.ctx, want); return err }},
		{"AddMembers", func() error { return r.GroupWriter.AddMembers(r.ctx, group.ID, []string{a.ID}) }},
		{"RemoveMembers", func() error { return r.GroupWriter.RemoveMembers(r.ctx, group.ID, []string{a.ID}) }},
		{"DisableAccount", func() error { return r.AccountWriter.DisableAccount(r.ctx, a.ID) }},
	}
	for _, s := range steps {
		r.tap.Put(LoseAnswer, 1, Any)
		r.must(s.do(), s.name+" with one answer lost")
	}
	for _, s := range steps {
		r.tap.Put(Reset, -1, Any)
		r.want(s.do(), s.name+" without a vendor", connectors.KindUnavailable)
	}
	r.tap.Clear()
	if got := r.members(group.ID); len(got) != 0 {
		r.errorf("members left: %v", got)
	}
}

func throttled(r *run) {
	fault := Answer(http.StatusTooManyRequests, "application/json", `{}`, "Retry-After", "30")
	r.each(fault, "429", func(what string, err error) {
		if r.want(err, what, connectors.KindThrottled) && connectors.RetryAfterOf(err) != 30*time.Second {
			r.errorf("%s: retry after %v, want 30s", what, connectors.RetryAfterOf(err))
		}
	})
	r.settle()
	_, err := r.find(1)
	r.want(err, "FindAccount after 429", connectors.KindNotFound)
}

func throttledByUs(r *run) {
	r.quota.refuse = 12 * time.Second
	r.each(nil, "no quota", func(what string, err error) {
		if r.want(err, what, connectors.KindThrottled) && connectors.RetryAfterOf(err) != 12*time.Second {
			r.errorf("%s: retry after %v, want 12s", what, connectors.RetryAfterOf(err))
		}
	})
	if sent := r.tap.Take(); len(sent) != 0 {
		r.errorf("%d requests were sent without quota", len(sent))
	}
}

func wrongToken(r *run) {
	r.each(WrongToken, "a wrong token", func(what string, err error) { r.want(err, what, connectors.KindAuth) })
}

func echoedToken(r *run) {
	r.each(EchoToken, "an echo of the token", func(what string, err error) { r.want(err, what, connectors.KindAuth) })
}

func loginPage(r *run) {
	r.each(LoginPage, "a login page", func(what string, err error) { r.want(err, what, connectors.KindProtocol) })
}

// notFoundPage: a 404 that isn't the vendor's says nothing of the object. A leaver must not be taken as gone.
func notFoundPage(r *run) {
	fault := Answer(http.StatusNotFound, "text/html", "<html>no such host</html>")
	r.each(fault, "a proxy's 404", func(what string, err error) { r.want(err, what, connectors.KindProtocol) })
	fault = Answer(http.StatusNotFound, "application/json", `{"detail":"no such path","errorMessage":"no such path"}`)
	r.tap.Put(fault, -1, Any)
	r.want(r.AccountWriter.DisableAccount(r.ctx, r.h.MissingID), "DisableAccount where everything is 404", connectors.KindProtocol)
}

func fiftyMegabytes(r *run) {
	r.tap.Take()
	r.tap.Put(Huge, -1, Any)
	_, err := r.find(1)
	r.want(err, "FindAccount with 50 MB", connectors.KindTooLarge)
	r.noStorm("FindAccount with 50 MB", err)
	_, err = r.AccountWriter.CreateAccount(r.ctx, r.h.Account(1))
	r.want(err, "CreateAccount with 50 MB", connectors.KindTooLarge)
	r.noStorm("CreateAccount with 50 MB", err)
}

func redirect(r *run) {
	r.tap.Take()
	r.each(Elsewhere, "a redirect to another host", func(what string, err error) {
		r.want(err, what, connectors.KindProtocol)
		for _, s := range r.counted {
			if s.Host == "elsewhere.example" {
				r.errorf("%s was sent to the other host with Authorization %q", s.Method, s.Authorization)
			}
		}
	})
}

func canceled(r *run) {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	r.ctx = ctx
	r.tap.Take()
	r.each(nil, "a canceled context", func(what string, err error) { r.want(err, what, connectors.KindCanceled) })
	if sent := r.tap.Take(); len(sent) != 0 {
		r.errorf("%d requests were sent for a caller that had given up", len(sent))
	}
}

func deadline(r *run) {
	whole := r.ctx
	for _, given := range []time.Duration{time.Second, 10 * time.Minute} { // the caller's, and the connector's own
		ctx, cancel := context.WithTimeout(whole, given)
		r.ctx = ctx
		start := time.Now()
		r.tap.Put(Hang, -1, Any)
		_, err := r.AccountWriter.CreateAccount(ctx, r.h.Account(1))
		r.want(err, "CreateAccount of a vendor that hangs", connectors.KindAmbiguous)
		_, err = r.find(1)
		r.want(err, "FindAccount of a vendor that hangs", connectors.KindUnavailable, connectors.KindCanceled)
		if took := time.Since(start); took > 2*time.Minute {
			r.errorf("a vendor that hangs held the caller for %v", took)
		}
		cancel()
	}
}

// each tries a call of every kind with fault on the wire; nil leaves the wire as it is.
func (r *run) each(fault Fault, what string, check func(what string, err error)) {
	if fault != nil {
		r.tap.Put(fault, -1, Any)
		judge := check
		check = func(what string, err error) {
			r.noStorm(what, err)
			judge(what, err)
		}
		r.tap.Take()
	}
	_, err := r.find(1)
	check("FindAccount with "+what, err)
	_, err = r.AccountWriter.CreateAccount(r.ctx, r.h.Account(1))
	check("CreateAccount with "+what, err)
	want := r.h.Account(1)
	want.ID = r.h.MissingID
	_, err = r.AccountWriter.UpdateAccount(r.ctx, want)
	check("UpdateAccount with "+what, err)
	check("DisableAccount with "+what, r.AccountWriter.DisableAccount(r.ctx, r.h.MissingID))
	check("ListAccounts with "+what, r.Accounts.ListAccounts(r.ctx, func([]connectors.Account) error { return nil }))
	_, err = r.Groups.FindGroup(r.ctx, groupName(1))
	check("FindGroup with "+what, err)
	_, err = r.GroupWriter.CreateGroup(r.ctx, connectors.Group{Name: groupName(1)})
	check("CreateGroup with "+what, err)
	check("AddMembers with "+what, r.GroupWriter.AddMembers(r.ctx, "1", []string{r.h.MissingID}))
	check("RemoveMembers with "+what, r.GroupWriter.RemoveMembers(r.ctx, "1", []string{r.h.MissingID}))
	check("ListMembers with "+what, r.Groups.ListMembers(r.ctx, "1", func([]string) error { return nil }))
	r.tap.Clear()
}

// maxTries is how often one request may be sent in all while it fails in a way that may pass.
const maxTries = 3

// noStorm checks how often a call that failed was sent: once where trying again can't help, a few times where it may.
func (r *run) noStorm(what string, err error) {
	r.counted = r.tap.Take()
	most := maxTries
	if !connectors.KindOf(err).Retriable() {
		most = 1
	}
	if len(r.counted) > most {
		r.errorf("%s: %d requests for one call that fails, want at most %d", what, len(r.counted), most)
	}
}
