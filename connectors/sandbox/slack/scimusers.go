package slack

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack/scim"
)

// The pages of a SCIM list.
const (
	defaultPage = 10
	maxPage     = 1000
)

type meta struct {
	Created  string `json:"created"`
	Location string `json:"location"`
}

type reference struct {
	Value   string `json:"value"`
	Display string `json:"display"`
}

type scimUser struct {
	Schemas []string `json:"schemas"`
	ID      string   `json:"id"`
	Meta    meta     `json:"meta"`
	scim.User
	Photos []scim.Value `json:"photos,omitempty"`
	Groups []reference  `json:"groups"`
}

func stamp(micro int64) string { return time.UnixMicro(micro).UTC().Format(time.RFC3339) }

func (w *Workspace) renderUser(c *site.Call, u *user) scimUser {
	out := scimUser{
		Schemas: []string{scim.SchemaUser, scim.SchemaEnterprise, scim.SchemaProfile}, ID: u.ID, User: u.Attr, Groups: []reference{},
		Meta:   meta{stamp(u.Created), c.Base + "/" + Name + "/scim/v2/Users/" + u.ID},
		Photos: []scim.Value{{Value: c.Base + "/avatar.svg", Type: "photo"}},
	}
	if u.Attr.Guest != nil {
		out.Schemas = append(out.Schemas, scim.SchemaGuest)
	}
	out.Active = u.Attr.ActiveAt(c.Now)
	if w.opt.HideExternalID {
		out.ExternalID = ""
	}
	for _, id := range w.groupOrder {
		if g := w.groups[id]; g.members.Has(u.ID) {
			out.Groups = append(out.Groups, reference{id, g.Name})
		}
	}
	return out
}

type listOut struct {
	Schemas      []string `json:"schemas"`
	TotalResults int      `json:"totalResults"`
	ItemsPerPage int      `json:"itemsPerPage"`
	StartIndex   int      `json:"startIndex"`
	Resources    []any    `json:"Resources"`
}

// list shows one page of ids. A filter is not looked at: this version of the API has none.
func list(c *site.Call, ids []string, render func(id string) any) (int, any, *scim.Refusal) {
	page := [2]int{1, defaultPage}
	for i, name := range []string{"startIndex", "count"} {
		if s := c.Query().Get(name); s != "" {
			n, err := strconv.ParseInt(s, 10, 32)
			if err != nil {
				return 0, nil, &scim.Refusal{Status: http.StatusBadRequest, Detail: "invalid_" + strings.ToLower(name)}
			}
			page[i] = int(n)
		}
	}
	start, count := max(page[0], 1), min(max(page[1], 0), maxPage)
	out := listOut{Schemas: []string{scim.SchemaList}, TotalResults: len(ids), StartIndex: start, Resources: []any{}}
	for _, id := range window(ids, start-1, count) {
		out.Resources = append(out.Resources, render(id))
	}
	out.ItemsPerPage = len(out.Resources)
	return http.StatusOK, out, nil
}

func (w *Workspace) listUsers(c *site.Call) (int, any, *scim.Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := slices.DeleteFunc(slices.Clone(w.order), func(id string) bool {
		u := w.users[id].At(c.AsOf)
		return u == nil || u.Bot
	})
	return list(c, ids, func(id string) any { return w.renderUser(c, w.users[id].At(c.AsOf)) })
}

// human finds an account that SCIM shows.
func (w *Workspace) human(c *site.Call, id string) *user {
	if u := w.users[id].At(c.AsOf); u != nil && !u.Bot {
		return u
	}
	return nil
}

func (w *Workspace) readUser(c *site.Call) (int, any, *scim.Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.human(c, c.Vars["id"])
	if u == nil {
		return 0, nil, scim.NoSuchUser()
	}
	return http.StatusOK, w.renderUser(c, u), nil
}

func (w *Workspace) createUser(c *site.Call) (int, any, *scim.Refusal) {
	a, no := decodeBody(c.R, scim.DecodeUser)
	if no != nil {
		return 0, nil, no
	}
	if a.Guest != nil && a.Guest.Type != "multi" {
		return 0, nil, &scim.Refusal{Status: http.StatusBadRequest, Detail: "invalid_guest_type"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if no := w.checkUnique("", a); no != nil {
		return 0, nil, no
	}
	u := user{
		ID: w.fresh("U", a.UserName, strings.ToLower(a.Email())), Serial: w.serial + 1, Created: c.Now.UnixMicro(), Modified: c.Now.UnixMicro(), Attr: a,
	}
	if err := w.save(record(changeUser, u)); err != nil {
		return 0, nil, unavailable(err)
	}
	w.announceUser(c.Base, c.Now, "team_join", &u)
	out := w.renderUser(c, &u)
	c.W.Header().Set("Location", out.Meta.Location)
	return http.StatusCreated, out, nil
}

func decodeBody[T any](r *http.Request, decode func([]byte) (T, *scim.Refusal)) (T, *scim.Refusal) {
	raw, no := readBody(r)
	if no != nil {
		var none T
		return none, no
	}
	return decode(raw)
}

// checkUnique refuses a user name that a user (deactivated ones too) or channel has, and an e-mail that another account has.
func (w *Workspace) checkUnique(self string, a scim.User) *scim.Refusal {
	if id, ok := w.byUserName[a.UserName]; ok && id != self {
		return &scim.Refusal{Status: http.StatusConflict, Detail: "username_taken"}
	}
	if _, ok := w.byChannel[a.UserName]; ok {
		return &scim.Refusal{Status: http.StatusConflict, Detail: "username_taken"}
	}
	for _, e := range a.Emails {
		if id, ok := w.byEmail[strings.ToLower(e.Value)]; ok && id != self {
			return &scim.Refusal{Status: http.StatusConflict, Detail: "email_taken"}
		}
	}
	if e := a.Enterprise; e != nil && e.Manager != nil && w.account(e.Manager.ManagerID) == nil {
		return &scim.Refusal{Status: http.StatusBadRequest, Detail: "invalid_manager_id"}
	}
	return nil
}

// unavailable answers a journal that can't be written: nothing was done.
func unavailable(error) *scim.Refusal {
	return &scim.Refusal{Status: http.StatusServiceUnavailable, Detail: "service_unavailable"}
}

func (w *Workspace) replaceUser(c *site.Call) (int, any, *scim.Refusal) {
	a, no := decodeBody(c.R, scim.DecodeUser)
	if no != nil {
		return 0, nil, no
	}
	return w.changeUser(c, func(old scim.User) (scim.User, *scim.Refusal) {
		if a.Guest == nil { // a guest becomes no member by being left out
			a.Guest = old.Guest
		}
		a.ProfileURL = old.ProfileURL
		return a, nil
	})
}

func (w *Workspace) patchUser(c *site.Call) (int, any, *scim.Refusal) {
	ops, no := decodeBody(c.R, scim.DecodePatch)
	if no != nil {
		return 0, nil, no
	}
	return w.changeUser(c, func(old scim.User) (scim.User, *scim.Refusal) { return scim.PatchUser(old, ops) })
}

// changeUser stores what edit makes of an account.
func (w *Workspace) changeUser(c *site.Call, edit func(scim.User) (scim.User, *scim.Refusal)) (int, any, *scim.Refusal) {
	return w.underLock(c, func(id string) (int, any, *scim.Refusal) {
		old := w.account(id)
		switch {
		case old == nil || old.Bot:
			return 0, nil, scim.NoSuchUser()
		case old.Owner:
			return 0, nil, &scim.Refusal{Status: http.StatusForbidden, Detail: "cannot_modify_owner"}
		}
		a, no := edit(old.Attr)
		if no == nil {
			no = w.checkUnique(id, a)
		}
		if no == nil && a.Guest != nil && a.Guest.Type != "multi" && (old.Attr.Guest == nil || old.Attr.Guest.Type != a.Guest.Type) {
			no = &scim.Refusal{Status: http.StatusBadRequest, Detail: "invalid_guest_type"}
		}
		if no != nil {
			return 0, nil, no
		}
		u := *old
		u.Attr, u.Modified = a, c.Now.UnixMicro()
		if err := w.save(record(changeUser, u)); err != nil {
			return 0, nil, unavailable(err)
		}
		w.announceUser(c.Base, c.Now, "user_change", &u)
		return http.StatusOK, w.renderUser(c, &u), nil
	})
}

// deleteUser deactivates: the record stays and can be activated again.
func (w *Workspace) deleteUser(c *site.Call) (int, any, *scim.Refusal) {
	status, _, no := w.changeUser(c, func(old scim.User) (scim.User, *scim.Refusal) {
		old.Active = false
		return old, nil
	})
	if no == nil {
		status = http.StatusNoContent
	}
	return status, nil, no
}
