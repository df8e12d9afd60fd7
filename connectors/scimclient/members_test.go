package scimclient_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// pedant is a server with one group that refuses to add who is in and to remove who isn't, and that reads a bare path
// "members" on remove as all of them, as RFC 7644 has it.
type pedant struct {
	members map[string]bool
	quiet   bool // answers 204
	drops   bool // reports success but leaves one out
}

func (p *pedant) answer(r *http.Request, body string) (int, string) {
	if r.Method == http.MethodGet {
		return 200, p.group()
	}
	var patch struct {
		Operations []struct {
			Op, Path string
			Value    []struct{ Value string }
		}
	}
	if err := json.Unmarshal([]byte(body), &patch); err != nil {
		return 400, `{"scimType":"invalidSyntax","detail":"` + strings.ReplaceAll(err.Error(), `"`, ``) + `"}`
	}
	next := map[string]bool{}
	for id := range p.members {
		next[id] = true
	}
	for _, op := range patch.Operations {
		switch {
		case op.Op == "add":
			for i, v := range op.Value {
				if next[v.Value] {
					return 409, `{"scimType":"uniqueness","detail":"member exists"}`
				}
				next[v.Value] = !p.drops || i > 0
			}
		case op.Path == "members":
			clear(next)
		default:
			id, ok := strings.CutPrefix(op.Path, `members[value eq "`)
			id = strings.TrimSuffix(id, `"]`)
			if !ok || !next[id] {
				return 400, `{"scimType":"noTarget","detail":"no such member"}`
			}
			if !p.drops {
				delete(next, id)
			}
		}
	}
	p.members = next
	if p.quiet {
		return 204, ""
	}
	return 200, p.group()
}

func (p *pedant) group() string {
	var members []string
	for _, id := range p.ids() {
		members = append(members, `{"value":"`+id+`","display":"x"}`)
	}
	return `{` + groupSchema + `,"id":"g","displayName":"G","members":[` + strings.Join(members, ",") + `]}`
}

func (p *pedant) ids() []string {
	ids := []string{}
	for id, in := range p.members {
		if in {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestMembersOnTheWire(t *testing.T) {
	p := &pedant{members: map[string]bool{"c": true}}
	c, s := open(t, scimclient.Generic(), p.answer)
	if err := c.AddMembers(t.Context(), "g", []string{"a", "b", "a"}); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveMembers(t.Context(), "g", []string{"a", "c"}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`PATCH Groups/g {"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"a"},{"value":"b"}]}]}`,
		`PATCH Groups/g {"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"a\"]"},{"op":"remove","path":"members[value eq \"c\"]"}]}`,
	}
	if diff := cmp.Diff(want, s.sent); diff != "" {
		t.Error(diff)
	}
}

func TestMembersAsASet(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := &pedant{members: map[string]bool{}, quiet: rapid.Bool().Draw(r, "quiet")}
		c, _ := open(t, scimclient.Generic(), p.answer)
		model := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			ids := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", `q"]`}), 0, 6).Draw(r, "ids")
			ids = slices.DeleteFunc(ids, func(id string) bool { return strings.Contains(id, `"`) })
			var err error
			if rapid.Bool().Draw(r, "add") {
				err = c.AddMembers(t.Context(), "g", ids)
				for _, id := range ids {
					model[id] = true
				}
			} else {
				err = c.RemoveMembers(t.Context(), "g", ids)
				for _, id := range ids {
					delete(model, id)
				}
			}
			if err != nil {
				r.Fatal(err)
			}
		}
		want := (&pedant{members: model}).ids()
		got, err := c.Members(t.Context(), "g")
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			r.Fatalf("members %v (%v), want %v", got, err, want)
		}
	})
}

func TestSilentlyDroppedMemberIsNoticed(t *testing.T) {
	p := &pedant{members: map[string]bool{"x": true}, drops: true}
	c, _ := open(t, scimclient.Generic(), p.answer)
	if err := c.AddMembers(t.Context(), "g", []string{"a", "b"}); connectors.KindOf(err) != connectors.KindAmbiguous {
		t.Errorf("add: %v", err)
	}
	if err := c.RemoveMembers(t.Context(), "g", []string{"x"}); connectors.KindOf(err) != connectors.KindAmbiguous {
		t.Errorf("remove: %v", err)
	}
}

func TestRefusalsAreNotExplainedAway(t *testing.T) {
	p := &pedant{members: map[string]bool{}}
	c, s := open(t, scimclient.Generic(), func(r *http.Request, body string) (int, string) {
		if r.Method == http.MethodGet {
			return p.answer(r, body)
		}
		return 400, `{"scimType":"noTarget","detail":"no such group attribute"}`
	})
	if err := c.AddMembers(t.Context(), "g", []string{"a"}); connectors.KindOf(err) != connectors.KindInvalid || len(s.sent) != 1 {
		t.Errorf("%v after %v", err, s.sent)
	}
	conflict, _ := open(t, scimclient.Generic(), func(r *http.Request, body string) (int, string) {
		if r.Method == http.MethodGet {
			return p.answer(r, body)
		}
		return 409, `{"detail":"the group is locked"}`
	})
	if err := conflict.AddMembers(t.Context(), "g", []string{"a"}); connectors.KindOf(err) != connectors.KindConflict {
		t.Errorf("a conflict that isn't about members: %v", err)
	}
}

func TestMemberLimits(t *testing.T) {
	c, s := open(t, scimclient.Generic(), always(204, ""))
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprint(i))
	}
	for name, ids := range map[string][]string{"too many": many, "empty id": {""}, "control character": {"a\n"}} {
		if err := c.AddMembers(t.Context(), "g", ids); connectors.KindOf(err) != connectors.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.RemoveMembers(t.Context(), "g", nil); err != nil {
		t.Errorf("nobody to remove: %v", err)
	}
	if len(s.sent) != 0 {
		t.Errorf("sent %v", s.sent)
	}
}
