package party

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// checkResources judges what a party may call and what it is.
func (f Face) checkResources() (faults []error) {
	add := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s, "+format, append([]any{f.Network}, args...)...))
	}
	if len(f.Resources) > maxURIs || len(f.Serves) > maxURIs {
		add("resources: at most %d of a kind", maxURIs)
	}
	seen := map[string]bool{}
	for _, r := range f.Resources {
		if err := checkResourceURI(r.URI); err != nil {
			add("resources: %w", err)
		}
		if seen[r.URI] {
			add("resources: %q stands there twice", r.URI)
		}
		seen[r.URI] = true
		if len(strings.Join(r.Scopes, " ")) > maxScopes {
			add("resources: the scopes of %q have more than %d bytes", r.URI, maxScopes)
		}
		for i, s := range r.Scopes {
			switch {
			case !scopeForm.MatchString(s):
				add("resources: %q is no scope: 1 to 100 ASCII characters without space, quote, backslash and @ (RFC 6749, section 3.3)", s)
			case s == "offline_access" || slices.Contains(Scopes(), s):
				add("resources: the scope %q is about people who log in; a program that acts in its own name has no use for it", s)
			case slices.Contains(r.Scopes[:i], s):
				add("resources: the scope %q of %q stands there twice", s, r.URI)
			}
		}
	}
	served := map[string]bool{}
	for _, uri := range f.Serves {
		if err := checkResourceURI(uri); err != nil {
			add("serves: %w", err)
		}
		if served[uri] {
			add("serves: %q stands there twice", uri)
		}
		served[uri] = true
	}
	return faults
}

// checkResourceURI holds RFC 8707, section 2: an absolute URI without a fragment, and here without a query. It names, and is never called.
func checkResourceURI(text string) error {
	if len(text) > maxURI {
		return fmt.Errorf("a resource of %d bytes; at most %d", len(text), maxURI)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\\\"<>^{}|*`@", r) }):
		return fmt.Errorf("%q: not a URI, or with characters that aren't allowed here", text)
	case strings.ContainsAny(text, "?#"):
		return fmt.Errorf("%q: a resource has neither query nor fragment (RFC 8707, section 2)", text)
	case u.Scheme == "urn" && u.Opaque != "" && !strings.HasPrefix(text, "URN:"):
		return nil
	case u.Scheme != "https" || u.Host == "" || u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Hostname(), ".") || !strings.HasPrefix(text, "https://"):
		return fmt.Errorf("%q: want https://HOST/PATH with the host in small letters, or urn:NAME", text)
	}
	return nil
}
