package slack_test

import (
	"cmp"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/slack"
)

// world is a sandbox for many sequences, and a connector made anew over it for each.
func world(t *testing.T, change func(*sandbox.Options)) (*sandbox.Sandbox, func(connectortest.Env) (connectors.Connector, error)) {
	t.Helper()
	opt := options(time.Now)
	change(&opt)
	box, err := sandbox.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	return box, func(env connectortest.Env) (connectors.Connector, error) {
		if err := box.Reset(); err != nil {
			return nil, err
		}
		cfg := config(env.Wire(box.Transport()))
		cfg.Quota, cfg.Now, cfg.Logger = env.Quota, env.Now, env.Logger
		return slack.New(cfg)
	}
}

// TestBeliefEqualsTruth runs random sequences with faults; 10,000 with MUSUBI_SOAK. What an account is must not hang on externalId.
func TestBeliefEqualsTruth(t *testing.T) {
	t.Parallel()
	box, connect := world(t, func(o *sandbox.Options) { o.Slack.HideExternalID = true })
	world := func(env connectortest.Env) (connectortest.World, error) {
		c, err := connect(env)
		return connectortest.World{
			Connector: c, Heal: box.ClearFaults, Leaves: true,
			Plant: func(r *rand.Rand) (bool, error) { return plant(r, box) },
			Truth: func() (connectortest.Truth, error) { return truth(box) },
		}, err
	}
	connectortest.RunSequences(t, harness(t), world)
	connectortest.RunPlantedSequences(t, harness(t), world)
}

// TestChatBeliefEqualsTruth does the same with channels, messages and a mention group.
func TestChatBeliefEqualsTruth(t *testing.T) {
	t.Parallel()
	box, connect := world(t, func(*sandbox.Options) {})
	world := func(env connectortest.Env) (connectortest.ChatWorld, error) {
		c, err := connect(env)
		return connectortest.ChatWorld{
			Connector: c, Heal: box.ClearFaults,
			Plant: func(r *rand.Rand) (bool, error) { return plant(r, box) },
			Truth: func() (connectortest.ChatTruth, error) { return chatTruth(box) },
		}, err
	}
	connectortest.RunChatSequences(t, harness(t), world)
	connectortest.RunPlantedChatSequences(t, harness(t), world)
}

// plant sets the stand-in's own faults: answers that are lost after the work, reads behind the writes, lost members.
func plant(r *rand.Rand, box *sandbox.Sandbox) (silent bool, err error) {
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
		f.Target, f.Rate, f.Seed = sandbox.Slack, rate(), r.Uint64()
		silent = silent || f.Kind == sandbox.FaultDropMember
		faults = append(faults, f)
	}
	return silent, box.AddFaults(faults...)
}

// truth reads the ground truth, without the organization's owner, who was there before the hub.
func truth(box *sandbox.Sandbox) (connectortest.Truth, error) {
	st, err := box.State(sandbox.Slack)
	if err != nil {
		return connectortest.Truth{}, err
	}
	out := connectortest.Truth{Accounts: map[string]connectortest.TrueAccount{}, Groups: map[string][]string{}}
	for _, a := range st.Accounts {
		if a.Email != "owner@ministry.example" {
			out.Accounts[a.ID] = connectortest.TrueAccount{Email: a.Email, DisplayName: a.DisplayName, Active: a.Active}
		}
	}
	for _, g := range st.Groups {
		out.Groups[g.Name] = g.Members
	}
	return out, nil
}

// chatTruth reads the ground truth, without the workspace's own channels, the application's membership, and messages with a subtype.
func chatTruth(box *sandbox.Sandbox) (connectortest.ChatTruth, error) {
	st, err := box.State(sandbox.Slack)
	if err != nil {
		return connectortest.ChatTruth{}, err
	}
	people := map[string]bool{}
	for _, a := range st.Accounts {
		people[a.ID] = true
	}
	out := connectortest.ChatTruth{Mentions: map[string][]string{}}
	for _, c := range st.Channels {
		if c.Name == "general" {
			continue
		}
		held := connectortest.TrueChannel{ID: c.ID}
		for _, id := range c.Members {
			if people[id] {
				held.Members = append(held.Members, id)
			}
		}
		for _, m := range c.Messages {
			if m.Subtype == "" {
				held.Messages = append(held.Messages, connectortest.TrueMessage{ID: m.TS, Thread: cmp.Or(m.ThreadTS, m.TS), Text: m.Text})
			}
		}
		out.Channels = append(out.Channels, held)
	}
	for _, g := range st.Groups {
		out.Mentions[g.ID] = g.Members
	}
	return out, nil
}
