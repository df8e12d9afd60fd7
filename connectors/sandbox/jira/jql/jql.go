package jql

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Query is a parsed search: clauses that must all hold, and an order. OR, NOT and brackets around clauses are not understood.
type Query struct {
	clauses []clause
	Order   string // "created", "updated", "key"
	Desc    bool
}

type clause struct {
	field, op string
	values    []string
}

const maxQuery = 10_000

var errUnbounded = errors.New("Unbounded JQL queries are not allowed here. Please add a search restriction to your query.")

// fieldNames are the fields that the stand-in can search, by their names in lower case.
var fieldNames = map[string]string{
	"project": "project", "key": "key", "issuekey": "key", "issue": "key", "id": "key", "status": "status", "statuscategory": "statusCategory",
	"labels": "labels", "reporter": "reporter", "assignee": "assignee", "created": "created", "createddate": "created", "updated": "updated",
	"updateddate": "updated", "summary": "summary", "text": "text", "issuetype": "issuetype", "type": "issuetype", "organizations": "organizations",
	"cf[10002]": "organizations", "resolution": "resolution", "priority": "priority",
}

// Parse reads JQL. Its errors are in the vendor's words.
func Parse(text string) (*Query, error) {
	if len(text) > maxQuery {
		return nil, errors.New("The JQL query is too long.")
	}
	tokens, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	p := &jqlParser{tokens: tokens}
	q := &Query{Order: "created", Desc: true}
	for !p.done() && !p.isWord("order") {
		if len(q.clauses) > 0 && !p.takeWord("and") {
			return nil, fmt.Errorf("Error in the JQL Query: Expecting AND or ORDER BY but got '%s'.", p.peek().text)
		}
		c, err := p.clause()
		if err != nil {
			return nil, err
		}
		q.clauses = append(q.clauses, c)
	}
	if p.takeWord("order") {
		if err := p.orderBy(q); err != nil {
			return nil, err
		}
	}
	if len(q.clauses) == 0 {
		return nil, errUnbounded
	}
	return q, nil
}

type jqlToken struct {
	text   string
	quoted bool
}

func tokenize(text string) ([]jqlToken, error) {
	var out []jqlToken
	r := []rune(text)
	for i := 0; i < len(r); {
		switch {
		case unicode.IsSpace(r[i]):
			i++
		case r[i] == '"' || r[i] == '\'':
			quote := r[i]
			var b strings.Builder
			for i++; i < len(r) && r[i] != quote; i++ {
				if r[i] == '\\' && i+1 < len(r) {
					i++
				}
				b.WriteRune(r[i])
			}
			if i >= len(r) {
				return nil, errors.New("Error in the JQL Query: The quoted string has not been completed.")
			}
			i++
			out = append(out, jqlToken{b.String(), true})
		case strings.ContainsRune("(),", r[i]):
			out = append(out, jqlToken{string(r[i]), false})
			i++
		case strings.ContainsRune("=!~<>", r[i]):
			n := 1
			if i+1 < len(r) && strings.ContainsRune("=~", r[i+1]) {
				n = 2
			}
			out = append(out, jqlToken{string(r[i : i+n]), false})
			i += n
		default:
			start := i
			for i < len(r) && !unicode.IsSpace(r[i]) && !strings.ContainsRune("(),=!~<>\"'", r[i]) {
				i++
			}
			out = append(out, jqlToken{string(r[start:i]), false})
		}
	}
	return out, nil
}

type jqlParser struct {
	tokens []jqlToken
	at     int
}

func (p *jqlParser) done() bool { return p.at >= len(p.tokens) }

func (p *jqlParser) peek() jqlToken {
	if p.done() {
		return jqlToken{}
	}
	return p.tokens[p.at]
}

func (p *jqlParser) take() jqlToken { t := p.peek(); p.at++; return t }

func (p *jqlParser) isWord(w string) bool {
	return !p.done() && !p.peek().quoted && strings.EqualFold(p.peek().text, w)
}

func (p *jqlParser) takeWord(w string) bool {
	if !p.isWord(w) {
		return false
	}
	p.at++
	return true
}

func (p *jqlParser) clause() (clause, error) {
	name := p.take()
	field, ok := fieldNames[strings.ToLower(name.text)]
	if !ok {
		if slices.Contains([]string{"(", "not", "!"}, strings.ToLower(name.text)) {
			return clause{}, errors.New("The stand-in understands clauses joined by AND alone.")
		}
		return clause{}, fmt.Errorf("Field '%s' does not exist or you do not have permission to view it.", name.text)
	}
	c := clause{field: field, op: strings.ToLower(p.take().text)}
	switch c.op {
	case "not":
		c.op = "not in"
		if !p.takeWord("in") {
			return c, errors.New("Error in the JQL Query: Expecting IN after NOT.")
		}
	case "is":
		if p.takeWord("not") {
			c.op = "is not"
		}
		if !p.takeWord("empty") && !p.takeWord("null") {
			return c, errors.New("Error in the JQL Query: Expecting EMPTY after IS.")
		}
		return c, nil
	}
	if !slices.Contains(operators[field], c.op) {
		return c, fmt.Errorf("The operator '%s' is not supported by the '%s' field.", c.op, name.text)
	}
	var err error
	c.values, err = p.values(c.op == "in" || c.op == "not in")
	if err != nil {
		return c, err
	}
	for _, v := range c.values {
		if c.field == "created" || c.field == "updated" {
			if _, err := moment(v, time.Time{}); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

var (
	setOps    = []string{"=", "!=", "in", "not in"}
	operators = map[string][]string{
		"project": setOps, "key": {"=", "!=", "in", "not in"}, "status": setOps, "statusCategory": setOps, "labels": setOps, "reporter": setOps,
		"assignee": setOps, "issuetype": setOps, "organizations": setOps, "resolution": setOps, "priority": setOps,
		"created": {"=", "<", "<=", ">", ">="}, "updated": {"=", "<", "<=", ">", ">="}, "summary": {"~", "!~"}, "text": {"~"},
	}
)

func (p *jqlParser) values(list bool) ([]string, error) {
	one := func() (string, error) {
		t := p.take()
		if t.text == "" && !t.quoted || !t.quoted && strings.ContainsAny(t.text, "(),=~<>") {
			return "", errors.New("Error in the JQL Query: Expecting a value.")
		}
		if !t.quoted && p.peek().text == "(" && !p.peek().quoted { // a function without arguments
			p.at++
			if p.take().text != ")" {
				return "", errors.New("Error in the JQL Query: Expecting a closing bracket.")
			}
			return t.text + "()", nil
		}
		return t.text, nil
	}
	if !list {
		v, err := one()
		return []string{v}, err
	}
	if p.take().text != "(" {
		return nil, errors.New("Error in the JQL Query: Expecting '(' after IN.")
	}
	var out []string
	for {
		v, err := one()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		switch p.take().text {
		case ",":
		case ")":
			return out, nil
		default:
			return nil, errors.New("Error in the JQL Query: Expecting ',' or ')'.")
		}
	}
}

func (p *jqlParser) orderBy(q *Query) error {
	if !p.takeWord("by") {
		return errors.New("Error in the JQL Query: Expecting BY after ORDER.")
	}
	field := fieldNames[strings.ToLower(p.take().text)]
	if !slices.Contains([]string{"created", "updated", "key"}, field) {
		return errors.New("The stand-in orders by created, updated or key.")
	}
	q.Order, q.Desc = field, field != "key"
	if p.takeWord("asc") {
		q.Desc = false
	} else if p.takeWord("desc") {
		q.Desc = true
	}
	if !p.done() {
		return errors.New("Error in the JQL Query: something follows ORDER BY.")
	}
	return nil
}

// tokyo is the zone of the token's owner, in which JQL reads dates.
var tokyo = time.FixedZone("Asia/Tokyo", 9*3600)

// moment reads a date of JQL: "2026-11-24", "2026-11-24 09:30", "-15m", "-2d", "now()".
func moment(v string, now time.Time) (time.Time, error) {
	if strings.EqualFold(v, "now()") {
		return now, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006/01/02 15:04", "2006-01-02", "2006/01/02"} {
		if at, err := time.ParseInLocation(layout, v, tokyo); err == nil {
			return at, nil
		}
	}
	units := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}
	if len(v) >= 2 {
		n, err := strconv.ParseInt(v[:len(v)-1], 10, 32)
		if unit, ok := units[v[len(v)-1:]]; ok && err == nil {
			return now.Add(time.Duration(n) * unit), nil
		}
	}
	return time.Time{}, fmt.Errorf("Date value '%s' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'.", v)
}

// Subject is what a query is asked about.
type Subject interface {
	// Values gives every form in which a field's value can be named; none: it is empty.
	Values(field string) []string
	Created() time.Time
	Updated() time.Time
}

// Matches says whether a subject is found at now. me is what currentUser() stands for.
func (q *Query) Matches(x Subject, me string, now time.Time) bool {
	for _, c := range q.clauses {
		if !c.holds(x, me, now) {
			return false
		}
	}
	return true
}

func (c clause) holds(x Subject, me string, now time.Time) bool {
	if c.field == "created" || c.field == "updated" {
		return c.holdsAt(x, now)
	}
	has := x.Values(c.field)
	switch c.op {
	case "is":
		return len(has) == 0
	case "is not":
		return len(has) > 0
	case "=", "in":
		return c.anyOf(has, me)
	case "!=", "not in":
		return len(has) > 0 && !c.anyOf(has, me)
	case "~":
		return strings.Contains(strings.ToLower(strings.Join(has, "\n")), strings.ToLower(strings.TrimSuffix(c.values[0], "*")))
	}
	return !strings.Contains(strings.ToLower(strings.Join(has, "\n")), strings.ToLower(c.values[0])) // !~
}

func (c clause) holdsAt(x Subject, now time.Time) bool {
	at := x.Created()
	if c.field == "updated" {
		at = x.Updated()
	}
	switch c.op {
	case "is":
		return false
	case "is not":
		return true
	}
	limit, err := moment(c.values[0], now)
	if err != nil {
		return false
	}
	d := at.Truncate(time.Minute).Compare(limit.Truncate(time.Minute)) // JQL knows minutes
	switch c.op {
	case "=":
		return d == 0
	case "<":
		return d < 0
	case "<=":
		return d <= 0
	case ">":
		return d > 0
	}
	return d >= 0
}

func (c clause) anyOf(has []string, me string) bool {
	return slices.ContainsFunc(c.values, func(v string) bool {
		if strings.EqualFold(v, "currentUser()") {
			v = me
		}
		return slices.ContainsFunc(has, func(h string) bool {
			if c.field == "labels" {
				return h == v // labels are told apart by case
			}
			return strings.EqualFold(h, v)
		})
	})
}
