package work

import (
	"encoding/json"
)

// issue is one version of a work item; it is never changed once stored.
type issue struct {
	ID           int64                      `json:"id"`
	Key          string                     `json:"key"`
	Type         string                     `json:"type"`
	RequestType  string                     `json:"request_type,omitempty"`
	Summary      string                     `json:"summary"`
	Description  json.RawMessage            `json:"description,omitempty"`
	Labels       []string                   `json:"labels,omitempty"`
	Priority     string                     `json:"priority"`
	Reporter     string                     `json:"reporter"`
	Creator      string                     `json:"creator"`
	Assignee     string                     `json:"assignee,omitempty"`
	Participants []string                   `json:"participants,omitempty"`
	Orgs         []int64                    `json:"orgs,omitempty"`
	Watchers     []string                   `json:"watchers,omitempty"`
	Status       string                     `json:"status"`
	Resolved     int64                      `json:"resolved,omitempty"`
	Created      int64                      `json:"created"`
	Updated      int64                      `json:"updated"`
	Props        map[string]json.RawMessage `json:"props,omitempty"`
	StatusLog    []statusAt                 `json:"status_log"`
	History      []history                  `json:"history,omitempty"`
	Response     []cycle                    `json:"response"`
	Resolution   []cycle                    `json:"resolution"`

	comments []*comment
	files    []*file
}

type statusAt struct {
	Status string `json:"status"`
	At     int64  `json:"at"`
}

type history struct {
	ID     int64        `json:"id"`
	Author string       `json:"author"`
	At     int64        `json:"at"`
	Items  []changeItem `json:"items"`
}

// changeItem is one field of a change, as changelogs and webhooks show it.
type changeItem struct {
	Field      string  `json:"field"`
	FieldType  string  `json:"fieldtype"`
	FieldID    string  `json:"fieldId"`
	From       *string `json:"from"`
	FromString *string `json:"fromString"`
	To         *string `json:"to"`
	ToString   *string `json:"toString"`
}

type comment struct {
	ID       int64                      `json:"id"`
	Issue    int64                      `json:"issue"`
	Author   string                     `json:"author"`
	Body     json.RawMessage            `json:"body"`
	Internal bool                       `json:"internal"`
	Created  int64                      `json:"created"`
	Updated  int64                      `json:"updated"`
	Props    map[string]json.RawMessage `json:"props,omitempty"`
}

type file struct {
	ID      int64  `json:"id"`
	Issue   int64  `json:"issue"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Author  string `json:"author"`
	Created int64  `json:"created"`
	Comment int64  `json:"comment,omitempty"` // the comment that it came with
	Hidden  bool   `json:"hidden,omitempty"`  // came with an internal comment, or by the platform
	Content []byte `json:"content"`
}

type tempFile struct {
	ID      string `json:"id"`
	Owner   string `json:"owner"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Created int64  `json:"created"`
	Content []byte `json:"content"`
}

type fileRef struct {
	Issue int64 `json:"issue"`
	ID    int64 `json:"id"`
}
