package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// This file reads facts off a policy's syntax tree. Every answer errs towards the careful side: a policy that might apply
// applies, one that might read the resource does.

func syntaxTree(p *cedar.Policy) *ast.Policy { return (*ast.Policy)(p.AST()) }

// mayApply reports whether the policy's action scope can match the action. Every action is a member of one group, and
// groups have no members but actions.
func mayApply(p *ast.Policy, action string) bool {
	self, group := actionUID(action), actionUID(groupOf(action))
	switch s := p.Action.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == self
	case ast.ScopeTypeIn:
		return s.Entity == self || s.Entity == group
	case ast.ScopeTypeInSet:
		return slices.Contains(s.Entities, self) || slices.Contains(s.Entities, group)
	default:
		return true
	}
}

// readsResource reports whether the answer of the policy can differ between the workspace and one of its members.
func readsResource(p *ast.Policy) bool {
	switch s := p.Resource.(type) {
	case ast.ScopeTypeAll:
	case ast.ScopeTypeIn:
		if s.Entity != workspaceUID() {
			return true
		}
	default:
		return true
	}
	reads := false
	inspect(p, func(n ast.IsNode) bool {
		if v, ok := n.(ast.NodeTypeVariable); ok && v.Name == types.String("resource") {
			reads = true
		}
		return true
	})
	return reads
}

func inspect(p *ast.Policy, fn func(ast.IsNode) bool) {
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), fn)
	}
}
