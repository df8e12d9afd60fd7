package atlassian_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// TestBeliefEqualsTruth runs random sequences with faults; 10,000 with MUSUBI_SOAK.
func TestBeliefEqualsTruth(t *testing.T) {
	box, err := sandbox.New(options(time.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	world := func(env connectortest.Env) (connectortest.World, error) {
		if err := box.Reset(); err != nil {
			return connectortest.World{}, err
		}
		c, err := connect(env, box)
		return connectortest.World{
			Connector: c, Heal: box.ClearFaults,
			Plant: func(r *rand.Rand) (bool, error) { return plant(r, box, sandbox.Atlassian) },
			Truth: func() (connectortest.Truth, error) { return truth(box, sandbox.Atlassian) },
		}, err
	}
	connectortest.RunSequences(t, harness(t), world)
	connectortest.RunPlantedSequences(t, harness(t), world)
}

// plant sets the stand-in's own faults: answers that are lost after the work, reads behind the writes, lost members.
func plant(r *rand.Rand, box *sandbox.Sandbox, target string) (silent bool, err error) {
	rate := func() *float64 { v := 0.02 + 0.2*r.Float64(); return &v }
	var faults []sandbox.Fault
	for _, f := range []sandbox.Fault{
		{Kind: sandbox.FaultSwallow, DelayMS: 1000},
		{Kind: sandbox.FaultStaleRead, DelayMS: 1500},
		{Kind: sandbox.FaultDropMember},
		{Kind: sandbox.FaultStatus, Status: 503},
		{Kind: sandbox.FaultStatus, Status: 429},
		{Kind: sandbox.FaultReset},
		{Kind: sandbox.FaultLatency, DelayMS: 20_000},
	} {
		if r.IntN(3) > 0 {
			continue
		}
		f.Target, f.Rate, f.Seed = target, rate(), r.Uint64()
		silent = silent || f.Kind == sandbox.FaultDropMember
		faults = append(faults, f)
	}
	return silent, box.AddFaults(faults...)
}

// truth reads the ground truth.
func truth(box *sandbox.Sandbox, app string) (connectortest.Truth, error) {
	st, err := box.State(app)
	if err != nil {
		return connectortest.Truth{}, err
	}
	out := connectortest.Truth{Accounts: map[string]connectortest.TrueAccount{}, Groups: map[string][]string{}}
	for _, a := range st.Accounts {
		out.Accounts[a.ID] = connectortest.TrueAccount{Email: a.Email, DisplayName: a.DisplayName, Active: a.Active}
	}
	for _, g := range st.Groups {
		out.Groups[g.Name] = g.Members
	}
	return out, nil
}
