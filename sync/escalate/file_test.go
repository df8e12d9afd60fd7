package escalate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/bizcal"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// example is the file that docs/escalation.md shows.
func example(t testing.TB) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/escalation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("docs/escalation.md shows no example")
	}
	return text
}

func staff() Staff {
	s := Staff{People: map[policies.PersonID]Member{}, System: []Member{member("person-kai")}, Ministry: map[policies.OrgID][]Member{"9000000000001": {member("person-haru")}}}
	for _, id := range []string{"person-aoi", "person-midori", "person-akane"} {
		s.People[policies.PersonID(id)] = member(id)
	}
	return s
}

func TestExample(t *testing.T) {
	f, err := Read("example.yaml", []byte(example(t)))
	if err != nil {
		t.Fatal(err)
	}
	teams, err := Build(f, staff(), national(t, 2030), at("2026-12-01 00:00"), 600)
	if err != nil {
		t.Fatal(err)
	}
	p := prove(t, "2026-12-01 00:00", 400, teams, f.Ladders...)
	if !p.Holds() {
		t.Errorf("%+v", p)
	}
	l, ok := Pick(f.Ladders, "card", PriorityNormal)
	if !ok || l.Name != "usual" {
		t.Fatalf("%+v", l)
	}
	s := newStory(t, l, teams[0])
	s.at("2026-12-25 10:00", Event{Kind: EventCreated, Ladder: "usual", Team: "card-desk", Person: "person-aoi"})
	s.until("2027-02-01 00:00")
	s.wants(
		"12-25 15:00 tell assignee [person-aoi]",
		"01-04 10:00 tell team [person-aoi person-midori]", // the 28th is closed in this office
		"01-06 10:00 tell admin [person-akane]",
		"01-12 08:30 tell ministry [person-haru]",
		"01-18 10:00 tell system [person-kai]",
	)
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("../../docs/escalation.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("escalation.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("escalation.json")
}

func valid(t testing.TB, s *jsonschema.Schema, text string) bool {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc) == nil
}

// The schema knows the words that the program knows.
func TestSchemaWords(t *testing.T) {
	text, err := os.ReadFile("../../docs/escalation.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Defs map[string]struct {
			Properties map[string]struct {
				Enum       []string
				Items      struct{ Enum []string }
				Properties map[string]struct{ Items struct{ Enum []string } }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	rung := s.Defs["rung"].Properties
	same(t, rung["tell"].Enum, Whos())
	same(t, rung["since"].Enum, Anchors())
	same(t, rung["by"].Items.Enum, Channels())
	same(t, s.Defs["ladder"].Properties["for"].Properties["priorities"].Items.Enum, Priorities())
}

func same[T ~string](t *testing.T, schema []string, ours []T) {
	t.Helper()
	var list []string
	for _, w := range ours {
		list = append(list, string(w))
	}
	if !slices.Equal(schema, list) {
		t.Errorf("the schema has %v, the program %v", schema, list)
	}
}

// Each change of the example is refused at its place. Those marked with schema are seen by an editor too.
func TestReadRefuses(t *testing.T) {
	text, s := example(t), schema(t)
	if !valid(t, s, text) {
		t.Fatal("the example isn't valid by the schema")
	}
	for _, row := range []struct {
		name, old, new string
		want           string // what stands at the place, and a part of the fault's text
		schema         bool
	}{
		{"unknown role", "tell: team_administrator, by: [slack", "tell: team_leader, by: [slack", "team_leader|team_leader", true},
		{"unknown channel", "by: [slack, mail, ticket]", "by: [slack, fax]", "fax|fax", true},
		{"unknown anchor", "30 working minutes, since: created", "30 working minutes, since: yesterday", "yesterday|yesterday", true},
		{"unknown priority", "priorities: [urgent]", "priorities: [urgent, asap]", "asap|asap", true},
		{"unknown word", "max_moves: 3", "max_move: 3", "max_move:|max_move", true},
		{"no unit", "after: 4 working hours", "after: 4h", "4h|working hours", true},
		{"no promise", "    told_within: 2 working hours\n", "", "name: urgent|told_within", true},
		{"after without since", "after: 3 working days, since: created, ", "after: 3 working days, ", "{ name: admin, after: 3|after and since", true},
		{"twice", "    max_moves: 3\n", "    max_moves: 3\n    max_moves: 4\n", "max_moves: 4|twice", false},
		{"version", "version: 1", "version: 2", "2\n|version 2", true},
		{"no ladder", "ladders:\n", "ladder:\n", "ladder:|ladder", true},
		{"hours", `mon: ["08:30-12:00", "13:00-18:15"]`, `mon: ["08:30-12:00", "11:00-18:15"]`, "\"11:00-18:15|overlaps", false},
		{"no such day", "2026-12-28", "2026-02-30", "2026-02-30|2026-02-30", false},
		{"unknown office", "office: ministry", "office: mistry", "name: card-desk|mistry", false},
		{"system's office", "office: agency", "office: agent", "# yaml|agent", false},
		{"name", "name: card-desk", "name: Card desk", "Card desk|small letters", true},
		{"member twice", "[person-aoi, person-midori]", "[person-aoi, person-aoi]", "person-aoi]|twice", true},
		{"no people", "members: [person-aoi, person-midori]", "members: []", "[]|empty", true},
		{"anchor", "name: card-desk", "name: &a card-desk", "&a|one value", false},
		{
			"without an end", "tell: system_administrator, by: [slack, mail] }\n  - name: usual", "tell: ministry_administrator, by: [slack, mail] }\n  - name: usual",
			"{ name: team, after: 30|no end", false,
		},
		{
			"an end that needs an assignee", "after: 10 working days, since: created", "after: 10 working days, since: assigned",
			"name: usual|no end", false,
		},
		{"loop", "after: 10 working days, since: created, tell: system_administrator", "after: 10 working days, since: created, otherwise: team, tell: system_administrator", "team, tell: system|loop", false},
		{"climbs to itself", "tell: team, by: [slack, mail] }", "tell: team, otherwise: team, by: [slack, mail] }", "team, by: [slack, mail] }|loop", false},
		{"climbs to nothing", "tell: team, by: [slack, mail] }", "tell: team, otherwise: tem, by: [slack, mail] }", "tem,|no rung tem", false},
		{"never fires", "      - { name: assignee,", "      - { name: aside, tell: team, by: [mail] }\n      - { name: assignee,", "{ name: aside|never fire", false},
		{"no due date", "    answer_within: 5 working days\n", "", "due, tell: ministry|due date", false},
		{"same twice", "      - { name: admin, after: 3", "      - { name: again, after: 1 working day, since: created, tell: team, by: [mail] }\n      - { name: admin, after: 3", "{ name: again|same time", false},
		{"promise", "  - name: usual\n", "  - name: late\n    for: { topics: [card] }\n    told_within: 1 working days\n    rungs: [{ name: s, after: 2 working days, since: created, tell: system_administrator, by: [mail] }]\n  - name: usual\n", "1 working days|no rung is due", false},
		{"never used", "  - name: usual\n", "  - name: more\n    for: { priorities: [urgent], topics: [card] }\n    told_within: 1 working day\n    rungs: [{ name: s, after: 1 working day, since: created, tell: system_administrator, by: [mail] }]\n  - name: usual\n", "name: more|never used", false},
		{"some have none", "  - name: usual\n", "  - name: usual\n    for: { topics: [card] }\n", "name: usual|for all", false},
		{"two of a name", "  - name: usual\n", "  - name: urgent\n", "name: urgent\n    title: 問|two ladders", false},
		{"two rungs of a name", "name: admin, after: 3", "name: team, after: 3", "{ name: team, after: 3 working days|two rungs", false},
		{"two documents", "ladders:\n", "---\nladders:\n", "ladders:|second", false},
		{"not YAML", "  - name: usual\n", "  - name: [usual\n", "|isn't YAML", false},
		{"deep", "for: { priorities: [urgent] }", "for: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "    for: [[|deep", false},
		{"Latin-1", "至急", "\xe9", "# yaml|UTF-8", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if strings.Count(text, row.old) == 0 {
				t.Fatalf("the example has no %q", row.old)
			}
			changed := strings.Replace(text, row.old, row.new, 1)
			_, err := Read("f.yaml", []byte(changed))
			var faults FileFaults
			if !errors.As(err, &faults) {
				t.Fatalf("taken, or refused otherwise: %v", err)
			}
			needle, part, _ := strings.Cut(row.want, "|")
			place := "f.yaml:"
			if needle != "" {
				before, _, _ := strings.Cut(changed, needle)
				column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
				place += fmt.Sprintf("%d:%d: ", strings.Count(before, "\n")+1, column)
			}
			if got := faults[0].String(); !strings.HasPrefix(got, place) || !strings.Contains(got, part) {
				t.Errorf("got %s\nwant %s", faults.Error(), row.want)
			}
			if row.schema && valid(t, s, changed) {
				t.Error("an editor doesn't see it")
			}
		})
	}
	for name, text := range map[string]string{"empty": "", "a comment": "# later\n", "a list": "- a\n", "a word": "ladders\n", "too large": strings.Repeat("#\n", MaxFile)} {
		var faults FileFaults
		if _, err := Read("f.yaml", []byte(text)); !errors.As(err, &faults) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read("f.yaml", []byte("version: 1\nladders:\n"+strings.Repeat("  - {}\n", 100))); strings.Count(err.Error(), "\n") != maxFaults-1 {
		t.Errorf("faults aren't bounded: %d", strings.Count(err.Error(), "\n"))
	}
}

func TestBuildRefuses(t *testing.T) {
	from := at("2026-12-01 00:00")
	for _, row := range []struct {
		name  string
		spoil func(*File, *Staff)
		days  int
		want  string
	}{
		{"nobody is left", func(_ *File, s *Staff) {
			for _, id := range []policies.PersonID{"person-aoi", "person-midori"} {
				m := s.People[id]
				m.Until = from
				s.People[id] = m
			}
		}, 400, "f.yaml:17:5: teams.card-desk.members: チームに人がいない"},
		{"unknown person", func(_ *File, s *Staff) { delete(s.People, "person-akane") }, 400, `f.yaml:17:5: teams.card-desk.administrators: "person-akane"`},
		{"the calendar ends", func(f *File, _ *Staff) { f.Offices[0].Until = 2027 }, 400, "f.yaml:4:5: offices.ministry: 暦が 2027-12-31 で終わる"},
		{"all calendars end", func(*File, *Staff) {}, 2000, "f.yaml:4:5: offices.ministry: 暦が 2030-12-31 で終わる"},
		{"no system administrator", func(_ *File, s *Staff) { s.System = nil }, 400, "システム管理者がいない"},
		{"an office that is never open", func(f *File, _ *Staff) { f.Offices[1].Week = [7][]bizcal.Span{} }, 400, "f.yaml:7:5: offices.agency:"},
	} {
		f, err := Read("f.yaml", []byte(example(t)))
		if err != nil {
			t.Fatal(err)
		}
		s := staff()
		row.spoil(f, &s)
		_, err = Build(f, s, national(t, 2030), from, row.days)
		var faults FileFaults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// Whatever is read can be built or is refused with a place, and can be proved without end.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{ // small ones: the fuzzer wears itself out on large ones
		"version: 1\nladders: [{name: a, told_within: 1 day, rungs: [{name: s, after: 1 hour, since: created, tell: system_administrator, by: [mail]}]}]\n",
		"version: 1\nsystem: {office: m}\noffices: [{name: m, closed: [{day: 2026-12-28, reason: 停電}]}]\nteams:\n  - {name: d, organization: '9', office: m, members: [person-aoi]}\n" +
			"ladders:\n  - name: a\n    told_within: 9 working days\n    answer_within: 2 working days\n    rungs:\n      - {name: s, after: 0 minutes, since: due, tell: system_administrator, by: [slack]}\n",
	} {
		if _, err := Read("seed", []byte(seed)); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(seed))
	}
	n := national(f, 2030)
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Read("f", text)
		var faults FileFaults
		if err != nil {
			if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > maxFaults || file != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		teams, err := Build(file, staff(), n, at("2026-12-01 00:00"), 10)
		if err != nil {
			return
		}
		if _, err := Prove(Input{Ladders: file.Ladders, Teams: teams, From: at("2026-12-01 00:00"), Days: 10}); err != nil && len(teams) > 0 {
			t.Fatal(err)
		}
		w := &World{Ladders: map[string]*Ladder{}, Teams: map[TeamID]*Team{}}
		for _, team := range teams {
			w.Teams[team.ID] = team
			for _, l := range file.Ladders {
				w.Ladders[l.Name] = l
				told(w, l, team, at("2026-12-01 10:00"), at("2026-12-01 10:00").Add(240*time.Hour))
			}
		}
	})
}
