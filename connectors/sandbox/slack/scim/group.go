package scim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// The vendor's limits of group members.
const (
	MaxBatch     = 15_000 // in one call
	MaxMembers   = 15_000 // in a group of the identity provider
	maxGroupName = 255
)

// Group is a group as a body brings it.
type Group struct {
	DisplayName string
	Members     []string
}

type memberRef struct {
	Value string `json:"value"`
}

// DecodeGroup reads the body of POST and PUT.
func DecodeGroup(raw []byte) (Group, *Refusal) {
	var b struct {
		Schemas     []string    `json:"schemas"`
		DisplayName string      `json:"displayName"`
		Members     []memberRef `json:"members"`
	}
	if no := decode(raw, &b); no != nil {
		return Group{}, no
	}
	if no := checkSchemas(b.Schemas, SchemaGroup); no != nil {
		return Group{}, no
	}
	g := Group{DisplayName: strings.TrimSpace(b.DisplayName), Members: ids(b.Members)}
	return g, g.check()
}

func (g Group) check() *Refusal {
	switch {
	case g.DisplayName == "":
		return bad("missing_display_name")
	case utf8.RuneCountInString(g.DisplayName) > maxGroupName:
		return bad("invalid_display_name")
	case len(g.Members) > MaxBatch:
		return bad("too_many_users")
	}
	return nil
}

func ids(refs []memberRef) []string {
	list := make([]string, 0, len(refs))
	for _, m := range refs {
		list = append(list, m.Value)
	}
	return list
}

// PatchGroup applies the operations to g, whose Members are those there are. All or nothing. known says whether an id is a user's.
func PatchGroup(g Group, ops []Operation, known func(id string) bool) (Group, *Refusal) {
	s := memberSet{order: slices.Clone(g.Members), has: make(map[string]bool, len(g.Members))}
	for _, id := range s.order {
		s.has[id] = true
	}
	brought := 0
	for _, op := range ops {
		fields := map[string]json.RawMessage{op.Path: op.Value}
		if op.Path == "" {
			if fields = nil; json.Unmarshal(op.Value, &fields) != nil || fields == nil {
				return Group{}, bad("invalid_value")
			}
		}
		for path, raw := range fields {
			if op.Path == "" && (strings.EqualFold(path, "schemas") || strings.EqualFold(path, "id")) {
				continue
			}
			n, no := s.patch(&g, op.Op, path, raw, known)
			if no != nil {
				return Group{}, no
			}
			brought += n
		}
	}
	if brought > MaxBatch {
		return Group{}, bad("too_many_users")
	}
	g.Members = slices.DeleteFunc(s.order, func(id string) bool { return !s.has[id] })
	if len(g.Members) > MaxMembers {
		return Group{}, bad("group_member_max_exceeded")
	}
	return g, Group{DisplayName: g.DisplayName}.check()
}

// memberSet is ordered ids, of which only those in has count.
type memberSet struct {
	order []string
	has   map[string]bool
}

// patch applies one operation and says how many members it brought.
func (s *memberSet) patch(g *Group, op, path string, raw json.RawMessage, known func(string) bool) (int, *Refusal) {
	p := ParsePath(path)
	switch {
	case p == nil || p.Schema != "" || p.Sub != "":
		return 0, bad("invalid_path")
	case p.Attr == "displayname" && p.Key == "" && op != "remove":
		return 0, decodeInto(raw, &g.DisplayName)
	case p.Attr == "externalid":
		return 0, nil
	case p.Attr != "members":
		return 0, bad("invalid_path")
	case p.Key != "":
		// The vendor documents the bare identifier; the quoted one of RFC 7644 isn't taken.
		if op != "remove" || p.Key != "value" || p.Quoted {
			return 0, bad("invalid_path")
		}
		delete(s.has, p.Literal)
		return 1, nil
	case op == "remove": // all members, whatever the value says
		clear(s.has)
		return 0, nil
	}
	refs, ok := oneOrMany[memberRef](raw)
	if !ok {
		return 0, bad("invalid_value")
	}
	if op == "replace" {
		clear(s.has)
	}
	place := make(map[string]bool, len(s.order))
	for _, id := range s.order {
		place[id] = true
	}
	for _, m := range refs {
		if !known(m.Value) {
			return 0, refuse(http.StatusNotFound, "no_such_user")
		}
		if s.has[m.Value] = true; !place[m.Value] {
			place[m.Value] = true
			s.order = append(s.order, m.Value)
		}
	}
	return len(refs), nil
}
