package connectortest

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

func hasEvents(o connectors.Opened) bool { return o.EventReader != nil }
func hasGuests(o connectors.Opened) bool {
	return o.Guests != nil && o.AccountWriter != nil && o.Accounts != nil
}
func hasCredentials(o connectors.Opened) bool { return o.CredentialChecker != nil }

func eventCases() []testCase {
	return []testCase{
		{name: "delivery", run: delivery, needs: hasEvents},
		{name: "forged delivery", run: forgedDelivery, needs: hasEvents},
		{name: "replayed delivery", run: replayedDelivery, needs: hasEvents},
		{name: "delivery that can't be read", run: unreadableDelivery, needs: hasEvents},
	}
}

func guestCases() []testCase {
	return []testCase{{name: "guest", run: guest, needs: hasGuests}}
}

func credentialCases() []testCase {
	return []testCase{{name: "credentials", run: credentials, needs: hasCredentials}}
}

func delivery(r *run) {
	now := time.Now()
	first, retry := r.h.Deliver(now)
	got, err := r.EventReader.ReadEvent(now, first)
	r.must(err, "ReadEvent")
	if got.Key == "" || len(got.Events) == 0 || got.Reply.Status < 200 || got.Reply.Status > 299 {
		r.errorf("a genuine delivery gives %+v", got)
	}
	again, err := r.EventReader.ReadEvent(now.Add(time.Second), retry)
	r.must(err, "ReadEvent of a repetition")
	if again.Key != got.Key {
		r.errorf("the repetition has the key %q, the first %q", again.Key, got.Key)
	}
	if again.Attempt <= got.Attempt {
		r.errorf("the repetition is attempt %d after %d", again.Attempt, got.Attempt)
	}
}

// rejected checks that a delivery is refused, and that nothing in the refusal helps a forger.
func (r *run) rejected(what string, now time.Time, d connectors.Delivery, kinds ...connectors.Kind) {
	got, err := r.EventReader.ReadEvent(now, d)
	r.want(err, what, kinds...)
	if got.Key != "" || len(got.Events) != 0 || got.Reply.Status >= 200 && got.Reply.Status <= 299 {
		r.errorf("%s: refused, yet %+v", what, got)
	}
}

func forgedDelivery(r *run) {
	now := time.Now()
	genuine, _ := r.h.Deliver(now)
	alter := func(change func(*connectors.Delivery)) connectors.Delivery {
		d := connectors.Delivery{Header: genuine.Header.Clone(), Body: bytes.Clone(genuine.Body)}
		change(&d)
		return d
	}
	r.rejected("a delivery whose body was changed", now, alter(func(d *connectors.Delivery) { d.Body[len(d.Body)/2] ^= 1 }), connectors.KindAuth)
	r.rejected("a delivery with something behind it", now, alter(func(d *connectors.Delivery) { d.Body = append(d.Body, ' ') }), connectors.KindAuth)
	for name := range genuine.Header {
		if !strings.Contains(strings.ToLower(name), "signature") {
			continue
		}
		r.rejected("a delivery without "+name, now, alter(func(d *connectors.Delivery) { d.Header.Del(name) }), connectors.KindAuth)
		r.rejected("a delivery with an empty "+name, now, alter(func(d *connectors.Delivery) { d.Header.Set(name, "") }), connectors.KindAuth)
		r.rejected("a delivery with another "+name, now, alter(func(d *connectors.Delivery) {
			b := []byte(d.Header.Get(name))
			if b[len(b)-1]++; b[len(b)-1] > '9' {
				b[len(b)-1] = '0'
			}
			d.Header.Set(name, string(b))
		}), connectors.KindAuth)
		r.rejected("a delivery with half of "+name, now, alter(func(d *connectors.Delivery) { v := d.Header.Get(name); d.Header.Set(name, v[:len(v)/2]) }), connectors.KindAuth)
	}
}

func replayedDelivery(r *run) {
	now, age := time.Now(), cmp.Or(r.h.MaxAge, 5*time.Minute)
	d, _ := r.h.Deliver(now)
	got, err := r.EventReader.ReadEvent(now.Add(age-time.Minute), d)
	r.must(err, "ReadEvent of a delivery that took its time")
	r.rejected("a delivery that is too old", now.Add(age+time.Minute), d, connectors.KindAuth)
	r.rejected("a delivery of the future", now.Add(-6*time.Minute), d, connectors.KindAuth)
	if age > connectors.MaxDeliveryAge {
		r.errorf("deliveries of %v are believed, and what is stored of them is kept for %v", age, connectors.MaxDeliveryAge)
	}
	// Whoever has seen a delivery has its signature. With other headers it is refused, or known to be the same.
	for name := range d.Header {
		again := connectors.Delivery{Header: d.Header.Clone(), Body: d.Body}
		again.Header.Set(name, "1"+d.Header.Get(name))
		other, err := r.EventReader.ReadEvent(now, again)
		r.saw(err)
		if err == nil && other.Key != got.Key && (other.Signed == "" || other.Signed != got.Signed) {
			r.errorf("with another %s the same delivery counts as a new one: %+v", name, other)
		}
	}
	next, _ := r.h.Deliver(now.Add(time.Second))
	other, err := r.EventReader.ReadEvent(now.Add(time.Second), next)
	r.must(err, "ReadEvent of the next delivery")
	if got.Signed != "" && other.Signed == got.Signed {
		r.errorf("two deliveries that differ have the same Signed")
	}
}

func unreadableDelivery(r *run) {
	now := time.Now()
	d, _ := r.h.Deliver(now)
	for name, body := range map[string]string{
		"an empty one":       ``,
		"no JSON":            `{"type"`,
		"a list":             `[]`,
		"null":               `null`,
		"an empty object":    `{}`,
		"bad UTF-8":          "{\"type\":\"\xff\"}",
		"very deep":          strings.Repeat(`{"event":`, 20_000) + `1` + strings.Repeat(`}`, 20_000),
		"a type of no known": `{"type":"nothing of ours"}`,
	} {
		r.rejected(name, now, r.h.Forge(now, d, []byte(body)), connectors.KindInvalid)
	}
	r.rejected("a huge one", now, r.h.Forge(now, d, bytes.Repeat([]byte(" "), cmp.Or(r.h.TooLong, 2<<20))), connectors.KindTooLarge)
}

func guest(r *run) {
	expires := time.Now().Add(30 * 24 * time.Hour).UTC().Truncate(time.Second)
	made, err := r.Guests.CreateGuest(r.ctx, r.h.Account(1), expires)
	r.must(err, "CreateGuest")
	full := r.account(2)
	r.settle()
	found, err := r.find(1)
	r.must(err, "FindAccount of a guest")
	if found.ID != made.ID || !found.Active {
		r.errorf("found %+v, made %+v", found, made)
	}
	check := func(id string, want connectors.Guest) {
		got, err := r.Guests.ReadGuest(r.ctx, id)
		r.must(err, "ReadGuest")
		if got.Guest != want.Guest || !got.Expires.Equal(want.Expires) {
			r.errorf("the guest is %+v, want %+v", got, want)
		}
	}
	check(made.ID, connectors.Guest{Guest: true, Expires: expires})
	check(full.ID, connectors.Guest{})
	later := expires.Add(24 * time.Hour)
	for range 2 {
		r.must(r.Guests.SetGuestExpiry(r.ctx, made.ID, later), "SetGuestExpiry")
	}
	check(made.ID, connectors.Guest{Guest: true, Expires: later})
	if r.h.Change != nil { // a change of the name must not make a full member of a guest
		want := r.h.Change(r.h.Account(1))
		want.ID = made.ID
		_, err := r.AccountWriter.UpdateAccount(r.ctx, want)
		r.must(err, "UpdateAccount of a guest")
		check(made.ID, connectors.Guest{Guest: true, Expires: later})
	}
	r.want(r.Guests.SetGuestExpiry(r.ctx, full.ID, later), "SetGuestExpiry of a full member", connectors.KindInvalid)
	check(full.ID, connectors.Guest{})
	r.must(r.Guests.SetGuestExpiry(r.ctx, made.ID, time.Time{}), "SetGuestExpiry to never")
	check(made.ID, connectors.Guest{Guest: true})
	for _, want := range []connectors.Guest{{Guest: true, Expires: later}, {Guest: true}, {}} {
		for _, id := range []string{made.ID, full.ID} {
			for range 2 {
				r.must(r.Guests.SetGuest(r.ctx, id, want), "SetGuest")
			}
			r.settle()
			check(id, want)
		}
	}
	r.want(r.Guests.SetGuest(r.ctx, r.h.MissingID, connectors.Guest{Guest: true}), "SetGuest of one that isn't there", connectors.KindNotFound)
	_, err = r.Guests.ReadGuest(r.ctx, r.h.MissingID)
	r.want(err, "ReadGuest of one that isn't there", connectors.KindNotFound)
}

func credentials(r *run) {
	states, err := r.CredentialChecker.CheckCredentials(r.ctx)
	r.must(err, "CheckCredentials")
	if len(states) == 0 || slices.ContainsFunc(states, func(s connectors.CredentialState) bool {
		return s.Name == "" || !s.Valid || s.Problem != "" || len(s.Missing) > 0
	}) {
		r.errorf("the credentials are good, yet %+v", states)
	}
	r.tap.Put(WrongToken, -1, Any)
	states, err = r.CredentialChecker.CheckCredentials(r.ctx)
	r.must(err, "CheckCredentials with a wrong token, which is a state and no error")
	if len(states) == 0 || slices.ContainsFunc(states, func(s connectors.CredentialState) bool { return s.Valid || s.Problem == "" }) {
		r.errorf("the credentials are wrong, yet %+v", states)
	}
	r.tap.Put(LoginPage, -1, Any)
	_, err = r.CredentialChecker.CheckCredentials(r.ctx)
	r.want(err, "CheckCredentials with a login page", connectors.KindProtocol)
	r.tap.Put(Reset, -1, Any)
	_, err = r.CredentialChecker.CheckCredentials(r.ctx)
	r.want(err, "CheckCredentials without a vendor", connectors.KindUnavailable)
	r.tap.Clear()
}
