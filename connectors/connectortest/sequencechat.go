package connectortest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// ChatWorld is a stand-in with channels, messages and mention groups, empty and without faults.
type ChatWorld struct {
	Connector connectors.Connector
	// Truth gives what the stand-in holds, whatever it told the connector: without channels that it came with, the hub's own account
	// in a channel, and what the product itself says in it.
	Truth func() (ChatTruth, error)
	// Plant puts random faults into the stand-in. silent: it may lose somebody who is added, without saying so.
	Plant func(r *rand.Rand) (silent bool, err error)
	// Heal takes them away.
	Heal func()
}

// ChatTruth is the ground truth: channels, and members' ids by the mention group's id.
type ChatTruth struct {
	Channels []TrueChannel
	Mentions map[string][]string
}

// TrueChannel is a channel as the stand-in holds it.
type TrueChannel struct {
	ID       string
	Members  []string
	Messages []TrueMessage
}

// TrueMessage is a message as the stand-in holds it. Thread is that of Sent.
type TrueMessage struct{ ID, Thread, Text string }

const (
	chatPeople   = 3
	chatChannels = 2
	chatMessages = 3 // in each channel; the first begins a thread
)

// RunChatSequences is RunSequences for what people read: channels are made, messages posted in them and in threads and changed, people
// invited and removed, and a mention group changed, at random, while wire and stand-in fail. What is in doubt is looked for before it
// is made again.
func RunChatSequences(t *testing.T, h Harness, world func(env Env) (ChatWorld, error)) {
	t.Helper()
	runAll(t, sequencesShort/2, startChat(h, world))
}

// RunPlantedChatSequences plants bugs that break the contract of channels and messages only under faults. The sequences must fail on
// each.
func RunPlantedChatSequences(t *testing.T, h Harness, world func(env Env) (ChatWorld, error)) {
	t.Helper()
	for _, b := range chatSequenceBugs() {
		t.Run(b.name, func(t *testing.T) {
			runUntilCaught(t, startChat(h, func(env Env) (ChatWorld, error) {
				w, err := world(env)
				if err != nil {
					return w, err
				}
				whole, ok := w.Connector.(messenger)
				if !ok {
					return w, fmt.Errorf("%T lacks a capability: bugs are planted in connectors that have all", w.Connector)
				}
				s := b.plant(whole)
				s.messenger = whole
				w.Connector = s
				return w, nil
			}))
		})
	}
}

func startChat(h Harness, world func(env Env) (ChatWorld, error)) starter {
	return func(t *testing.T, seed int) (*sequence, func() error) {
		s := &chatSequence{sequence: newSequence(t, h, seed), channels: map[int]*knownChannel{}}
		return s.sequence, func() error { return s.run(world) }
	}
}

// chatSequence is one in progress, with what is believed.
type chatSequence struct {
	*sequence
	people   []string
	group    knownGroup // the mention group
	channels map[int]*knownChannel
}

type knownChannel struct {
	attempted time.Time // before the first attempt to make it
	unsure    bool      // it may be there
	id        string    // empty: it isn't there, or unsure
	members   map[string]bool
	who       bool // the members are in doubt
	messages  [chatMessages]knownMessage
}

type knownMessage struct {
	attempted time.Time
	unsure    bool
	sent      connectors.Sent // zero: it isn't there, or unsure
	revision  int             // of its text, as was last wanted
	stale     bool            // the text is in doubt
}

func (s *chatSequence) run(world func(env Env) (ChatWorld, error)) error {
	w, err := world(s.env())
	if err != nil {
		return err
	}
	return s.play(w.Connector, course{
		prepare: s.prepare,
		plant:   func() (err error) { s.silent, err = w.Plant(s.rand); return err },
		step:    s.step, heal: w.Heal, reconcile: s.reconcile,
		compare: func() error { return against(w.Truth, s.compare) },
	})
}

// prepare makes people and a mention group, before anything fails.
func (s *chatSequence) prepare() error {
	for n := range chatPeople {
		a, err := s.o.AccountWriter.CreateAccount(s.t.Context(), s.h.Account(n))
		if err != nil {
			return err
		}
		s.people = append(s.people, a.ID)
	}
	g, err := s.o.MentionGroupWriter.CreateMentionGroup(s.t.Context(), connectors.MentionGroup{Handle: "toban", Name: "当番"})
	if err != nil {
		return err
	}
	s.group.id = g.ID
	if _, err := s.o.MentionGroupWriter.ReplaceMentionMembers(s.t.Context(), g.ID, s.people[:1]); err != nil {
		return err
	}
	s.group.members = map[string]bool{s.people[0]: true}
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	return nil
}

// step makes one random call.
func (s *chatSequence) step() {
	if s.rand.IntN(4) == 0 {
		s.mention()
		return
	}
	k := s.rand.IntN(chatChannels)
	c := s.channels[k]
	switch {
	case c == nil:
		s.makeChannel(k)
	case c.unsure:
		s.findChannel(k, c) // never blindly again
	case s.rand.IntN(3) == 0:
		s.member(k, c)
	default:
		s.message(k, c, s.rand.IntN(chatMessages))
	}
}

func sequenceChannel(k int) connectors.WantedChannel {
	return connectors.WantedChannel{Name: fmt.Sprintf("連番-%d", k), Key: fmt.Sprintf("seq-%d", k)}
}

func (s *chatSequence) makeChannel(k int) {
	began := time.Now()
	made, err := s.o.ChannelWriter.CreateChannel(s.t.Context(), sequenceChannel(k))
	switch nothing, _ := s.note(err, false, "create channel %d", k); {
	case err == nil:
		s.channels[k] = &knownChannel{id: made.ID, members: map[string]bool{}}
	case !nothing:
		s.channels[k] = &knownChannel{unsure: true, attempted: began}
	}
}

func (s *chatSequence) findChannel(k int, c *knownChannel) {
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	got, err := s.o.Channels.FindChannel(s.t.Context(), sequenceChannel(k), c.attempted)
	s.note(err, true, "find channel %d", k)
	switch {
	case err == nil:
		s.channels[k] = &knownChannel{id: got.ID, members: map[string]bool{}}
	case connectors.KindOf(err) == connectors.KindNotFound:
		delete(s.channels, k)
	}
}

// wanted gives the m-th message of a channel. Those after the first are in its thread, if there is one.
func (s *chatSequence) wanted(k int, c *knownChannel, m int) connectors.Message {
	want := connectors.Message{Key: fmt.Sprintf("seq.%d.%d", k, m), Channel: c.id, Text: fmt.Sprintf("連絡%d-%d 版%d", k, m, c.messages[m].revision)}
	if m > 0 {
		want.Thread = c.messages[0].sent.Thread
	}
	return want
}

func (s *chatSequence) message(k int, c *knownChannel, m int) {
	p := &c.messages[m]
	switch {
	case m > 0 && c.messages[0].sent.ID == "":
		s.message(k, c, 0)
	case p.unsure:
		s.findMessage(k, c, m)
	case p.sent.ID != "":
		p.revision++
		s.edit(k, c, m)
	default:
		began := time.Now()
		sent, err := s.o.Sender.SendMessage(s.t.Context(), s.wanted(k, c, m))
		switch nothing, _ := s.note(err, false, "send %d to channel %d", m, k); {
		case err == nil:
			p.sent = sent
		case !nothing:
			p.unsure, p.attempted = true, began
		}
	}
}

func (s *chatSequence) findMessage(k int, c *knownChannel, m int) {
	p := &c.messages[m]
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	got, err := s.o.SentFinder.FindSent(s.t.Context(), s.wanted(k, c, m), p.attempted)
	s.note(err, true, "find %d in channel %d", m, k)
	switch {
	case err == nil:
		p.sent, p.unsure = got, false
	case connectors.KindOf(err) == connectors.KindNotFound:
		p.unsure = false
	}
}

func (s *chatSequence) edit(k int, c *knownChannel, m int) {
	p := &c.messages[m]
	err := s.o.MessageEditor.UpdateMessage(s.t.Context(), p.sent, s.wanted(k, c, m))
	s.note(err, true, "change %d in channel %d to %d", m, k, p.revision)
	p.stale = err != nil // it is wanted still: the call is repeated
}

func (s *chatSequence) member(k int, c *knownChannel) {
	id := s.people[s.rand.IntN(len(s.people))]
	do, what := s.o.ChannelMembers.InviteToChannel, "invite"
	if c.members[id] {
		do, what = s.o.ChannelMembers.RemoveFromChannel, "remove"
	}
	refused, err := do(s.t.Context(), c.id, []string{id})
	if _, unsure := s.note(err, true, "%s %s in channel %d", what, id, k); unsure || len(refused) > 0 {
		c.who = true
	} else if err == nil {
		c.members[id] = !c.members[id]
		c.who = c.who || s.silent // the vendor says yes and may have lost somebody: only a look tells
	}
}

// mention adds somebody to the mention group or removes somebody, and never the last one.
func (s *chatSequence) mention() {
	id := s.people[s.rand.IntN(len(s.people))]
	in := slices.Sorted(maps.Keys(s.group.members))
	var add, remove []string
	switch {
	case !s.group.members[id]:
		add = []string{id}
	case len(in) > 1:
		remove = []string{id}
	default:
		return
	}
	refused, err := s.o.MentionGroupWriter.ChangeMentionMembers(s.t.Context(), s.group.id, add, remove)
	_, unsure := s.note(err, true, "mention group: add %v, remove %v", add, remove)
	switch {
	case unsure || len(refused) > 0:
		s.group.unsure = true
	case err == nil && add != nil:
		s.group.members[id] = true
		s.group.unsure = s.group.unsure || s.silent
	case err == nil:
		delete(s.group.members, id)
	}
}

// reconcile looks up what is unknown, now that nothing fails.
func (s *chatSequence) reconcile() error {
	s.steps = append(s.steps, "  reconcile")
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	for k, c := range s.channels {
		if c.unsure {
			if s.findChannel(k, c); s.channels[k] != nil && s.channels[k].unsure {
				return fmt.Errorf("channel %d can't be looked up", k)
			}
		}
	}
	for k, c := range s.channels {
		for m := range c.messages {
			p := &c.messages[m]
			if p.unsure {
				if s.findMessage(k, c, m); p.unsure {
					return fmt.Errorf("message %d in channel %d can't be looked up", m, k)
				}
			}
			if p.stale {
				if s.edit(k, c, m); p.stale {
					return fmt.Errorf("message %d in channel %d can't be changed", m, k)
				}
			}
		}
		if c.who {
			var err error
			if c.members, err = s.lookAtMembers(k, c); err != nil {
				return err
			}
		}
	}
	if !s.group.unsure {
		return nil
	}
	ids, err := s.o.MentionGroups.MentionMembers(s.t.Context(), s.group.id)
	s.note(err, true, "members of the mention group")
	s.group.members = set(ids)
	return err
}

// lookAtMembers gives those of people who are in the channel.
func (s *chatSequence) lookAtMembers(k int, c *knownChannel) (map[string]bool, error) {
	members := map[string]bool{}
	err := s.o.Channels.ListChannelMembers(s.t.Context(), c.id, func(page []string) error {
		for _, id := range page {
			members[id] = slices.Contains(s.people, id)
		}
		return nil
	})
	s.note(err, true, "list channel %d", k)
	return members, err
}

func set(ids []string) map[string]bool {
	out := map[string]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out
}
