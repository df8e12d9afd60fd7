package connectortest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

func hasChannels(o connectors.Opened) bool {
	return o.Channels != nil && o.ChannelWriter != nil && o.ChannelMembers != nil && o.AccountWriter != nil
}

func hasMentions(o connectors.Opened) bool {
	return o.MentionGroups != nil && o.MentionGroupWriter != nil && o.AccountWriter != nil
}

func channelCases() []testCase {
	return []testCase{
		{name: "channel", run: channel, needs: hasChannels},
		{name: "channel name taken", run: takenChannel, needs: hasChannels},
		{name: "lost answer of a channel", run: lostChannel, needs: hasChannels},
		{name: "channel members", run: channelMembers, needs: hasChannels},
		{name: "many invited", run: manyInvited, needs: hasChannels},
	}
}

func mentionCases() []testCase {
	return []testCase{
		{name: "mention group", run: mentionGroup, needs: hasMentions},
		{name: "one bad member", run: badMention, needs: hasMentions},
		{name: "mention group at once", run: mentionsAtOnce, needs: hasMentions},
	}
}

func channel(r *run) {
	start := time.Now()
	_, err := r.Channels.FindChannel(r.ctx, wantedChannel(1), start)
	r.want(err, "FindChannel before there is one", connectors.KindNotFound)
	made, other := r.channel(1), r.channel(2)
	if made.ID == other.ID || strings.ToLower(made.Name) != made.Name {
		r.errorf("made %+v and %+v", made, other)
	}
	r.settle()
	found, err := r.Channels.FindChannel(r.ctx, wantedChannel(1), start)
	r.must(err, "FindChannel")
	if found.ID != made.ID || found.Name != made.Name || found.Topic != wantedChannel(1).Topic || found.Archived {
		r.errorf("found %+v, made %+v", found, made)
	}
	for range 2 {
		r.must(r.ChannelWriter.SetTopic(r.ctx, made.ID, "新しい話題"), "SetTopic")
	}
	found, err = r.Channels.FindChannel(r.ctx, wantedChannel(1), start)
	r.must(err, "FindChannel")
	if found.Topic != "新しい話題" {
		r.errorf("the topic is %q", found.Topic)
	}
	r.want(r.ChannelWriter.SetTopic(r.ctx, made.ID, strings.Repeat("題", 251)), "SetTopic of 251 characters", connectors.KindInvalid)
	for range 2 {
		r.must(r.ChannelWriter.ArchiveChannel(r.ctx, made.ID), "ArchiveChannel")
	}
	_, err = r.Channels.FindChannel(r.ctx, wantedChannel(1), start)
	r.want(err, "FindChannel of an archived one", connectors.KindNotFound)
	_, err = r.Channels.FindChannel(r.ctx, wantedChannel(2), start)
	r.must(err, "FindChannel of the other")
	r.want(r.ChannelWriter.ArchiveChannel(r.ctx, "C0NOWHERE1"), "ArchiveChannel of one that isn't there", connectors.KindNotFound)
}

func takenChannel(r *run) {
	start := time.Now()
	first := r.channel(1)
	r.must(r.ChannelWriter.ArchiveChannel(r.ctx, first.ID), "ArchiveChannel")
	want := wantedChannel(1)
	second, err := r.ChannelWriter.CreateChannel(r.ctx, want)
	r.must(err, "CreateChannel under an archived channel's name")
	if second.ID == first.ID || second.Name == first.Name || !strings.Contains(second.Name, want.Key) {
		r.errorf("made %+v beside %+v", second, first)
	}
	r.settle()
	found, err := r.Channels.FindChannel(r.ctx, want, start)
	r.must(err, "FindChannel under the longer name")
	if found.ID != second.ID {
		r.errorf("found %+v, made %+v", found, second)
	}
	_, err = r.ChannelWriter.CreateChannel(r.ctx, want)
	r.want(err, "CreateChannel where both names are taken", connectors.KindConflict)
	_, err = r.Channels.FindChannel(r.ctx, want, time.Now().Add(time.Hour))
	r.want(err, "FindChannel of one made too early", connectors.KindNotFound)
}

func lostChannel(r *run) {
	start := time.Now()
	r.tap.Put(LoseAnswer, 1, r.h.Makes)
	_, err := r.ChannelWriter.CreateChannel(r.ctx, wantedChannel(1))
	r.want(err, "CreateChannel whose answer is lost", connectors.KindAmbiguous)
	r.settle()
	found, err := r.Channels.FindChannel(r.ctx, wantedChannel(1), start)
	r.must(err, "FindChannel after the lost answer")
	if found.ID == "" {
		r.errorf("found %+v", found)
	}
	r.tap.Put(Reset, 1, r.h.Makes)
	_, err = r.ChannelWriter.CreateChannel(r.ctx, wantedChannel(2))
	r.want(err, "CreateChannel that never arrived", connectors.KindAmbiguous)
	_, err = r.Channels.FindChannel(r.ctx, wantedChannel(2), start)
	r.want(err, "FindChannel of what never arrived", connectors.KindNotFound)
}

// members gives who is in a channel, the hub's own account left out.
func (r *run) channelMembers(id string, own []string) []string {
	var ids []string
	r.must(r.Channels.ListChannelMembers(r.ctx, id, func(page []string) error { ids = append(ids, page...); return nil }), "ListChannelMembers")
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(own, id) })
	slices.Sort(ids)
	return ids
}

func (r *run) wantIn(channel string, own []string, want ...string) {
	got, want := r.channelMembers(channel, own), slices.Clone(want)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.errorf("the channel's members are %v, want %v", got, want)
	}
}

func channelMembers(r *run) {
	c, other := r.channel(1), r.channel(2)
	own := r.channelMembers(c.ID, nil)
	var ids []string
	for n := range 4 {
		ids = append(ids, r.account(n).ID)
	}
	invite := func(channel string, ids ...string) []connectors.Refused {
		refused, err := r.ChannelMembers.InviteToChannel(r.ctx, channel, ids)
		r.must(err, "InviteToChannel")
		return refused
	}
	if refused := invite(other.ID, ids...); len(refused) != 0 {
		r.errorf("refused: %v", refused)
	}
	invite(c.ID, ids[0])
	if refused := invite(c.ID, ids[0], ids[1], ids[1]); len(refused) != 0 { // one is in, one is named twice
		r.errorf("refused: %v", refused)
	}
	if refused := invite(c.ID, ids[0]); len(refused) != 0 { // the only one is in
		r.errorf("refused: %v", refused)
	}
	r.wantIn(c.ID, own, ids[0], ids[1])
	refused := invite(c.ID, ids[2], r.h.MissingID, "no id", ids[3])
	slices.SortFunc(refused, func(a, b connectors.Refused) int { return strings.Compare(a.AccountID, b.AccountID) })
	if len(refused) != 2 || refused[0].AccountID != r.h.MissingID || refused[0].Reason == "" || refused[1].AccountID != "no id" {
		r.errorf("refused: %+v, want %s and the one that is no id", refused, r.h.MissingID)
	}
	r.wantIn(c.ID, own, ids...)
	left, err := r.ChannelMembers.RemoveFromChannel(r.ctx, c.ID, []string{ids[1], ids[3]})
	r.must(err, "RemoveFromChannel")
	again, err := r.ChannelMembers.RemoveFromChannel(r.ctx, c.ID, []string{ids[1]}) // isn't in any more
	r.must(err, "RemoveFromChannel of one who isn't in")
	if len(left)+len(again) != 0 {
		r.errorf("refused: %v %v", left, again)
	}
	r.wantIn(c.ID, own, ids[0], ids[2])
	r.wantIn(other.ID, own, ids...)
	_, err = r.ChannelMembers.InviteToChannel(r.ctx, "C0NOWHERE1", ids)
	r.want(err, "InviteToChannel of a channel that isn't there", connectors.KindNotFound)
	r.tap.Put(LoseAnswer, 1, Any)
	_, err = r.ChannelMembers.InviteToChannel(r.ctx, c.ID, ids)
	r.must(err, "InviteToChannel with one answer lost")
	r.wantIn(c.ID, own, ids...)
}

func manyInvited(r *run) {
	c := r.channel(1)
	own := r.channelMembers(c.ID, nil)
	var ids []string
	for n := range 130 {
		ids = append(ids, r.account(n).ID)
	}
	disabled := ids[57]
	r.must(r.AccountWriter.DisableAccount(r.ctx, disabled), "DisableAccount")
	refused, err := r.ChannelMembers.InviteToChannel(r.ctx, c.ID, ids)
	r.must(err, "InviteToChannel of 130")
	if len(refused) != 1 || refused[0].AccountID != disabled {
		r.errorf("refused: %+v, want the disabled account alone", refused)
	}
	r.wantIn(c.ID, own, slices.DeleteFunc(ids, func(id string) bool { return id == disabled })...)
}

// mention makes the sample mention group.
func (r *run) mention() connectors.MentionGroup {
	g, err := r.MentionGroupWriter.CreateMentionGroup(r.ctx, connectors.MentionGroup{Handle: "conformance", Name: "適合試験"})
	r.must(err, "CreateMentionGroup")
	if g.ID == "" || g.Handle != "conformance" {
		r.fatalf("CreateMentionGroup gives %+v", g)
	}
	return g
}

func (r *run) wantMentioned(group string, want ...string) {
	got, err := r.MentionGroups.MentionMembers(r.ctx, group)
	r.must(err, "MentionMembers")
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.errorf("the mention group's members are %v, want %v", got, want)
	}
}

func (r *run) accounts(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = r.account(i).ID
	}
	return ids
}

func mentionGroup(r *run) {
	_, err := r.MentionGroups.FindMentionGroup(r.ctx, "conformance")
	r.want(err, "FindMentionGroup before there is one", connectors.KindNotFound)
	g, ids := r.mention(), r.accounts(5)
	found, err := r.MentionGroups.FindMentionGroup(r.ctx, "conformance")
	r.must(err, "FindMentionGroup")
	if found.ID != g.ID || found.Name != g.Name {
		r.errorf("found %+v, made %+v", found, g)
	}
	_, err = r.MentionGroupWriter.CreateMentionGroup(r.ctx, connectors.MentionGroup{Handle: "conformance", Name: "適合試験"})
	r.want(err, "CreateMentionGroup of one that exists", connectors.KindConflict)
	replace := func(ids ...string) {
		refused, err := r.MentionGroupWriter.ReplaceMentionMembers(r.ctx, g.ID, ids)
		r.must(err, "ReplaceMentionMembers")
		if len(refused) != 0 {
			r.errorf("refused: %v", refused)
		}
		r.wantMentioned(g.ID, ids...)
	}
	replace(ids[0], ids[1])
	replace(ids[0], ids[1])
	replace(ids[2], ids[1], ids[3])
	refused, err := r.MentionGroupWriter.ChangeMentionMembers(r.ctx, g.ID, []string{ids[4], ids[1]}, []string{ids[2], ids[0]})
	r.must(err, "ChangeMentionMembers")
	if len(refused) != 0 {
		r.errorf("refused: %v", refused)
	}
	r.wantMentioned(g.ID, ids[1], ids[3], ids[4])
	_, err = r.MentionGroupWriter.ReplaceMentionMembers(r.ctx, g.ID, nil)
	r.want(err, "ReplaceMentionMembers by nobody", connectors.KindInvalid)
	_, err = r.MentionGroupWriter.ChangeMentionMembers(r.ctx, g.ID, nil, []string{ids[1], ids[3], ids[4]})
	r.want(err, "ChangeMentionMembers that would leave nobody", connectors.KindInvalid)
	r.wantMentioned(g.ID, ids[1], ids[3], ids[4])
	r.tap.Put(LoseAnswer, 2, Any)
	_, err = r.MentionGroupWriter.ChangeMentionMembers(r.ctx, g.ID, []string{ids[0]}, nil)
	r.must(err, "ChangeMentionMembers with answers lost")
	r.wantMentioned(g.ID, ids[0], ids[1], ids[3], ids[4])
	_, err = r.MentionGroupWriter.ChangeMentionMembers(r.ctx, "S0NOWHERE1", ids, nil)
	r.want(err, "ChangeMentionMembers of a group that isn't there", connectors.KindNotFound)
}

// badMention: a vendor refuses the whole list for one bad account. The others must not be lost.
func badMention(r *run) {
	g, ids := r.mention(), r.accounts(40)
	check := func(what string, refused []connectors.Refused, err error, bad ...string) {
		r.must(err, what)
		var got []string
		for _, b := range refused {
			got = append(got, b.AccountID)
			if b.Reason == "" {
				r.errorf("%s: %s was refused without a reason", what, b.AccountID)
			}
		}
		slices.Sort(got)
		slices.Sort(bad)
		if !slices.Equal(got, bad) {
			r.errorf("%s: refused %v, want %v", what, got, bad)
		}
	}
	refused, err := r.MentionGroupWriter.ReplaceMentionMembers(r.ctx, g.ID, []string{ids[0], r.h.MissingID, ids[1]})
	check("ReplaceMentionMembers with one bad", refused, err, r.h.MissingID)
	r.wantMentioned(g.ID, ids[0], ids[1])
	r.must(r.AccountWriter.DisableAccount(r.ctx, ids[3]), "DisableAccount")
	refused, err = r.MentionGroupWriter.ChangeMentionMembers(r.ctx, g.ID, []string{ids[2], ids[3]}, nil)
	check("ChangeMentionMembers with a disabled account", refused, err, ids[3])
	r.wantMentioned(g.ID, ids[0], ids[1], ids[2])
	all := slices.Concat(ids, []string{r.h.MissingID, "no id"})
	refused, err = r.MentionGroupWriter.ReplaceMentionMembers(r.ctx, g.ID, all)
	check("ReplaceMentionMembers with three bad among many", refused, err, ids[3], r.h.MissingID, "no id")
	r.wantMentioned(g.ID, slices.DeleteFunc(ids, func(id string) bool { return id == ids[3] })...)
	_, err = r.MentionGroupWriter.ReplaceMentionMembers(r.ctx, g.ID, []string{r.h.MissingID})
	r.want(err, "ReplaceMentionMembers by bad ones alone", connectors.KindInvalid)
}

func mentionsAtOnce(r *run) {
	g, ids := r.mention(), r.accounts(8)
	_, err := r.MentionGroupWriter.ReplaceMentionMembers(r.ctx, g.ID, ids[:1])
	r.must(err, "ReplaceMentionMembers")
	var wg sync.WaitGroup
	errs := make([]error, len(ids))
	for i := range ids {
		wg.Go(func() { _, errs[i] = r.MentionGroupWriter.ChangeMentionMembers(r.ctx, g.ID, ids[i:i+1], nil) })
	}
	wg.Wait()
	for _, err := range errs {
		r.must(err, "ChangeMentionMembers at once")
	}
	r.wantMentioned(g.ID, ids...)
}
