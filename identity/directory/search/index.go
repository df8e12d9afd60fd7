package search

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/fold"
	"github.com/musubi-hub/musubi/policies"
)

// Contact is how a person is reached, as registered.
type Contact struct {
	ID                        policies.PersonID
	Org                       policies.OrgID
	OrgName                   string
	FamilyName, GivenName     string
	FamilyKana, GivenKana     string
	FamilyRomaji, GivenRomaji string
	Section, Title, Duties    string
	Phone, Extension, Fax     string
	Email                     string
	Absent                    bool  // away at the time of the search
	AbsentFrom, AbsentUntil   int64 // UTC, microseconds, as in identity.Person
}

func contactOf(p *identity.Person) Contact {
	return Contact{
		ID: p.ID, Org: p.Org, FamilyName: p.FamilyName, GivenName: p.GivenName, FamilyKana: p.FamilyKana, GivenKana: p.GivenKana,
		FamilyRomaji: p.FamilyRomaji, GivenRomaji: p.GivenRomaji, Section: p.Section, Title: p.Title, Duties: p.Duties,
		Phone: p.Phone, Extension: p.Extension, Fax: p.Fax, Email: p.Email, AbsentFrom: p.AbsentFrom, AbsentUntil: p.AbsentUntil,
	}
}

// fields are what a record keeps, in its order.
func (c *Contact) fields() []*string {
	return []*string{
		(*string)(&c.ID), (*string)(&c.Org), &c.FamilyName, &c.GivenName, &c.FamilyKana, &c.GivenKana, &c.FamilyRomaji, &c.GivenRomaji,
		&c.Section, &c.Title, &c.Duties, &c.Phone, &c.Extension, &c.Fax, &c.Email,
	}
}

// order is where a person stands among those who match equally well: by kana, then name, then id, which makes it unique.
func (c *Contact) order(f *folder) string {
	reading := f.key(c.FamilyKana) + "\x01" + f.key(c.GivenKana)
	if c.FamilyKana == "" {
		reading = f.key(c.FamilyName) + "\x01" + f.key(c.GivenName)
	}
	return reading + "\x01" + c.FamilyName + "\x01" + c.GivenName + "\x01" + string(c.ID)
}

// arena keeps many texts in one piece of memory.
type arena struct {
	bytes  []byte
	starts []uint32
}

func (a *arena) add(s string) {
	if len(a.starts) == 0 {
		a.starts = append(a.starts, 0)
	}
	a.bytes = append(a.bytes, s...)
	a.starts = append(a.starts, uint32(len(a.bytes)))
}

func (a *arena) len() int { return max(0, len(a.starts)-1) }

func (a *arena) at(i int) []byte { return a.bytes[a.starts[i]:a.starts[i+1]] }

// index is a set of people to search, never changed once made. People are numbered in their order.
type index struct {
	records arena    // a person's fields, each ended by NUL, in the order they came
	record  []uint32 // of each person
	orgs    []uint32 // the number of each person's organization
	byID    []uint32 // people by id
	tokens  arena    // sorted: space, then text
	starts  []uint32 // where the people of each token start in people
	people  []uint32 // sorted within a token
}

// builder gathers people for an index.
type builder struct {
	index
	folder *folder
	keys   []string // order of each record
	line   strings.Builder
}

func newBuilder(f *folder) *builder { return &builder{folder: f} }

func (b *builder) add(c Contact) {
	b.line.Reset()
	for _, field := range c.fields() {
		b.line.WriteString(strings.ReplaceAll(*field, "\x00", ""))
		b.line.WriteByte(0)
	}
	b.line.WriteString(strconv.FormatInt(c.AbsentFrom, 36))
	b.line.WriteByte(0)
	b.line.WriteString(strconv.FormatInt(c.AbsentUntil, 36))
	b.records.add(b.line.String())
	b.keys = append(b.keys, c.order(b.folder))
}

// finish makes the index. org numbers an organization.
func (b *builder) finish(org func(policies.OrgID) uint32) *index {
	n := b.records.len()
	x := &index{records: arena{slices.Clip(b.records.bytes), slices.Clip(b.records.starts)}}
	x.record, x.orgs, x.byID = make([]uint32, n), make([]uint32, n), make([]uint32, n)
	for i := range x.record {
		x.record[i] = uint32(i)
	}
	slices.SortFunc(x.record, func(p, q uint32) int { return cmp.Compare(b.keys[p], b.keys[q]) })
	b.keys = nil

	numbers := map[string]uint32{} // of tokens, space in front
	var texts []string
	var pairs []uint64 // token and person
	var buffer []byte
	var seen []uint32 // of each token: the last person who has it, from 1
	for person := range n {
		c := x.contact(person)
		x.orgs[person], x.byID[person] = org(c.Org), uint32(person)
		b.folder.eachToken(&c, func(in space, text string) {
			buffer = append(append(buffer[:0], byte(in)), text...)
			number, ok := numbers[string(buffer)]
			if !ok {
				number = uint32(len(texts))
				texts = append(texts, string(buffer))
				numbers[texts[number]] = number
				seen = append(seen, 0)
			}
			if seen[number] != uint32(person)+1 {
				seen[number] = uint32(person) + 1
				pairs = append(pairs, uint64(number)<<32|uint64(person))
			}
		})
	}
	slices.SortFunc(x.byID, func(p, q uint32) int { return cmp.Compare(x.id(int(p)), x.id(int(q))) })
	slices.Sort(texts)
	place := make([]uint32, len(texts))
	for i, text := range texts {
		x.tokens.add(text)
		place[numbers[text]] = uint32(i)
	}
	x.starts = make([]uint32, len(texts)+1)
	for _, p := range pairs {
		x.starts[place[p>>32]+1]++
	}
	for i := range texts {
		x.starts[i+1] += x.starts[i]
	}
	next := slices.Clone(x.starts)
	x.people = make([]uint32, len(pairs))
	for _, p := range pairs { // people come in their order
		token := place[p>>32]
		x.people[next[token]] = uint32(p)
		next[token]++
	}
	x.tokens = arena{slices.Clip(x.tokens.bytes), slices.Clip(x.tokens.starts)}
	return x
}

func (x *index) len() int { return len(x.record) }

// contact reads a person's record.
func (x *index) contact(person int) Contact {
	var c Contact
	rest := string(x.records.at(int(x.record[person])))
	for _, field := range c.fields() {
		*field, rest, _ = strings.Cut(rest, "\x00")
	}
	from, until, _ := strings.Cut(rest, "\x00")
	c.AbsentFrom, _ = strconv.ParseInt(from, 36, 64) // what add wrote
	c.AbsentUntil, _ = strconv.ParseInt(until, 36, 64)
	return c
}

func (x *index) id(person int) policies.PersonID {
	record := x.records.at(int(x.record[person]))
	return policies.PersonID(record[:slices.Index(record, 0)])
}

// find gives the number of a person.
func (x *index) find(id policies.PersonID) (int, bool) {
	at, found := slices.BinarySearchFunc(x.byID, id, func(p uint32, id policies.PersonID) int { return cmp.Compare(x.id(int(p)), id) })
	if !found {
		return 0, false
	}
	return int(x.byID[at]), true
}

// matching gives the people, some of them more than once, who have a token that begins so.
func (x *index) matching(in space, prefix string) []uint32 {
	from := string(rune(in)) + prefix
	first := x.lower(from)
	last := x.lower(from + "\xff") // no text has this byte
	if first == last {
		return nil
	}
	return x.people[x.starts[first]:x.starts[last]]
}

func (x *index) lower(text string) int {
	from, to := 0, x.tokens.len()
	for from < to {
		if middle := (from + to) / 2; string(x.tokens.at(middle)) < text {
			from = middle + 1
		} else {
			to = middle
		}
	}
	return from
}

// orgs are the organizations by number, never changed once made; a number is good for all that come after.
type orgs struct {
	number map[policies.OrgID]uint32
	list   []org
}

type org struct {
	id           policies.OrgID
	name         string
	words, latin []string
}

func (o *orgs) clone() *orgs {
	c := &orgs{number: make(map[policies.OrgID]uint32, len(o.number)), list: slices.Clone(o.list)}
	for id, n := range o.number {
		c.number[id] = n
	}
	return c
}

// of gives the number of an organization; one that isn't known gets one, without a name.
func (o *orgs) of(id policies.OrgID) uint32 {
	n, ok := o.number[id]
	if !ok {
		n = uint32(len(o.list))
		o.number[id] = n
		o.list = append(o.list, org{id: id})
	}
	return n
}

func (o *orgs) set(v *identity.Organization) {
	entry := org{id: v.ID, name: v.Name}
	for _, key := range []string{fold.Key(v.Name), fold.Key(v.Kana)} {
		if key != "" {
			entry.words = append(append(entry.words, key), slices.Collect(words(key))...)
		}
	}
	if key := fold.Romaji(v.Kana); key != "" {
		entry.latin = append(append(entry.latin, key), slices.Collect(words(key))...)
	}
	o.list[o.of(v.ID)] = entry
}

func (o *org) matches(w *word) bool {
	begins := func(list []string, prefix string) bool {
		return prefix != "" && slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	return begins(o.words, w.org) || begins(o.latin, w.latin)
}
