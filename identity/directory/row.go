package directory

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"sort"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

// Subject is what a file or a feed row is about.
type Subject string

// The subjects. Their values are the words of `musubi import`.
const (
	SubjectOrganizations Subject = "orgs"
	SubjectPeople        Subject = "people"
)

// Rows is a file as it was read: the good rows, and the report of the bad ones. What they say of the whole they say of the columns that the
// file has; the fields of other columns are empty.
type Rows struct {
	Subject  Subject
	Name     string // the file's name, as it shall appear in the report and as the source of the changes
	SHA256   string // of the file's bytes, hexadecimal; empty for rows that come from no file
	Orgs     []OrgRow
	Services []ServiceRow
	Report   *review.Report

	orgFields   map[string]bool // columns of the organizations file
	people      packed
	serviceEnds bool // the services file has a column for the end
}

// Len is the number of good rows.
func (r *Rows) Len() int { return len(r.Orgs) + len(r.Services) + len(r.people.rows) }

// People are the good rows of a people file, in its order.
func (r *Rows) People() iter.Seq[PersonRow] {
	return func(yield func(PersonRow) bool) {
		for i := range r.people.rows {
			if !yield(PersonRow{Line: int(r.people.rows[i].line), Person: r.people.person(i)}) {
				return
			}
		}
	}
}

// OrgRow is an organization with the line of the file that it came from.
type OrgRow struct {
	Line         int
	Organization identity.Organization
	// Derived says that the file has no row of its own for the organization (the prefectures of the national list). What such
	// a row doesn't know, its kana, is kept as the directory has it.
	Derived bool
}

// PersonRow is a person without id with the line of the file that the person came from.
type PersonRow struct {
	Line   int
	Person identity.Person
}

// PeopleRows makes rows of people who don't come from a file, with the checks that ReadPeople makes. Lines count from 2, as if
// they had been written below a header.
func PeopleRows(name string, people iter.Seq[identity.Person]) (*Rows, *review.Report) {
	rows := &Rows{Subject: SubjectPeople, Name: name, Report: review.New(name), people: newPacked(allFields)}
	line := 1
	for p := range people {
		line++
		if line > table.MaxRows+1 {
			rows.Report.Stop(line, table.TooManyRows(table.MaxRows))
			break
		}
		var faults []fault
		if first, again := rows.people.mail[rows.people.digest(emailKey(p.Email))]; again {
			faults = []fault{sharedFault(p.Email, int(first), line)}
		}
		rows.take(line, &p, faults)
	}
	return rows, rows.Report
}

// take keeps a person who is good; what isn't goes to the report, beside the faults of the cells.
func (r *Rows) take(line int, p *identity.Person, faults []fault) {
	faults = append(faults, unfaulted(checkPerson(p), faults)...)
	if p.Org != "" && p.StaffNumber != "" {
		if first, again := r.people.mention(p, line); again {
			faults = append(faults, twice("staff_number", p.StaffNumber, first))
		}
	}
	r.people.mentionAddress(p.Email, line)
	for _, f := range faults {
		r.Report.Refuse(line, f)
	}
	if len(faults) == 0 {
		r.people.add(line, p)
	}
}

// packed are the people of a file, encoded one after another: a quarter of a million of them in some dozens of megabytes, in which the
// garbage collector finds nothing to look at.
type packed struct {
	fields fieldSet // that the file has
	seeds  [2]maphash.Seed
	rows   []packedRow
	blocks [][]byte
	staff  map[digest]int32    // first line of each organization and staff number, of bad rows too
	mail   map[digest]int32    // first line of each e-mail address, of bad rows too
	shared map[digest]struct{} // e-mail addresses of several rows
}

type packedRow struct {
	line, block, from int32
}

// digest stands for a key: two hashes under secret seeds, so that nobody can find two keys with one digest.
type digest [2]uint64

const packedBlock = 1 << 20

func newPacked(fields fieldSet) packed {
	return packed{
		fields: fields, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		staff: map[digest]int32{}, mail: map[digest]int32{}, shared: map[digest]struct{}{},
	}
}

func (k *packed) digest(s string) digest {
	return digest{maphash.String(k.seeds[0], s), maphash.String(k.seeds[1], s)}
}

func (k *packed) staffDigest(org policies.OrgID, number string) digest {
	return k.digest(string(org) + "\x00" + number)
}

// mention remembers that a row speaks of somebody, and gives the first that did.
func (k *packed) mention(p *identity.Person, line int) (first int, again bool) {
	d := k.staffDigest(p.Org, p.StaffNumber)
	if first, again := k.staff[d]; again {
		return int(first), true
	}
	k.staff[d] = int32(line) // #nosec G115 -- table.MaxRows
	return line, false
}

func (k *packed) mentionAddress(email string, line int) {
	if email == "" {
		return
	}
	d := k.digest(emailKey(email))
	if _, again := k.mail[d]; again {
		k.shared[d] = struct{}{}
		return
	}
	k.mail[d] = int32(line) // #nosec G115 -- table.MaxRows
}

func (k *packed) add(line int, p *identity.Person) {
	last := len(k.blocks) - 1
	if last < 0 || len(k.blocks[last])+maxEncoded > cap(k.blocks[last]) {
		k.blocks = append(k.blocks, make([]byte, 0, packedBlock))
		last++
	}
	from := len(k.blocks[last])
	k.blocks[last] = encodePerson(k.blocks[last], p, k.fields)
	k.rows = append(k.rows, packedRow{int32(line), int32(last), int32(from)}) // #nosec G115 -- table.MaxRows, MaxFile
}

// at finds the good row of a line; -1 if the line's row isn't good.
func (k *packed) at(line int32) int {
	i := sort.Search(len(k.rows), func(i int) bool { return k.rows[i].line >= line })
	if i < len(k.rows) && k.rows[i].line == line {
		return i
	}
	return -1
}

// raw are the bytes of a row, and what follows it in its block.
func (k *packed) raw(i int) []byte { return k.blocks[k.rows[i].block][k.rows[i].from:] }

func (k *packed) person(i int) (p identity.Person) {
	decodePerson(k.raw(i), &p, k.fields)
	return p
}

// maxEncoded bounds one encoded person: checkPerson has bounded every text.
const maxEncoded = 4 * (MaxCell + 12*maxName + 4*maxEmail + 4*maxStaffNumber)

// encodePerson appends organization, staff number and the fields of the set.
func encodePerson(b []byte, p *identity.Person, set fieldSet) []byte {
	put := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	put(string(p.Org))
	put(p.StaffNumber)
	for i, s := range personTexts(p) {
		if set&(1<<i) != 0 {
			put(*s)
		}
	}
	if set&fieldAbsentFrom != 0 {
		b = binary.AppendVarint(b, p.AbsentFrom)
	}
	if set&fieldAbsentUntil != 0 {
		b = binary.AppendVarint(b, p.AbsentUntil)
	}
	return b
}

func decodePerson(b []byte, p *identity.Person, set fieldSet) {
	take := func() string {
		n, size := binary.Uvarint(b)
		s := string(b[size : size+int(n)]) // #nosec G115 -- encodePerson wrote it
		b = b[size+int(n):]                // #nosec G115
		return s
	}
	p.Org, p.StaffNumber = policies.OrgID(take()), take()
	for i, s := range personTexts(p) {
		if set&(1<<i) != 0 {
			*s = take()
		}
	}
	if set&fieldAbsentFrom != 0 {
		n, size := binary.Varint(b)
		p.AbsentFrom, b = n, b[size:]
	}
	if set&fieldAbsentUntil != 0 {
		p.AbsentUntil, _ = binary.Varint(b)
	}
}
