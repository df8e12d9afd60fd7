package cert

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// constraints are permitted_subtrees and excluded_subtrees of RFC 5280 6.1: of each kind of name, a name must lie within one subtree of every
// permitted list that has that kind, and within no excluded one.
type constraints struct {
	permitted [][]subtree
	excluded  []subtree
	work      *budget
}

// subtree is a constraint; of a directory name the prepared relative names, so that they are prepared once.
type subtree struct {
	pkix.GeneralName
	rdns []string
}

// preparedAtOnce is how many octets of a name count as one comparison's work when it is prepared.
const preparedAtOnce = 64

func prepared(list []pkix.GeneralName) []subtree {
	out := make([]subtree, len(list))
	for i, g := range list {
		out[i].GeneralName = g
		if g.Kind == pkix.DirectoryName {
			out[i].rdns = g.Name.CanonicalRDNs()
		}
	}
	return out
}

// add takes the constraints of an authority for what is below it (6.1.4 g).
func (s *constraints) add(c *pkix.Certificate) *fault {
	if c.Names == nil {
		return nil
	}
	for _, list := range [][]pkix.GeneralName{c.Names.Permitted, c.Names.Excluded} {
		for _, g := range list {
			if !s.work.take(1 + len(g.Name.Raw)/preparedAtOnce) {
				return s.work.fault()
			}
			if !wellFormed(g) {
				return &fault{NameNotPermitted, "a constraint of " + c.Subject.String() + " is malformed"}
			}
		}
	}
	if len(c.Names.Permitted) > 0 {
		s.permitted = append(s.permitted, prepared(c.Names.Permitted))
	}
	s.excluded = append(s.excluded, prepared(c.Names.Excluded)...)
	return nil
}

func wellFormed(g pkix.GeneralName) bool {
	if g.Kind != pkix.IPAddress {
		return true
	}
	if len(g.Value) != 8 && len(g.Value) != 32 {
		return false
	}
	ones := true
	for _, b := range g.Value[len(g.Value)/2:] {
		for bit := 7; bit >= 0; bit-- {
			set := b>>bit&1 == 1
			if set && !ones {
				return false
			}
			ones = set
		}
	}
	return true
}

// check holds the names of a certificate against the constraints (6.1.3 b, c).
func (s *constraints) check(c *pkix.Certificate) *fault {
	if len(s.permitted) == 0 && len(s.excluded) == 0 {
		return nil
	}
	if !c.Subject.IsEmpty() {
		if f := s.name(pkix.GeneralName{Kind: pkix.DirectoryName, Name: c.Subject}); f != nil {
			return f
		}
	}
	for _, mail := range c.Subject.Emails() {
		if f := s.name(pkix.GeneralName{Kind: pkix.RFC822Name, Value: mail}); f != nil {
			return f
		}
	}
	for _, g := range c.SubjectAltNames {
		if f := s.name(g); f != nil {
			return f
		}
	}
	return nil
}

func (s *constraints) name(name pkix.GeneralName) *fault {
	if !s.work.take(1 + len(name.Name.Raw)/preparedAtOnce) {
		return s.work.fault()
	}
	g := prepared([]pkix.GeneralName{name})[0]
	for _, list := range s.permitted {
		if !s.work.take(len(list)) {
			return s.work.fault()
		}
		constrained, inside := false, false
		for _, tree := range list {
			if tree.Kind != g.Kind {
				continue
			}
			constrained = true
			if match(g, tree, false) {
				inside = true
				break
			}
		}
		if constrained && !inside {
			return &fault{NameNotPermitted, "a name of kind " + g.Kind.String() + " is in no permitted subtree"}
		}
	}
	if !s.work.take(len(s.excluded)) {
		return s.work.fault()
	}
	for _, tree := range s.excluded {
		if tree.Kind == g.Kind && match(g, tree, true) {
			return &fault{NameNotPermitted, "a name of kind " + g.Kind.String() + " is in an excluded subtree"}
		}
	}
	return nil
}

// match tells whether a name lies within a subtree of its kind. For what can't be told (a malformed name, a kind without rules here) the answer is
// the one that refuses: inside an excluded subtree, outside a permitted one.
func match(g, tree subtree, excluded bool) bool {
	value, base := string(g.Value), string(tree.Value)
	switch g.Kind {
	case pkix.DirectoryName:
		return len(g.rdns) >= len(tree.rdns) && slices.Equal(g.rdns[:len(tree.rdns)], tree.rdns)
	case pkix.DNSName:
		if !hostname(strings.TrimPrefix(value, "*.")) {
			return excluded
		}
		if rest, wild := strings.CutPrefix(value, "*."); wild && excluded && below(base, rest) {
			return true // the wildcard stands for a name that is excluded
		}
		return base == "" || strings.EqualFold(value, base) || below(value, base)
	case pkix.RFC822Name:
		at := strings.LastIndexByte(value, '@')
		if at <= 0 || !hostname(value[at+1:]) {
			return excluded
		}
		if i := strings.LastIndexByte(base, '@'); i >= 0 {
			return value[:at] == base[:i] && strings.EqualFold(value[at+1:], base[i+1:])
		}
		return matchHost(value[at+1:], base)
	case pkix.URI:
		host, ok := uriHost(value)
		if !ok {
			return excluded
		}
		return matchHost(host, base)
	case pkix.IPAddress:
		half := len(tree.Value) / 2
		if len(g.Value) != half {
			return len(g.Value) != 4 && len(g.Value) != 16 && excluded
		}
		masked := make([]byte, half)
		net := make([]byte, half)
		for i := range masked {
			masked[i] = g.Value[i] & tree.Value[half+i]
			net[i] = tree.Value[i] & tree.Value[half+i]
		}
		return bytes.Equal(masked, net)
	default:
		return excluded
	}
}

// matchHost is the rule for hosts of mailboxes and URIs: a leading dot means hosts below, else exactly that host (RFC 5280, 4.2.1.10).
func matchHost(host, base string) bool {
	if base == "" {
		return true
	}
	if strings.HasPrefix(base, ".") {
		return below(host, base)
	}
	return strings.EqualFold(host, base)
}

// below tells whether host has at least one label more than base, which may begin with a dot.
func below(host, base string) bool {
	base = strings.TrimPrefix(base, ".")
	i := len(host) - len(base)
	return i > 1 && host[i-1] == '.' && strings.EqualFold(host[i:], base)
}

// hostname tells whether s is a host name as certificates write it: labels of letters, digits, hyphens (and underscores, which some have).
func hostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

// uriHost is the host of a URI, which must be a name: constraints say nothing about addresses (RFC 5280, 4.2.1.10).
func uriHost(s string) (string, bool) {
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if strings.HasPrefix(rest, "[") {
		return "", false
	}
	host, port, found := strings.Cut(rest, ":")
	if found && strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", false
	}
	return host, hostname(host)
}

// covers tells whether a certificate's name for a host is that host: exactly, or by a wildcard for its whole first label (RFC 6125, 6.4.3).
func covers(name, host string) bool {
	if strings.EqualFold(name, host) {
		return hostname(host)
	}
	rest, wild := strings.CutPrefix(name, "*.")
	if !wild || !strings.Contains(rest, ".") || !hostname(rest) {
		return false
	}
	_, parent, found := strings.Cut(host, ".")
	return found && hostname(host) && strings.EqualFold(parent, rest)
}
