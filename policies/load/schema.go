package load

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/musubi-hub/musubi/policies"
)

// vocabulary is a schema that was read: what it declares, or what is wrong with it.
type vocabulary struct {
	file     policies.File
	declared *resolved.Schema // nil where faults are
	faults   faults
}

// newest is the vocabulary that was read last. Reading one takes a third of the time of loading a policy set, and who loads many, a test of
// thousands of random sets or an analysis of two versions, has the same schema in most of them. What it holds isn't changed.
var newest atomic.Pointer[vocabulary]

func vocabularyOf(f policies.File) *vocabulary {
	if v := newest.Load(); v != nil && v.file.Path == f.Path && bytes.Equal(v.file.Content, f.Content) {
		return v
	}
	v := &vocabulary{file: policies.File{Path: f.Path, Content: bytes.Clone(f.Content)}}
	v.declared = readSchema(f, &v.faults)
	newest.Store(v)
	return v
}

// checkSchema reads the schema, holds it against what the engine asks, and every policy against it.
func checkSchema(f policies.File, parsed []policies.Policy, found *faults) {
	read := vocabularyOf(f)
	*found = append(*found, read.faults...)
	if read.declared == nil {
		return
	}
	v := validate.New(read.declared, validate.WithStrict())
	for _, p := range parsed {
		for _, uid := range undeclared(read.declared, (*ast.Policy)(p.Cedar.AST())) {
			found.add(p.File, p.Line, p.Column, "policy %q: %s isn't one of the values that the schema lists: is it misspelled?", p.ID, uid)
		}
		if err := v.Policy("", (*ast.Policy)(p.Cedar.AST())); err != nil {
			for _, message := range leaves(err) {
				found.add(p.File, p.Line, p.Column, "policy %q: %s", p.ID, message)
			}
		}
	}
}

// readSchema reads a schema and holds it against what the engine asks; nil where it is at fault.
func readSchema(f policies.File, found *faults) *resolved.Schema {
	if n := depth(scan(f.Content)); n > MaxNesting {
		found.add(f.Path, 0, 0, "brackets stand %d deep; at most %d are read", n, MaxNesting)
		return nil
	}
	var s schema.Schema
	s.SetFilename(f.Path)
	if err := s.UnmarshalCedar(f.Content); err != nil {
		line, column, message := splitPosition(err.Error())
		found.add(f.Path, line, column, "%s", message)
		return nil
	}
	declared, err := s.Resolve()
	if err != nil {
		found.add(f.Path, 0, 0, "%s", err)
		return nil
	}
	v := validate.New(declared, validate.WithStrict())
	for _, probe := range policies.Probes() {
		err := v.Request(probe.Request)
		if err == nil {
			err = v.Entities(probe.Entities)
		}
		if err != nil {
			found.add(f.Path, 0, 0, "doesn't describe what the hub asks about %s on a %s: %s",
				probe.Request.Action.ID, probe.Request.Resource.Type, err)
			return nil
		}
	}
	return declared
}

// undeclared lists the literals of the policy that name no value of an enumerated type and no action. The validator lets
// most of them pass, and a misspelled role or workspace would silently never match.
func undeclared(s *resolved.Schema, p *ast.Policy) []types.EntityUID {
	var unknown []types.EntityUID
	check := func(uid types.EntityUID) {
		enum, enumerated := s.Enums[uid.Type]
		_, action := s.Actions[uid]
		isAction := uid.Type == "Action" || strings.HasSuffix(string(uid.Type), "::Action")
		if (enumerated && !slices.Contains(enum.Values, uid)) || (isAction && !action) {
			unknown = append(unknown, uid)
		}
	}
	for _, scope := range []ast.IsScopeNode{p.Principal, p.Resource} { // the validator checks the action's own scope
		switch n := scope.(type) {
		case ast.ScopeTypeEq:
			check(n.Entity)
		case ast.ScopeTypeIn:
			check(n.Entity)
		case ast.ScopeTypeIsIn:
			check(n.Entity)
		}
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			value, _ := n.(ast.NodeValue)
			if uid, ok := value.Value.(types.EntityUID); ok {
				check(uid)
			}
			return true
		})
	}
	return unknown
}

// leaves lists the messages of a joined error, each once: the validator repeats a fault for every kind of request.
func leaves(err error) []string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []string
		for _, e := range joined.Unwrap() {
			for _, m := range leaves(e) {
				if !slices.Contains(all, m) {
					all = append(all, m)
				}
			}
		}
		return all
	}
	return []string{strings.ReplaceAll(err.Error(), "\n", " ")}
}

var position = regexp.MustCompile(`^(?:parser error: )?(?:parse error at )?[^:\s]+:(\d+):(\d+):? ?`)

// splitPosition takes "file:line:column: message" apart. Line is 0 where the message has no place.
func splitPosition(message string) (line, column int, rest string) {
	m := position.FindStringSubmatch(message)
	if m == nil {
		return 0, 0, message
	}
	line, _ = strconv.Atoi(m[1]) // digits by the expression; an overflow leaves the largest number
	column, _ = strconv.Atoi(m[2])
	return line, column, strings.TrimPrefix(message, m[0])
}
