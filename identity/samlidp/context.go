package samlidp

import (
	"slices"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// The classes of authentication context that are known beside our own levels (SAML 2.0 Authentication Context, section 3.4; REFEDS MFA).
const (
	classUnspecified = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
	classSmartcard   = "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI" // a certificate on a smart card, its key unlocked by a PIN
	classPassword    = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"     //nolint:gosec // the name of a class, no password
	classTransport   = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	classMFA         = "https://refeds.org/profile/mfa"
)

// class is what a context class means here.
type class struct {
	strength policies.Assurance // to compare by
	honest   bool               // a login of that strength really is of this class
}

// classOf knows a class. Passwords open no provider, so a login never is of their classes; but everything else is stronger than they are.
func classOf(uri string) (class, bool) {
	switch uri {
	case classUnspecified:
		return class{policies.AssuranceNone, true}, true
	case classPassword, classTransport:
		return class{policies.AssuranceSingle, false}, true
	case classMFA:
		return class{policies.AssuranceTwo, true}, true
	case classSmartcard:
		return class{policies.AssuranceCard, true}, true
	}
	a, ok := policies.AssuranceOf(uri)
	return class{a, ok}, ok
}

// wish is what a request asks about the kind of login.
type wish struct {
	least  policies.Assurance
	exact  []string // one of these is to be told, in order of preference; nil for whatever the login was
	reason string   // it can't be had
}

// maxClasses bounds the classes of a request.
const maxClasses = 20

// wishOf reads RequestedAuthnContext (SAML 2.0 Core, section 3.3.2.2.1).
func wishOf(el *etree.Element) wish {
	var uris []string
	for _, c := range el.ChildElements() {
		if !wire.Is(c, wire.NSAssertion, "AuthnContextClassRef") || len(uris) == maxClasses {
			return wish{reason: "context_unsupported"} // declarations aren't served
		}
		uris = append(uris, wire.Text(c))
	}
	if len(uris) == 0 {
		return wish{reason: "context_malformed"}
	}
	comparison, given := wire.Lookup(el, "Comparison")
	if !given {
		comparison = "exact"
	}
	var known []class
	var reachable []string // classes that a login here can be of
	for _, u := range uris {
		if c, ok := classOf(u); ok {
			known = append(known, c)
			if c.honest {
				reachable = append(reachable, u)
			}
		}
	}
	weaker := func(a, b class) int { return int(a.strength) - int(b.strength) }
	switch {
	case len(known) == 0:
		return wish{reason: "context_unknown"}
	case comparison == "exact" && len(reachable) == 0:
		return wish{reason: "context_unreachable"} // a password, and nothing else will do
	case comparison == "exact":
		w := wish{least: policies.AssuranceCard, exact: reachable}
		for _, u := range reachable {
			c, _ := classOf(u)
			w.least = min(w.least, c.strength)
		}
		return w
	case comparison == "minimum":
		return wish{least: slices.MinFunc(known, weaker).strength}
	case comparison == "better": // than each of them
		if most := slices.MaxFunc(known, weaker).strength; most < policies.AssuranceCard {
			return wish{least: most + 1}
		}
		return wish{reason: "context_unreachable"}
	case comparison == "maximum": // as strong as can be, and not stronger than one of them
		if slices.MaxFunc(known, weaker).strength == policies.AssuranceCard {
			return wish{}
		}
		return wish{reason: "context_unreachable"}
	}
	return wish{reason: "context_malformed"}
}

// tell gives the class that is told of a login: of those asked for the first that it really is of, else what describes it best. ok is false
// where none of those asked for is true.
func tell(exact []string, reached policies.Assurance) (uri string, ok bool) {
	for _, u := range exact {
		if c, known := classOf(u); known && c.honest && reached >= c.strength {
			return u, true
		}
	}
	switch {
	case exact != nil:
		return "", false
	case reached == policies.AssuranceCard:
		return classSmartcard, true
	case reached.ACR() != "":
		return reached.ACR(), true
	}
	return classUnspecified, true
}
