package escalate

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/bizcal"
)

// Limits of a file of ladders.
const (
	MaxFile    = 1 << 20 // bytes
	maxNesting = 40
	maxLadders = 500
	maxRungs   = 30
	maxTeams   = 5_000
	maxPeople  = 500 // of a team
	maxOffices = 5_000
)

// File is what a file of ladders says. The schema for editors is docs/escalation.schema.json.
type File struct {
	Offices []Office
	System  string // the office of the system administrators
	Desks   []Desk
	Ladders []*Ladder
}

// Office is an office's calendar as a file has it.
type Office struct {
	Name  string
	Until int // last year of its calendar; 0: as far as days can be computed
	bizcal.Office
	At Place
}

// Desk is a team as a file has it: people by their ids. Who administers its ministry, and the system, the directory says.
type Desk struct {
	Name           TeamID
	Org            policies.OrgID
	Office         string
	Members        []policies.PersonID
	Administrators []policies.PersonID
	At             Place
}

// Read reads a file of ladders. What is wrong with it is FileFaults: everything at once.
func Read(file string, text []byte) (*File, error) {
	s := &source{file: file}
	tree := s.parse(text)
	if tree == nil {
		return nil, s.faults
	}
	f := &File{}
	top := s.mapping(tree, "", "*version", "offices", "system", "teams", "*ladders")
	if v := s.text(top["version"], "version", 20); v != "" && v != "1" {
		s.fault(top["version"], "version", "版 %s は読めない（1 のみ） / version %s can't be read by this program: it knows 1", v, v)
	}
	for _, n := range s.list(top["offices"], "offices", maxOffices) {
		f.Offices = append(f.Offices, s.office(n))
	}
	if n := top["system"]; n != nil {
		f.System = s.name(s.mapping(n, "system", "*office")["office"], "system.office")
	}
	for _, n := range s.list(top["teams"], "teams", maxTeams) {
		f.Desks = append(f.Desks, s.desk(n))
	}
	var drafts []draftLadder
	for _, n := range s.list(top["ladders"], "ladders", maxLadders) {
		drafts = append(drafts, s.ladder(n))
	}
	for _, d := range drafts {
		f.Ladders = append(f.Ladders, d.l)
	}
	if len(s.faults) == 0 { // what refers to other things is checked once all of them are read
		s.check(f, drafts)
	}
	if len(s.faults) > 0 {
		return nil, s.faults
	}
	return f, nil
}

func (s *source) parse(text []byte) ast.Node {
	whole := Place{File: s.file, Line: 1, Column: 1}
	switch {
	case len(text) > MaxFile:
		s.faultAt(whole, "", "ファイルが大きすぎる（上限 %d バイト） / %d bytes; at most %d", MaxFile, len(text), MaxFile)
		return nil
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		s.faultAt(whole, "", "UTF-8 のテキストではない / isn't UTF-8 text: save it as UTF-8")
		return nil
	}
	if line, deep := nesting(text); deep {
		s.faultAt(Place{s.file, line, 1}, "", "入れ子が深すぎる / is nested too deeply")
		return nil
	}
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		what := "YAML ではない / isn't YAML"
		var se *yaml.SyntaxError
		if errors.As(err, &se) {
			what += " (" + strings.TrimSpace(se.Message) + ")"
			if se.Token != nil && se.Token.Position != nil {
				whole.Line, whole.Column = se.Token.Position.Line, se.Token.Position.Column
			}
		}
		s.faultAt(whole, "", "%s", what)
		return nil
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		switch {
		case nothing(doc.Body):
		case body != nil:
			s.fault(doc.Body, "", "2つ目の文書がある / holds a second document: remove the line --- and what follows")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		s.faultAt(whole, "", "空のファイル / the file is empty")
	}
	return body
}

// nesting refuses text that would lead a parser deep down, before one sees it.
func nesting(text []byte) (line int, deep bool) {
	depth := 0
	for row := range bytes.Lines(text) {
		line++
		rest := bytes.TrimLeft(row, " ")
		indent := (len(row) - len(rest)) / 2
		for bytes.HasPrefix(rest, []byte("- ")) || bytes.HasPrefix(rest, []byte("? ")) {
			rest = bytes.TrimLeft(rest[2:], " ")
			indent++
		}
		for _, c := range row {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			}
			if depth > maxNesting {
				return line, true
			}
		}
		if indent > maxNesting || bytes.Count(row, []byte(": ")) > 200 {
			return line, true
		}
	}
	return 0, false
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (s *source) office(n ast.Node) Office {
	o := Office{At: s.at(n)}
	m := s.mapping(n, "offices", "*name", "hours", "closed", "open", "until")
	o.Name = s.name(m["name"], "offices.name")
	key := "offices." + o.Name
	o.Office = bizcal.Ministry()
	if h := m["hours"]; h != nil {
		o.Week = [7][]bizcal.Span{}
		days := s.mapping(h, key+".hours", weekdays...)
		for w, day := range weekdays {
			o.Week[w] = s.spans(days[day], key+".hours."+day)
		}
	}
	for _, item := range s.list(m["closed"], key+".closed", bizcal.MaxOwn) {
		o.Closed = append(o.Closed, s.own(item, key+".closed", "*day", "*reason"))
	}
	for _, item := range s.list(m["open"], key+".open", bizcal.MaxOwn) {
		o.Open = append(o.Open, s.own(item, key+".open", "*day", "*reason", "hours"))
	}
	if u := m["until"]; u != nil {
		year, err := strconv.Atoi(s.text(u, key+".until", 4))
		if err != nil || year < bizcal.FirstYear || year > bizcal.LastYear {
			s.fault(u, key+".until", "年は %d まで / is a year up to %d", bizcal.LastYear, bizcal.LastYear)
		}
		o.Until = year
	}
	return o
}

func (s *source) spans(n ast.Node, key string) (all []bizcal.Span) {
	for _, item := range s.list(n, key, bizcal.MaxSpans) {
		span, err := bizcal.ParseSpan(s.text(item, key, 20))
		if err != nil {
			s.fault(item, key, "%v", err)
			continue
		}
		if len(all) > 0 && span.From < all[len(all)-1].To {
			s.fault(item, key, "時間帯が重なるか順序が逆 / overlaps the span before it, or comes before it")
			continue
		}
		all = append(all, span)
	}
	return all
}

func (s *source) own(n ast.Node, key string, keys ...string) bizcal.Own {
	m := s.mapping(n, key, keys...)
	own := bizcal.Own{Reason: s.text(m["reason"], key+".reason", 300), Hours: s.spans(m["hours"], key+".hours")}
	if text := s.text(m["day"], key+".day", 20); text != "" {
		day, err := time.ParseInLocation(time.DateOnly, text, jst.Zone)
		if err != nil {
			s.fault(m["day"], key+".day", "日付は 2027-04-01 のように書く / %.20q isn't a day: write it like 2027-04-01", text)
		}
		own.Day = bizcal.DayOf(day)
	}
	return own
}

func (s *source) desk(n ast.Node) Desk {
	d := Desk{At: s.at(n)}
	m := s.mapping(n, "teams", "*name", "*organization", "*office", "*members", "administrators")
	d.Name = TeamID(s.name(m["name"], "teams.name"))
	key := "teams." + string(d.Name)
	d.Org = policies.OrgID(s.text(m["organization"], key+".organization", 20))
	d.Office = s.name(m["office"], key+".office")
	for _, p := range s.texts(m["members"], key+".members", maxPeople) {
		d.Members = append(d.Members, policies.PersonID(p))
	}
	for _, p := range s.texts(m["administrators"], key+".administrators", maxPeople) {
		d.Administrators = append(d.Administrators, policies.PersonID(p))
	}
	return d
}

// draftLadder is a ladder with the places of what refers to other things.
type draftLadder struct {
	l         *Ladder
	otherwise []Place
	since     []Place
	told      Place
	topics    Place
}

func (s *source) ladder(n ast.Node) draftLadder {
	d := draftLadder{l: &Ladder{At: s.at(n)}}
	l := d.l
	m := s.mapping(n, "ladders", "*name", "title", "for", "*told_within", "answer_within", "max_moves", "comment_after_answer", "*rungs")
	l.Name = s.name(m["name"], "ladders.name")
	key := "ladders." + l.Name
	l.Title = s.text(m["title"], key+".title", 300)
	if f := m["for"]; f != nil {
		d.topics = s.at(f)
		sel := s.mapping(f, key+".for", "topics", "priorities")
		l.Topics = s.texts(sel["topics"], key+".for.topics", 1000)
		l.Priorities = words(s, sel["priorities"], key+".for.priorities", Priorities())
	}
	l.ToldWithin, d.told = s.wait(m["told_within"], key+".told_within"), s.at(m["told_within"])
	l.AnswerWithin = s.wait(m["answer_within"], key+".answer_within")
	if v := m["max_moves"]; v != nil {
		moves, err := strconv.Atoi(s.text(v, key+".max_moves", 4))
		if err != nil || moves < 1 || moves > 100 {
			s.fault(v, key+".max_moves", "1〜100 / is a number from 1 to 100")
		}
		l.MaxMoves = moves
	}
	if v := m["comment_after_answer"]; v != nil {
		l.Thanks = word(s, v, key+".comment_after_answer", []string{"reopen", "ignore"}) == "ignore"
	}
	for i, item := range s.list(m["rungs"], key+".rungs", maxRungs) {
		r := s.mapping(item, key+".rungs", "*name", "after", "since", "*tell", "*by", "otherwise")
		rung := Rung{Name: s.name(r["name"], fmt.Sprintf("%s.rungs.%d.name", key, i+1)), At: s.at(item)}
		rkey := key + ".rungs." + rung.Name
		rung.After = s.wait(r["after"], rkey+".after")
		if r["since"] != nil {
			rung.Since = word(s, r["since"], rkey+".since", Anchors())
		}
		if (r["after"] == nil) != (r["since"] == nil) {
			s.fault(item, rkey, "after と since は一緒に書く / after and since belong together: write both, or neither for a rung that others climb to")
		}
		rung.Tell = word(s, r["tell"], rkey+".tell", Whos())
		rung.By = words(s, r["by"], rkey+".by", Channels())
		if r["otherwise"] != nil {
			rung.Otherwise = s.name(r["otherwise"], rkey+".otherwise")
		}
		l.Rungs = append(l.Rungs, rung)
		d.otherwise = append(d.otherwise, s.at(r["otherwise"]))
		d.since = append(d.since, s.at(r["since"]))
	}
	return d
}

func (s *source) wait(n ast.Node, key string) Wait {
	text := s.text(n, key, 60)
	if text == "" {
		return Wait{}
	}
	w, err := ParseWait(text)
	if err != nil {
		s.fault(n, key, "%v", err)
	}
	return w
}
