package rollover_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

const (
	hour = int64(time.Hour / time.Microsecond)
	day  = 24 * hour
	now  = 1_790_000_000_000_000
)

// question is about one provider, "a", in the networks given.
func question(intake sp.Intake, networks ...policies.Network) rollover.Question {
	return rollover.Question{
		Purpose: "saml", Active: keys.Key{ID: "active"}, Next: keys.Key{ID: "next", CreatedAt: now - 20*day}, Ahead: 14 * 24 * time.Hour, At: now,
		Counterparties: []rollover.Counterparty{{ID: "a", Intake: intake, Networks: networks}},
	}
}

func TestReadiness(t *testing.T) {
	const internet, lgwan = policies.NetworkInternet, policies.NetworkLGWAN
	saw := func(key string, kind rollover.Kind, n policies.Network, first, last int64) rollover.Evidence {
		return rollover.Evidence{Party: "a", Network: n, Key: key, Kind: kind, FirstAt: now - first, LastAt: now - last}
	}
	type evidence = []rollover.Evidence
	for name, c := range map[string]struct {
		intake   sp.Intake
		evidence evidence
		sw       *rollover.Switch
		state    rollover.State
		reason   rollover.Reason
	}{
		"nothing is known of what it takes": {"", nil, nil, rollover.Late, rollover.ReasonOneHeld},
		"a fetch by one that holds one":     {sp.IntakeCertificate, evidence{saw("next", rollover.Fetched, internet, day, hour)}, nil, rollover.Late, rollover.ReasonOneHeld},
		"a fetch by one that holds two":     {sp.IntakeCertificates, evidence{saw("next", rollover.Fetched, internet, day, hour)}, nil, rollover.Late, rollover.ReasonByHand},
		"never fetched":                     {sp.IntakeMetadata, nil, nil, rollover.Unknown, rollover.ReasonNeverBefore},
		"fetched without the next key":      {sp.IntakeMetadata, evidence{saw("active", rollover.Fetched, internet, day, hour)}, nil, rollover.Late, rollover.ReasonOlder},
		"fetched a moment ago":              {sp.IntakeMetadata, evidence{saw("next", rollover.Fetched, internet, 6*hour-1, 0)}, nil, rollover.Late, rollover.ReasonSettling},
		"fetched six hours ago":             {sp.IntakeMetadata, evidence{saw("next", rollover.Fetched, internet, 6*hour, 0)}, nil, rollover.Ready, rollover.ReasonFetched},
		"its copy is seven days old":        {sp.IntakeMetadata, evidence{saw("next", rollover.Fetched, internet, 7*day, 7*day)}, nil, rollover.Ready, rollover.ReasonFetched},
		"its copy has expired":              {sp.IntakeMetadata, evidence{saw("next", rollover.Fetched, internet, 8*day, 7*day+1)}, nil, rollover.Late, rollover.ReasonStale},
		"its newest copy is without it": {
			sp.IntakeMetadata,
			evidence{saw("next", rollover.Fetched, internet, day, hour), saw("active", rollover.Fetched, internet, day, 0)},
			nil, rollover.Late, rollover.ReasonOlder,
		},
		"an administrator's word":     {sp.IntakeCertificates, evidence{saw("next", rollover.Told, "", day, day)}, nil, rollover.Ready, rollover.ReasonTold},
		"a word of another key":       {sp.IntakeCertificates, evidence{saw("active", rollover.Told, "", day, day)}, nil, rollover.Late, rollover.ReasonByHand},
		"a logout by the next key":    {"", evidence{saw("next", rollover.Logout, internet, day, day)}, nil, rollover.Ready, rollover.ReasonAccepted},
		"a logout by the active key":  {"", evidence{saw("active", rollover.Logout, internet, day, day)}, nil, rollover.Late, rollover.ReasonOneHeld},
		"somebody came in":            {"", evidence{saw("next", rollover.CameIn, internet, day, day)}, nil, rollover.Ready, rollover.ReasonAccepted},
		"of another network":          {"", evidence{saw("next", rollover.CameIn, lgwan, day, day)}, nil, rollover.Late, rollover.ReasonOneHeld},
		"switched":                    {"", nil, &rollover.Switch{Party: "a", Key: "next", At: now}, rollover.Ready, rollover.ReasonSwitched},
		"switched to a key long gone": {"", nil, &rollover.Switch{Party: "a", Key: "active", At: now}, rollover.Late, rollover.ReasonOneHeld},
		"held back":                   {sp.IntakeMetadata, evidence{saw("next", rollover.Fetched, internet, 9*hour, 0)}, &rollover.Switch{Party: "a", Key: "next", Held: true, At: now - hour}, rollover.Late, rollover.ReasonHeld},
		"held back after a word":      {"", evidence{saw("next", rollover.Told, "", day, day)}, &rollover.Switch{Party: "a", Key: "next", Held: true, At: now - hour}, rollover.Late, rollover.ReasonHeld},
		"a word after it was held":    {"", evidence{saw("next", rollover.CameIn, "", 1, 1)}, &rollover.Switch{Party: "a", Key: "next", Held: true, At: now - hour}, rollover.Ready, rollover.ReasonAccepted},
		"another provider's evidence": {"", evidence{{Party: "b", Key: "next", Kind: rollover.CameIn, FirstAt: now, LastAt: now}}, nil, rollover.Late, rollover.ReasonOneHeld},
	} {
		q := question(c.intake, internet)
		q.Evidence = c.evidence
		if c.sw != nil {
			q.Switches = []rollover.Switch{*c.sw}
		}
		if s := q.Report().Standings[0]; s.State != c.state || s.Reason != c.reason || s.Reason.Text().JA == "" || s.Reason.Text().EN == "" {
			t.Errorf("%s: %s %s, want %s %s", name, s.State, s.Reason, c.state, c.reason)
		}
	}
	// In two networks the worse counts, and is named.
	q := question(sp.IntakeMetadata, internet, lgwan)
	q.Evidence = evidence{saw("next", rollover.Fetched, internet, day, hour)}
	if s := q.Report().Standings[0]; s.State != rollover.Unknown || s.Network != lgwan {
		t.Errorf("in two networks: %+v", s)
	}
	q.Evidence = append(q.Evidence, saw("next", rollover.Fetched, lgwan, day, hour))
	if s := q.Report().Standings[0]; s.State != rollover.Ready || s.Network != "" || s.Fetched.Key != "next" || s.Fetched.At != now-hour {
		t.Errorf("in both networks: %+v", s)
	}
}

// TestSeen: the last fetch and the last thing that was taken are told, of whatever key.
func TestSeen(t *testing.T) {
	q := question(sp.IntakeMetadata, policies.NetworkInternet)
	q.Evidence = []rollover.Evidence{
		{Party: "a", Key: "old", Kind: rollover.Logout, LastAt: now - 9*day},
		{Party: "a", Key: "active", Kind: rollover.CameIn, LastAt: now - 2*day, Note: "u1"},
		{Party: "a", Key: "next", Kind: rollover.Told, LastAt: now},
		{Party: "a", Key: "next", Kind: rollover.Fetched, LastAt: now - day, Note: "curl"},
		{Party: "a", Key: "active", Kind: rollover.Fetched, LastAt: now - day, Note: "curl"},
		{Party: "a", Key: "old", Kind: rollover.Fetched, LastAt: now - day, Note: "curl"},
	}
	s := q.Report().Standings[0]
	want := rollover.Seen{Key: "active", Kind: rollover.CameIn, At: now - 2*day, Note: "u1"}
	if diff := cmp.Diff(want, s.Accepted); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if s.Fetched.Key != "next" || s.Fetched.Note != "curl" || s.Signs != "active" {
		t.Errorf("%+v", s)
	}
}

// TestReportOrder: late ones first; and an OpenID party is ready by itself.
func TestReportOrder(t *testing.T) {
	q := question("", policies.NetworkInternet)
	q.Next.CreatedAt = now - 14*day + 1
	q.Counterparties = append(q.Counterparties,
		rollover.Counterparty{ID: "c", OpenID: true}, rollover.Counterparty{ID: "d", Intake: sp.IntakeMetadata, Networks: q.Counterparties[0].Networks, Owner: "011002"},
		rollover.Counterparty{ID: "0", Intake: sp.IntakeCertificate, Networks: q.Counterparties[0].Networks, Owner: "131016"})
	r := q.Report()
	var got []policies.RelyingPartyID
	for _, s := range r.Standings {
		got = append(got, s.ID)
	}
	if diff := cmp.Diff([]policies.RelyingPartyID{"0", "a", "d", "c"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.Waiting()) != 3 || !r.Early() || r.From != now+1 {
		t.Errorf("%d wait; early %v, from %d", len(r.Waiting()), r.Early(), r.From)
	}
	var owners []policies.OrgID
	for _, o := range rollover.ByOwner(r.Waiting()) {
		owners = append(owners, o.Org)
	}
	if diff := cmp.Diff([]policies.OrgID{"011002", "131016", ""}, owners); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	q.At++
	if q.Report().Early() {
		t.Error("too early after fourteen days")
	}
}

// TestNeverReadyForNothing: without evidence of the next key, in any order of whatever else is known, no provider of SAML is ready.
func TestNeverReadyForNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := question(rapid.SampledFrom([]sp.Intake{"", sp.IntakeMetadata, sp.IntakeCertificate, sp.IntakeCertificates}).Draw(t, "intake"), policies.Networks()[:rapid.IntRange(0, 3).Draw(t, "networks")]...)
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			e := rollover.Evidence{
				Party:   rapid.SampledFrom([]policies.RelyingPartyID{"a", "b"}).Draw(t, "party"),
				Network: rapid.SampledFrom(append(policies.Networks(), "")).Draw(t, "network"),
				Key:     rapid.SampledFrom([]string{"active", "old", "next"}).Draw(t, "key"),
				Kind:    rapid.SampledFrom([]rollover.Kind{rollover.Fetched, rollover.Told, rollover.CameIn, rollover.Logout}).Draw(t, "kind"),
				LastAt:  now - rapid.Int64Range(0, 30*day).Draw(t, "last"),
			}
			e.FirstAt = e.LastAt - rapid.Int64Range(0, 30*day).Draw(t, "first")
			if e.Party == "a" && e.Key == "next" {
				e.Key = "active"
			}
			q.Evidence = append(q.Evidence, e)
		}
		if s := q.Report().Standings[0]; s.State == rollover.Ready {
			t.Fatalf("ready of nothing: %+v", s)
		}
	})
}
