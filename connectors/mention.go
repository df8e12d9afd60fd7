package connectors

import "context"

// MentionGroup is a named set of accounts that a message can call by one word: a Slack user group.
type MentionGroup struct {
	ID       string // the vendor's id
	Handle   string // the word, without '@'
	Name     string
	Disabled bool
}

// MentionGroupReader finds mention groups and their members.
type MentionGroupReader interface {
	// FindMentionGroup looks a group up by its handle, disabled ones too. KindNotFound where there is none.
	FindMentionGroup(ctx context.Context, handle string) (MentionGroup, error)
	// MentionMembers gives the ids of all members.
	MentionMembers(ctx context.Context, groupID string) ([]string, error)
}

// MentionGroupWriter makes mention groups and changes their members.
//
// Products replace the whole list of members at once, and refuse the whole list for one bad account. Both methods therefore hold
// the group's lock from reading to writing, leave out the accounts that the vendor refuses, and give those back.
type MentionGroupWriter interface {
	// CreateMentionGroup makes the group. KindConflict: the handle or the name is taken.
	CreateMentionGroup(ctx context.Context, want MentionGroup) (MentionGroup, error)
	// ReplaceMentionMembers makes the members exactly accountIDs. It is idempotent. KindInvalid: nobody would be left, which a
	// product without empty groups can't have.
	ReplaceMentionMembers(ctx context.Context, groupID string, accountIDs []string) ([]Refused, error)
	// ChangeMentionMembers adds and removes members and leaves the others as they are.
	ChangeMentionMembers(ctx context.Context, groupID string, add, remove []string) ([]Refused, error)
}

// Locker serializes work on one named thing across all nodes.
type Locker interface {
	// Lock waits until name is free, at most until ctx ends, and takes it. release gives it back.
	Lock(ctx context.Context, name string) (release func(), err error)
}
