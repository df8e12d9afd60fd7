package load

import (
	"regexp"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/musubi-hub/musubi/policies"
)

// parseFile parses the policies of one file. Each policy is parsed by itself, so that one fault doesn't hide the next.
func parseFile(f policies.File, found *faults) []policies.Policy {
	tokens := scan(f.Content)
	if n := depth(tokens); n > MaxNesting {
		found.add(f.Path, 0, 0, "brackets stand %d deep; at most %d are read", n, MaxNesting)
		return nil
	}
	var parsed []policies.Policy
	for _, chunk := range split(tokens) {
		text := f.Content[chunk[0].start:chunk[len(chunk)-1].end]
		list, err := cedar.NewPolicyListFromBytes(f.Path, text)
		if err != nil {
			t, message := locate(chunk, err.Error())
			found.add(f.Path, t.line, t.column, "%s", message)
			continue
		}
		for _, p := range list { // exactly one: a chunk ends at its first semicolon
			(*ast.Policy)(p.AST()).Position = ast.Position{
				Filename: f.Path, Offset: chunk[0].start, Line: chunk[0].line, Column: chunk[0].column,
			}
			parsed = append(parsed, policies.Policy{
				ID: string(p.Annotations()["id"]), File: f.Path, Line: chunk[0].line, Column: chunk[0].column,
				Permit: p.Effect() == cedar.Permit, Cedar: p,
			})
		}
	}
	return parsed
}

var (
	parserMessage = regexp.MustCompile(`(?s)^parser error: parse error at <input>:\d+:\d+ ("(?:[^"\\]|\\.)*"): (.*)$`)
	exactMessage  = regexp.MustCompile(`(?s)^exact got (.*) want (.*)$`)
)

// locate finds the token that the parser stumbled over and says what was wrong there. The parser names the place after the
// token it refused in most of its messages, and the token itself in the rest.
func locate(chunk []token, message string) (token, string) {
	line, column, rest := splitPosition(message)
	at := len(chunk) // index of the token at the reported place; past the end where the text ends there
	for i, t := range chunk {
		if l, c := relative(chunk[0], t); l == line && c == column {
			at = i
			break
		}
	}
	m := parserMessage.FindStringSubmatch(message)
	if m == nil { // of the scanner, which names the token itself
		return tokenAt(chunk, at), strings.TrimPrefix(rest, ": ")
	}
	what := m[2]
	switch exact := exactMessage.FindStringSubmatch(what); {
	case exact != nil && exact[1] == "":
		return endOf(chunk), "the policy ends here, but " + quote(exact[2]) + " is missing"
	case exact != nil:
		return tokenAt(chunk, refused(chunk, at, exact[1])), "found " + quote(exact[1]) + " where " + quote(exact[2]) + " belongs"
	case strings.HasPrefix(what, "got "): // "got X want ,": the place is right
		return tokenAt(chunk, at), what
	default:
		i := max(at-1, 0)
		return tokenAt(chunk, i), what + " at " + quote(tokenAt(chunk, i).text)
	}
}

// refused gives the index of the token with this text that stands at or right before the reported place.
func refused(chunk []token, at int, text string) int {
	if at > 0 && chunk[at-1].text == text {
		return at - 1
	}
	return at
}

func tokenAt(chunk []token, i int) token {
	if i < len(chunk) {
		return chunk[i]
	}
	return endOf(chunk)
}

// endOf is the place right after the last token of the chunk.
func endOf(chunk []token) token {
	last := chunk[len(chunk)-1]
	return token{line: last.endLine, column: last.endColumn}
}

// relative gives the place of t in a text that begins at first.
func relative(first, t token) (line, column int) {
	line = t.line - first.line + 1
	if line == 1 {
		return 1, t.column - first.column + 1
	}
	return line, t.column
}

func quote(s string) string {
	if s == "" {
		return "the end"
	}
	return "`" + s + "`"
}
