package directory

import (
	"cmp"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// What a transfer does to a person, decided without a database: Activate carries it out, PeopleAt foresees it.

// standing is a person with the posts beside the main one.
type standing struct {
	person identity.Person
	posts  []identity.Post
}

// effect is what a transfer does.
type effect struct {
	after identity.Person
	add   []identity.Post // without ids
	end   []identity.Post // with Until as it is now
}

// effectOf gives what t does to the person, or why it can't. later are the person's transfers of later dates that have taken effect
// already; to is the organization t.To.
func effectOf(t identity.Transfer, s standing, later []identity.Transfer, to identity.Organization) (effect, identity.TransferReason) {
	e := effect{after: s.person}
	switch {
	case !s.person.Active():
		return e, identity.ReasonEnded
	case t.Crosses() && t.AcceptedAt == 0:
		return e, identity.ReasonNotAccepted
	case t.Kind == identity.TransferRelease:
		return release(t, s, e)
	case s.person.Org != t.From:
		if len(later) > 0 {
			return e, identity.ReasonOvertaken
		}
		return e, identity.ReasonElsewhere
	case t.Kind == identity.TransferLeave:
		if len(later) > 0 {
			return e, identity.ReasonOvertaken
		}
		e.after.EndedAt = t.At
		return e, ""
	case !to.Exists(t.At):
		return e, identity.ReasonOrganization
	case rank(to.Kind, &identity.Person{Role: t.Role}) != nil:
		return e, identity.ReasonRank
	case t.Kind == identity.TransferConcurrent:
		e.add = append(e.add, identity.Post{
			Person: t.Person, Kind: identity.PostConcurrent, Org: t.To, Section: t.Section, Title: t.Title, Duties: t.Duties,
			Role: cmp.Or(t.Role, policies.RoleGeneral), From: t.At,
		})
		return e, ""
	case t.Crosses():
		return cross(t, s, e, later, to)
	}
	stay(&e.after, t, later)
	e.handover(t, s.person)
	return e, ""
}

// stay changes the post inside the organization: what is empty stays, and so does what a later transfer has set already.
func stay(p *identity.Person, t identity.Transfer, later []identity.Transfer) {
	was := p.Email
	set := func(field *string, of func(identity.Transfer) string) {
		if v := of(t); v != "" && !slices.ContainsFunc(later, func(l identity.Transfer) bool { return of(l) != "" }) {
			*field = v
		}
	}
	set(&p.StaffNumber, func(t identity.Transfer) string { return t.StaffNumber })
	set(&p.Section, func(t identity.Transfer) string { return t.Section })
	set(&p.Title, func(t identity.Transfer) string { return t.Title })
	set(&p.Duties, func(t identity.Transfer) string { return t.Duties })
	set(&p.Phone, func(t identity.Transfer) string { return t.Phone })
	set(&p.Extension, func(t identity.Transfer) string { return t.Extension })
	set(&p.Fax, func(t identity.Transfer) string { return t.Fax })
	set(&p.Email, func(t identity.Transfer) string { return t.Email })
	if emailKey(p.Email) != emailKey(was) {
		p.Mailbox = "" // it was where the former address led
	}
	role := string(p.Role)
	set(&role, func(t identity.Transfer) string { return string(t.Role) })
	p.Role = policies.Role(role)
}

// cross takes the person to another organization.
func cross(t identity.Transfer, s standing, e effect, later []identity.Transfer, to identity.Organization) (effect, identity.TransferReason) {
	if len(later) > 0 {
		return e, identity.ReasonOvertaken
	}
	p := &e.after
	p.Org, p.StaffNumber, p.Section, p.Title, p.Duties = t.To, t.StaffNumber, t.Section, t.Title, t.Duties
	p.Phone, p.Extension, p.Fax = t.Phone, t.Extension, t.Fax
	p.Email = cmp.Or(t.Email, p.Email)
	if t.Email != "" {
		p.Mailbox = "" // an alias of the former organization's mailbox leads nowhere here
	}
	p.Role = cmp.Or(t.Role, policies.RoleGeneral)
	home := slices.IndexFunc(s.posts, func(o identity.Post) bool { return o.Kind == identity.PostHome && o.Org == t.To && o.Until == 0 })
	switch t.Kind {
	case identity.TransferSecond:
		e.add = append(e.add, formerPost(s.person, identity.PostHome, t.At, 0))
	case identity.TransferReturn:
		if home < 0 {
			return e, identity.ReasonNoPost
		}
	}
	if home >= 0 {
		// Whoever comes home gets back what they had, and holds that post no more beside the main one.
		o := s.posts[home]
		p.StaffNumber, p.Section, p.Title, p.Duties = cmp.Or(t.StaffNumber, o.StaffNumber), cmp.Or(t.Section, o.Section), cmp.Or(t.Title, o.Title), cmp.Or(t.Duties, o.Duties)
		p.Phone, p.Extension, p.Fax = cmp.Or(t.Phone, o.Phone), cmp.Or(t.Extension, o.Extension), cmp.Or(t.Fax, o.Fax)
		p.Email, p.Role = cmp.Or(t.Email, o.Email, p.Email), cmp.Or(t.Role, o.Role)
		e.end = append(e.end, o)
	}
	if rank(to.Kind, p) != nil {
		return e, identity.ReasonRank
	}
	if p.StaffNumber == "" {
		return e, identity.ReasonNotAccepted
	}
	if t.Kind == identity.TransferMove {
		// Who moves for good gives up every post that was to be returned to.
		for _, o := range s.posts {
			if o.Kind == identity.PostHome && o.Until == 0 && o.Org != t.To {
				e.end = append(e.end, o)
			}
		}
	}
	e.handover(t, s.person)
	return e, ""
}

func (e *effect) handover(t identity.Transfer, before identity.Person) {
	if t.HandoverUntil > t.At {
		e.add = append(e.add, formerPost(before, identity.PostHandover, t.At, t.HandoverUntil))
	}
}

// formerPost is the main post that a person leaves, as a post beside the new one.
func formerPost(p identity.Person, kind identity.PostKind, from, until int64) identity.Post {
	return identity.Post{
		Person: p.ID, Kind: kind, Org: p.Org, Section: p.Section, Title: p.Title, Duties: p.Duties, Role: p.Role, From: from, Until: until,
		StaffNumber: p.StaffNumber, Phone: p.Phone, Extension: p.Extension, Fax: p.Fax, Email: p.Email,
	}
}

// release ends the one concurrent post that t means.
func release(t identity.Transfer, s standing, e effect) (effect, identity.TransferReason) {
	var found []identity.Post
	for _, o := range s.posts {
		if o.Kind == identity.PostConcurrent && o.Org == t.To && o.From <= t.At && (o.Until == 0 || o.Until > t.At) &&
			(t.Section == "" || o.Section == t.Section) && (t.Title == "" || o.Title == t.Title) {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		return e, identity.ReasonNoPost
	}
	e.end = found
	return e, ""
}

// key is what at most one person may have at a time.
type key struct {
	org    policies.OrgID // empty: an e-mail address
	number string         // staff number, or e-mail address as it is compared
}

// keysOf are the keys that a person holds: the staff number for ever, the address while in service.
func keysOf(p identity.Person) []key {
	k := []key{{p.Org, p.StaffNumber}}
	if p.Active() {
		k = append(k, key{"", emailKey(p.Email)})
	}
	return k
}

func (k key) reason() identity.TransferReason {
	if k.org == "" {
		return identity.ReasonEmail
	}
	return identity.ReasonStaffNumber
}

// candidate is a transfer that could take effect now but for the keys it wants.
type candidate struct {
	t      recorded
	before identity.Person
	later  []identity.Transfer
	effect effect
	wants  []key // that the person doesn't hold yet
	frees  []key
	reason identity.TransferReason // why it can't
	rival  policies.PersonID       // who holds what it wants, if somebody does
}

func newCandidate(t recorded, s standing, e effect) *candidate {
	c := &candidate{t: t, before: s.person, effect: e}
	have, get := keysOf(s.person), keysOf(e.after)
	for _, k := range get {
		if !slices.Contains(have, k) {
			c.wants = append(c.wants, k)
		}
	}
	for _, k := range have {
		if !slices.Contains(get, k) {
			c.frees = append(c.frees, k)
		}
	}
	return c
}

// settleKeys finds out which candidates can take effect together: nobody gets a key that somebody keeps, and of two who want the same
// one who was recorded first gets it. What one gives up another may take, in chains and in circles. The others get a reason.
func settleKeys(list []*candidate, holders map[key]policies.PersonID) {
	moving := make(map[policies.PersonID]*candidate, len(list))
	for _, c := range list {
		if c.reason == "" {
			moving[c.t.Person] = c
		}
	}
	drop := func(c *candidate, k key, rival policies.PersonID) {
		c.reason, c.rival = k.reason(), rival
		delete(moving, c.t.Person)
	}
	for again := true; again; {
		again = false
		for _, c := range list {
			for _, k := range c.wants {
				holder, held := holders[k]
				if c.reason != "" || !held || holder == c.t.Person {
					continue
				}
				if m := moving[holder]; m == nil || !slices.Contains(m.frees, k) {
					drop(c, k, holder)
					again = true
				}
			}
		}
		if again {
			continue
		}
		first := map[key]*candidate{}
		for _, c := range list { // in the order of recording
			for _, k := range c.wants {
				if c.reason != "" {
					break
				}
				if f := first[k]; f != nil && f != c {
					drop(c, k, f.t.Person)
					again = true // one at a time: what this one keeps may change who else can move
					break
				}
				first[k] = c
			}
			if again {
				break
			}
		}
	}
}
