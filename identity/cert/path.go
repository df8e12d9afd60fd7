package cert

import (
	"fmt"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// inputs are the policy inputs of RFC 5280 6.1.1 (c), (e), (f), (g).
type inputs struct {
	policies       []pkix.OID // nil: any policy
	explicit       bool
	inhibitMapping bool
	inhibitAny     bool
}

// validate is basic path validation (RFC 5280, 6.1) of a chain whose signatures were verified while it was built. Revocation comes after it. The
// anchor gives its name and its key; its extensions constrain nothing (6.1.1 d).
func (r *run) validate(c chain, in inputs) *fault {
	n := len(c.certs)
	names := constraints{work: &r.work}
	limit := n
	policies := newPolicyState(in, n, &r.work)
	for i := n - 1; i >= 0; i-- {
		cert, final := c.certs[i], i == 0
		// A key that was accepted for signing was checked with its signatures; the leaf's own is checked here.
		if f := r.validity(cert); f != nil {
			return f
		}
		selfIssued := r.work.same(cert.Subject, cert.Issuer)
		if !selfIssued || final {
			if f := names.check(cert); f != nil {
				return f
			}
		}
		if f := policies.add(cert, n-i, final, selfIssued); f != nil {
			return f
		}
		if len(cert.Unprocessed) > 0 {
			return &fault{CriticalExtension, fmt.Sprintf("%v in the certificate at depth %d", cert.Unprocessed, i)}
		}
		if final {
			break
		}
		if f := r.issuer(cert, selfIssued, &limit); f != nil {
			return f
		}
		if f := policies.prepare(cert, n-i, selfIssued); f != nil {
			return f
		}
		if f := names.add(cert); f != nil {
			return f
		}
	}
	return policies.wrapUp(c.certs[0], n)
}

func (r *run) validity(c *pkix.Certificate) *fault {
	if r.at.Before(c.NotBefore) {
		return &fault{NotYetValid, "valid from " + stamp(c.NotBefore)}
	}
	if r.at.After(c.NotAfter) {
		return &fault{Expired, "valid until " + stamp(c.NotAfter)}
	}
	return nil
}

// issuer holds what RFC 5280 6.1.4 (k) to (n) asks of a certificate that issued another.
func (r *run) issuer(c *pkix.Certificate, selfIssued bool, limit *int) *fault {
	if c.Version != 3 || !c.HasBasic || !c.CA {
		return &fault{IssuerNotCA, c.Subject.String()}
	}
	if !selfIssued {
		if *limit <= 0 {
			return &fault{PathTooLong, "basicConstraints of an authority above " + c.Subject.String()}
		}
		*limit--
	}
	if c.HasPathLen {
		*limit = min(*limit, c.PathLen)
	}
	if c.HasKeyUsage && c.KeyUsage&pkix.KeyCertSign == 0 {
		return &fault{KeyUsageWrong, c.Subject.String() + " may not sign certificates"}
	}
	return nil
}

// policyState is what RFC 5280 6.1 keeps about policies, with the graph of RFC 9618 instead of the tree, whose size an attacker could choose.
type policyState struct {
	in       inputs
	work     *budget
	explicit int
	mapping  int
	any      int
	levels   []policyLevel // nil: the graph is NULL
}

// policyLevel holds the nodes of one depth by valid_policy.
type policyLevel map[pkix.OID]*policyNode

type policyNode struct {
	policy   pkix.OID
	expected []pkix.OID
	parents  []*policyNode
	children int
}

// maxPolicyNodes bounds the nodes of one level.
const maxPolicyNodes = 1024

func newPolicyState(in inputs, n int, work *budget) *policyState {
	from := func(set bool) int {
		if set {
			return 0
		}
		return n + 1
	}
	root := &policyNode{policy: pkix.OIDAnyPolicy, expected: []pkix.OID{pkix.OIDAnyPolicy}}
	return &policyState{
		in: in, work: work, explicit: from(in.explicit), mapping: from(in.inhibitMapping), any: from(in.inhibitAny),
		levels: append(make([]policyLevel, 0, n+1), policyLevel{pkix.OIDAnyPolicy: root}),
	}
}

// add is RFC 5280 6.1.3 (d) to (f) for certificate number depth, counted from the anchor.
func (s *policyState) add(c *pkix.Certificate, depth int, final, selfIssued bool) *fault {
	switch {
	case !c.HasPolicies:
		s.levels = nil
	case s.levels != nil:
		if f := s.level(c, final, selfIssued); f != nil {
			return f
		}
	}
	if s.explicit <= 0 && s.levels == nil {
		return &fault{PolicyWrong, fmt.Sprintf("no policy is left at certificate %d from the anchor", depth)}
	}
	return nil
}

func (s *policyState) level(c *pkix.Certificate, final, selfIssued bool) *fault {
	above := s.levels[len(s.levels)-1]
	next := make(policyLevel, len(c.Policies))
	hasAny := false
	byExpected := make(map[pkix.OID][]*policyNode, len(above))
	for _, node := range above {
		if !s.work.take(1 + len(node.expected)) {
			return s.work.fault()
		}
		for _, e := range node.expected {
			byExpected[e] = append(byExpected[e], node)
		}
	}
	if !s.work.take(len(c.Policies)) {
		return s.work.fault()
	}
	for _, p := range c.Policies {
		if p == pkix.OIDAnyPolicy {
			hasAny = true
			continue
		}
		parents := byExpected[p]
		if len(parents) == 0 && above[pkix.OIDAnyPolicy] != nil {
			parents = []*policyNode{above[pkix.OIDAnyPolicy]}
		}
		if len(parents) > 0 {
			next.add(p, parents)
		}
	}
	if hasAny && (s.any > 0 || !final && selfIssued) {
		for e, parents := range byExpected {
			if next[e] == nil {
				next.add(e, parents)
			}
		}
	}
	if len(next) > maxPolicyNodes {
		return &fault{WorkLimit, fmt.Sprintf("more than %d policies at one depth", maxPolicyNodes)}
	}
	s.levels = append(s.levels, next)
	s.prune()
	return nil
}

func (l policyLevel) add(p pkix.OID, parents []*policyNode) *policyNode {
	node := &policyNode{policy: p, expected: []pkix.OID{p}, parents: parents}
	for _, parent := range parents {
		parent.children++
	}
	l[p] = node
	return node
}

// drop removes a node of the last level.
func (l policyLevel) drop(p pkix.OID) {
	node := l[p]
	if node == nil {
		return
	}
	for _, parent := range node.parents {
		parent.children--
	}
	delete(l, p)
}

// prune removes nodes without children above the last level; an empty last level makes the graph NULL.
func (s *policyState) prune() {
	if len(s.levels[len(s.levels)-1]) == 0 {
		s.levels = nil
		return
	}
	for i := len(s.levels) - 2; i >= 0; i-- {
		for p, node := range s.levels[i] {
			if node.children == 0 {
				s.levels[i].drop(p)
			}
		}
	}
}

// prepare is RFC 5280 6.1.4 (a), (b), (h) to (j).
func (s *policyState) prepare(c *pkix.Certificate, depth int, selfIssued bool) *fault {
	for _, m := range c.Mappings {
		if m.Issuer == pkix.OIDAnyPolicy || m.Subject == pkix.OIDAnyPolicy {
			return &fault{PolicyWrong, fmt.Sprintf("a mapping of anyPolicy in certificate %d from the anchor", depth)}
		}
	}
	if s.levels != nil && len(c.Mappings) > 0 {
		s.mapPolicies(c.Mappings)
	}
	if !selfIssued {
		s.explicit, s.mapping, s.any = max(0, s.explicit-1), max(0, s.mapping-1), max(0, s.any-1)
	}
	if c.HasPolicyLimits {
		if c.RequireExplicit != pkix.Absent {
			s.explicit = min(s.explicit, c.RequireExplicit)
		}
		if c.InhibitMapping != pkix.Absent {
			s.mapping = min(s.mapping, c.InhibitMapping)
		}
	}
	if c.HasInhibitAny {
		s.any = min(s.any, c.InhibitAny)
	}
	return nil
}

func (s *policyState) mapPolicies(mappings []pkix.PolicyMapping) {
	last := s.levels[len(s.levels)-1]
	if s.mapping <= 0 {
		for _, m := range mappings {
			last.drop(m.Issuer)
		}
		s.prune()
		return
	}
	if !s.work.take(len(mappings)) {
		return // the search ends, and with it the verdict
	}
	mapped := make(map[pkix.OID]bool, len(mappings))
	for _, m := range mappings {
		node := last[m.Issuer]
		if node == nil {
			anyNode := last[pkix.OIDAnyPolicy]
			if anyNode == nil || len(last) >= maxPolicyNodes {
				continue
			}
			// A child of the anyPolicy node one level up, beside the anyPolicy node of this one.
			node = last.add(m.Issuer, anyNode.parents)
		}
		if !mapped[m.Issuer] {
			mapped[m.Issuer], node.expected = true, nil
		}
		node.expected = append(node.expected, m.Subject)
	}
}

// wrapUp is RFC 5280 6.1.5 (a), (b), (g), with the intersection of RFC 9618 5.6.
func (s *policyState) wrapUp(leaf *pkix.Certificate, n int) *fault {
	explicit := max(0, s.explicit-1)
	if leaf.HasPolicyLimits && leaf.RequireExplicit == 0 {
		explicit = 0
	}
	if explicit > 0 || s.levels != nil && s.in.policies == nil {
		return nil
	}
	if s.levels != nil {
		final := s.levels[len(s.levels)-1]
		if final[pkix.OIDAnyPolicy] != nil {
			return nil // any of the wanted policies is granted
		}
		for _, level := range s.levels {
			for _, node := range level {
				if node.policy != pkix.OIDAnyPolicy && fromAny(node) && contains(s.in.policies, node.policy) {
					return nil
				}
			}
		}
	}
	return &fault{PolicyWrong, fmt.Sprintf("none of the policies that are asked for holds for the chain of %d", n)}
}

// fromAny tells whether the policy is in the domain of the anchor: its parent is the anyPolicy of the level above.
func fromAny(n *policyNode) bool {
	for _, p := range n.parents {
		if p.policy == pkix.OIDAnyPolicy {
			return true
		}
	}
	return false
}

func contains(list []pkix.OID, o pkix.OID) bool {
	for _, x := range list {
		if x == o || x == pkix.OIDAnyPolicy {
			return true
		}
	}
	return false
}
