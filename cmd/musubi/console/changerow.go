package console

import (
	"context"
	"errors"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// namer writes objects with the names of people and organizations: those that the plan itself gives, else those that the viewer may see.
type namer struct {
	orgs   orgNames
	people persons
	inPlan map[policies.PersonID]string
}

func newNamer(c *Console, v viewer, plan provision.Plan) *namer {
	n := &namer{
		orgs:   orgNames{console: c, scope: v.orgs},
		people: persons{console: c, scope: v.people, known: map[policies.PersonID]who{}},
		inPlan: map[policies.PersonID]string{},
	}
	for _, o := range plan.Objects {
		if name := nameIn(o); name != "" {
			n.inPlan[o.Person] = name
		}
	}
	return n
}

func nameIn(o provision.Object) string {
	switch {
	case o.After != nil && o.After.DisplayName != "":
		return o.After.DisplayName
	case o.Before != nil:
		return o.Before.DisplayName
	}
	return ""
}

func (n *namer) org(ctx context.Context, id policies.OrgID) (orgRef, error) {
	o, err := n.orgs.find(ctx, id)
	if err != nil || o == nil {
		return orgRef{id, string(id)}, err
	}
	return orgRef{id, o.Name}, nil
}

func (n *namer) person(ctx context.Context, id policies.PersonID) (who, error) {
	if name := n.inPlan[id]; name != "" {
		return who{ID: id, Name: name}, nil
	}
	w, err := n.people.find(ctx, id)
	if errors.Is(err, identity.ErrRefused) {
		return who{ID: id}, nil
	}
	return w, err
}

func (n *namer) rows(ctx context.Context, objects []provision.Object) ([]changeRow, error) {
	var out []changeRow
	for _, o := range objects {
		row := changeRow{
			Product: productLabel(o.Product), What: actionBadge(o), Policies: o.Policies, Leaver: o.Leaver, Count: len(o.Members), Seat: seatLabel(o.Seat),
			Lost: o.Kind == provision.ObjectAccount && o.Action == provision.ActionDisable,
		}
		if o.Kind == provision.ObjectAccount {
			w, err := n.person(ctx, o.Person)
			if err != nil {
				return nil, err
			}
			row.Person, row.Fields = w, fieldsOf(o)
		}
		for i, m := range o.Members {
			if i == namedMembers {
				row.Rest = len(o.Members) - i
				break
			}
			w, err := n.person(ctx, m)
			if err != nil {
				return nil, err
			}
			if w.Name == "" {
				w.Name = string(w.ID)
			}
			row.People = append(row.People, w.Name)
		}
		if o.Kind == provision.ObjectGroup {
			row.Fields = []fieldChange{{label: label{"名称", "Name"}, After: o.Name}}
		}
		out = append(out, row)
	}
	return out, nil
}

// fieldsOf tells what an account was and will be: all of a new one, of another what differs.
func fieldsOf(o provision.Object) []fieldChange {
	var before, after provision.Attributes
	if o.Before != nil {
		before = *o.Before
	}
	if o.After != nil {
		after = *o.After
	}
	var out []fieldChange
	add := func(l label, b, a string) {
		if b != a {
			out = append(out, fieldChange{l, b, a})
		}
	}
	state := func(known, active bool) string {
		switch {
		case !known:
			return ""
		case active:
			return "利用中"
		}
		return "停止"
	}
	if o.Before != nil { // of a new account the name stands beside, and that it is new
		add(label{"状態", "State"}, state(true, before.Active), state(o.After != nil, after.Active))
		add(label{"表示名", "Name"}, before.DisplayName, after.DisplayName)
		add(label{"姓", "Family name"}, before.FamilyName, after.FamilyName)
		add(label{"名", "Given name"}, before.GivenName, after.GivenName)
	}
	add(label{"メール", "E-mail"}, before.Email, after.Email)
	add(label{"利用者名", "User name"}, before.UserName, after.UserName)
	add(label{"組織", "Organization"}, before.Organization, after.Organization)
	add(label{"言語", "Language"}, before.Language, after.Language)
	add(label{"時間帯", "Time zone"}, before.TimeZone, after.TimeZone)
	if o.Action == provision.ActionUpdate && len(out) == 0 {
		out = append(out, fieldChange{label: label{"所属の組織", "Organization"}, After: "変更"})
	}
	return out
}

// actionBadge says what happens to an object.
func actionBadge(o provision.Object) badge {
	switch {
	case o.Kind == provision.ObjectGroup:
		return badge{label{"グループ作成", "new group"}, ""}
	case o.Kind == provision.ObjectMembers && o.Action == provision.ActionRemove:
		return badge{label{"所属の解除", "leaves the group"}, "error"}
	case o.Kind == provision.ObjectMembers:
		return badge{label{"所属の追加", "joins the group"}, "success"}
	case o.Action == provision.ActionCreate:
		return badge{label{"アカウント作成", "new account"}, "success"}
	case o.Action == provision.ActionEnable:
		return badge{label{"アカウント再開", "enabled again"}, "success"}
	case o.Action == provision.ActionDisable:
		return badge{label{"アカウント停止", "disabled"}, "error"}
	case o.Action == provision.ActionUpdate:
		return badge{label{"アカウント変更", "changed"}, "info"}
	}
	return badge{label{string(o.Action), ""}, ""}
}
