package connectors

import (
	"errors"
	"fmt"
	"slices"
)

// Opened is a connector with its capabilities resolved. A nil capability is absent in the product; callers must say so to
// people instead of pretending.
type Opened struct {
	Description
	Accounts      AccountReader
	AccountWriter AccountWriter
	Groups        GroupReader
	GroupWriter   GroupWriter
	Sender        Sender
	SentFinder    SentFinder
	MessageEditor MessageEditor
	MessageLinker MessageLinker

	Channels           ChannelReader
	ChannelWriter      ChannelWriter
	ChannelMembers     ChannelMemberWriter
	MentionGroups      MentionGroupReader
	MentionGroupWriter MentionGroupWriter
	Guests             GuestWriter
	EventReader        EventReader
	CredentialChecker  CredentialChecker

	WorkItems    WorkItemReader
	WorkCreator  WorkItemCreator
	Comments     Commenter
	Transitions  Transitioner
	SLAs         SLAReader
	Participants ParticipantWriter
	Attachments  Attacher
	WebhookSetup WebhookRegistrar
}

// Catalog is the explicit map of the connectors that this hub has, made by cmd.
type Catalog struct {
	entries  map[string]Connector
	required Requirement
}

// NewCatalog makes a catalog of cs. Two connectors of one name are an error.
func NewCatalog(cs ...Connector) (*Catalog, error) {
	c := &Catalog{entries: map[string]Connector{}}
	for _, conn := range cs {
		name := conn.Describe().Name
		if name == "" {
			return nil, errors.New("connectors: a connector without a name")
		}
		if _, dup := c.entries[name]; dup {
			return nil, fmt.Errorf("connectors: two connectors are called %q", name)
		}
		c.entries[name] = conn
	}
	return c, nil
}

// Require makes Open refuse every connector whose product doesn't meet r.
func (c *Catalog) Require(r Requirement) { c.required = r }

// Describe gives the fixed facts of the connector called name, also of one that Open refuses.
func (c *Catalog) Describe(name string) (Description, bool) {
	conn, ok := c.entries[name]
	if !ok {
		return Description{}, false
	}
	return conn.Describe(), true
}

// Names lists the connectors, sorted.
func (c *Catalog) Names() []string {
	names := make([]string, 0, len(c.entries))
	for name := range c.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open resolves the capabilities of the connector called name. A product that doesn't meet the requirement is a *RefusedError. This is the one place where a connector's type is asserted.
func (c *Catalog) Open(name string) (Opened, error) {
	conn, ok := c.entries[name]
	if !ok {
		return Opened{}, fmt.Errorf("connectors: no connector is called %q; there are %v", name, c.Names())
	}
	o := Opened{Description: conn.Describe()}
	if unmet := c.required.Unmet(o.Description); len(unmet) > 0 {
		return Opened{}, &RefusedError{Name: name, Unmet: unmet}
	}
	o.Accounts, _ = conn.(AccountReader)
	o.AccountWriter, _ = conn.(AccountWriter)
	o.Groups, _ = conn.(GroupReader)
	o.GroupWriter, _ = conn.(GroupWriter)
	o.Sender, _ = conn.(Sender)
	o.SentFinder, _ = conn.(SentFinder)
	o.MessageEditor, _ = conn.(MessageEditor)
	o.MessageLinker, _ = conn.(MessageLinker)
	o.Channels, _ = conn.(ChannelReader)
	o.ChannelWriter, _ = conn.(ChannelWriter)
	o.ChannelMembers, _ = conn.(ChannelMemberWriter)
	o.MentionGroups, _ = conn.(MentionGroupReader)
	o.MentionGroupWriter, _ = conn.(MentionGroupWriter)
	o.Guests, _ = conn.(GuestWriter)
	o.EventReader, _ = conn.(EventReader)
	o.CredentialChecker, _ = conn.(CredentialChecker)

	o.WorkItems, _ = conn.(WorkItemReader)
	o.WorkCreator, _ = conn.(WorkItemCreator)
	o.Comments, _ = conn.(Commenter)
	o.Transitions, _ = conn.(Transitioner)
	o.SLAs, _ = conn.(SLAReader)
	o.Participants, _ = conn.(ParticipantWriter)
	o.Attachments, _ = conn.(Attacher)
	o.WebhookSetup, _ = conn.(WebhookRegistrar)
	return o, nil
}
