package connectortest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// chosen gives the ids that are in, sorted.
func chosen(of map[string]bool) []string {
	var ids []string
	for id, in := range of {
		if in {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// compare says where belief and truth differ.
func (s *chatSequence) compare(truth ChatTruth) error {
	var errs []error
	held := map[string]TrueChannel{}
	for _, c := range truth.Channels {
		held[c.ID] = c
	}
	for k, c := range s.channels {
		got, ok := held[c.id]
		delete(held, c.id)
		if !ok {
			errs = append(errs, fmt.Errorf("channel %d is believed to be %s, and isn't", k, c.id))
			continue
		}
		if slices.Sort(got.Members); !slices.Equal(got.Members, chosen(c.members)) {
			errs = append(errs, fmt.Errorf("channel %d is believed to have %v and has %v", k, chosen(c.members), got.Members))
		}
		errs = append(errs, s.compareMessages(k, c, got.Messages))
	}
	if len(held) > 0 {
		errs = append(errs, fmt.Errorf("channels that nobody asked for: %v", held))
	}
	got, want := truth.Mentions[s.group.id], chosen(s.group.members)
	if slices.Sort(got); !slices.Equal(got, want) {
		errs = append(errs, fmt.Errorf("the mention group is believed to have %v and has %v", want, got))
	}
	return errors.Join(errs...)
}

func (s *chatSequence) compareMessages(k int, c *knownChannel, got []TrueMessage) error {
	var want []TrueMessage
	for m, p := range c.messages {
		if p.sent.ID != "" {
			want = append(want, TrueMessage{ID: p.sent.ID, Thread: p.sent.Thread, Text: s.wanted(k, c, m).Text})
		}
	}
	order := func(a, b TrueMessage) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	if !slices.Equal(got, want) {
		return fmt.Errorf("channel %d is believed to hold %v and holds %v", k, want, got)
	}
	return nil
}
