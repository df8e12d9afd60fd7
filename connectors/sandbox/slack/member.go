package slack

import (
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Admit finds the account of somebody whom the identity provider has named. Applications have none.
func (w *Workspace) Admit(issuer, subject, email string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	who, found := site.Subject{Issuer: issuer, ID: subject}, site.Candidate{}
	if id := w.byEmail[strings.ToLower(email)]; id != "" && email != "" && !w.account(id).Bot {
		found = site.Candidate{Account: id, Active: w.usable(id)}
	}
	account, tie, err := w.links.Admit(who, found, w.usable)
	if err == nil && tie {
		err = w.save(record(changeLink, site.Link{Subject: who, Account: account}))
	}
	return account, err
}

// usable says whether an account may log in. The caller holds the lock.
func (w *Workspace) usable(account string) bool {
	u := w.alive(account, w.ground.Now())
	return u != nil && !u.Bot
}

// Active says whether an account may log in now: it isn't deactivated, and a guest's time isn't over.
func (w *Workspace) Active(account string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.usable(account)
}

// Unlink undoes the tie between an account and a subject, as an administrator does when the provider names the person anew. It is false
// where there is none.
func (w *Workspace) Unlink(account string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, tied := w.links.Of(account); !tied {
		return false, nil
	}
	return true, w.save(record(changeLink, site.Link{Account: account, Gone: true}))
}

// Member gives an account as its owner sees it.
func (w *Workspace) Member(account string) (UserRow, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.account(account) == nil {
		return UserRow{}, false
	}
	return w.userRow(account, w.ground.Now()), true
}

// ChannelsOf gives one page of the conversations that a person is in, and how many there are.
func (w *Workspace) ChannelsOf(account string, start, limit int) (rows []ChannelRow, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.usable(account) {
		return nil, 0
	}
	mine := slices.DeleteFunc(slices.Clone(w.chanOrder), func(id string) bool { return !w.channels[id].members.Has(account) })
	for _, id := range window(mine, start, limit) {
		c := w.channels[id]
		r := w.channelRow(c)
		r.Messages = c.count(shownTo(account))
		rows = append(rows, r)
	}
	return rows, len(mine)
}

// shownTo leaves out what only somebody else may read.
func shownTo(account string) func(*message) bool {
	return func(m *message) bool { return m.OnlyTo == "" || m.OnlyTo == account }
}

func (c *channel) count(show func(*message) bool) (n int) {
	for _, m := range c.messages {
		if show(m) {
			n++
		}
	}
	return n
}

// ThreadFor gives one page of a conversation's messages to somebody who is in it; ok is false for anybody else.
func (w *Workspace) ThreadFor(account, channelID string, start, limit int) (row ChannelRow, rows []MessageRow, total int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.channels[channelID]
	if c == nil || !w.usable(account) || !c.members.Has(account) {
		return ChannelRow{}, nil, 0, false
	}
	rows, total = w.thread(c, start, limit, shownTo(account))
	row = w.channelRow(c)
	row.Messages = c.count(shownTo(account))
	return row, rows, total, true
}
