package sp

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/policies"
)

// The bounds of a provider.
const (
	maxConsumers  = 50
	maxLogout     = 10
	maxAddress    = 512
	maxEntity     = 1024 // SAML 2.0 Core, section 8.3.6
	maxKeys       = 10
	maxDER        = 8 << 10
	maxName       = 200
	maxAttributes = 50
	maxMethods    = 20
	maxBeyond     = 20
	maxIndex      = 65535
	maxMail       = 254 // RFC 5321, section 4.5.3.1.3, without the brackets
)

// hubID names the hub's own pages among the relying parties (party.HubID).
const hubID policies.RelyingPartyID = "musubi"

var (
	idForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	ownerForm  = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)
	sectorForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,99}$`)
)

// faults collects what is wrong.
type faults []error

func (f *faults) add(bad bool, format string, args ...any) {
	if bad {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// Check says everything that is wrong with a provider, each with the field; nil for nothing.
func (p SP) Check() error {
	var f faults
	f.add(!idForm.MatchString(string(p.ID)), "id: want 1 to 64 of a-z, 0-9, \".\", \"_\", \"-\", beginning with a letter or digit")
	f.add(p.ID == hubID, "id: %q is the hub's own pages and can't be registered", hubID)
	f.add(!words(p.Name, maxName), "name: want 1 to %d bytes without control characters", maxName)
	f.add(!entity(p.EntityID), "entity_id: want an absolute URI of at most %d bytes, without white space", maxEntity)
	f.add(!sectorForm.MatchString(p.Sector), "sector: want a host name or a name of a-z, 0-9, \".\", \"-\"; providers of one sector see the same persistent name")
	f.add(!slices.Contains(NameIDs(), p.NameID), "name_id: there is no format %q; there are %v", p.NameID, NameIDs())
	f.add(p.Sign != SignBoth && p.Sign != SignResponse && p.Sign != SignAssertion, "sign: %q isn't both, response or assertion", p.Sign)
	f.add(p.Encrypt && p.Sign == SignAssertion, "sign: an encrypted assertion needs a signed response, so that nobody tries changes of what is encrypted")
	f.add(!slices.Contains(policies.Assurances(), p.Least), "least: %d is no level of assurance", p.Least)
	f.add(len(p.Faces) == 0, "faces: a provider is reached in at least one network")
	for _, x := range p.Functions {
		f.add(!slices.Contains(policies.Functions(), x), "functions: there is no function %q; there are %v", x, policies.Functions())
	}
	for _, x := range p.Products {
		f.add(!slices.Contains(policies.Products(), x), "products: there is no product %q; there are %v", x, policies.Products())
	}
	f.add(p.Owner != "" && !ownerForm.MatchString(string(p.Owner)), "owner: %q isn't the number of an organization", p.Owner)
	f.add(p.Contact.Name != "" && !words(p.Contact.Name, maxName), "contact: name: want at most %d bytes without control characters", maxName)
	f.add(p.Contact.Mail != "" && !mailbox(p.Contact.Mail), "contact: mail: %q isn't one e-mail address like name@example.lg.jp", p.Contact.Mail)
	f.add(p.Vendor != "" && !idForm.MatchString(p.Vendor), "vendor: %q isn't the name of a profile", p.Vendor)
	f.add(p.Intake != "" && !slices.Contains(Intakes(), p.Intake), "intake: %q isn't one of %v", p.Intake, Intakes())
	f.add(len(p.Beyond) > maxBeyond, "beyond: at most %d origins", maxBeyond)
	for _, x := range p.Beyond {
		err := origin(x)
		f.add(err != nil, "beyond: %w", err)
	}
	p.checkKeys(&f)
	p.checkAttributes(&f)
	seen := map[policies.Network]bool{}
	for _, face := range p.Faces {
		f.add(!slices.Contains(policies.Networks(), face.Network), "faces: there is no network %q", face.Network)
		f.add(seen[face.Network], "faces: the network %s stands there twice", face.Network)
		seen[face.Network] = true
		face.check(&f)
	}
	return errors.Join(f...)
}

func (p SP) checkKeys(f *faults) {
	f.add(len(p.Signing) > maxKeys || len(p.Encryption) > maxKeys, "signing, encryption: at most %d certificates each", maxKeys)
	f.add(p.Signed && len(p.Signing) == 0, "signing: requests have to be signed, and there is no certificate to check them by")
	f.add(p.Encrypt && len(p.Encryption) == 0, "encryption: assertions are encrypted, and there is no certificate to encrypt for")
	one := func(what string, der []byte) {
		if len(der) > maxDER {
			f.add(true, "%s: a certificate has %d bytes; at most %d", what, len(der), maxDER)
			return
		}
		_, err := certificate(der)
		f.add(err != nil, "%s: %w", what, err)
	}
	for _, der := range p.Signing {
		one("signing", der)
	}
	for _, e := range p.Encryption {
		one("encryption", e.Certificate)
		f.add(len(e.Methods) > maxMethods, "encryption: at most %d methods", maxMethods)
		for _, m := range e.Methods {
			f.add(!words(m, maxAddress), "encryption: a method isn't the name of an algorithm")
		}
	}
}

func (p SP) checkAttributes(f *faults) {
	f.add(len(p.Attributes) > maxAttributes, "attributes: at most %d", maxAttributes)
	names := map[string]bool{}
	for _, a := range p.Attributes {
		_, ok := a.Field.Released()
		f.add(!ok, "attributes: there is no field %q", a.Field)
		f.add(!words(a.Name, maxAddress), "attributes: %s: want a name of 1 to %d bytes", a.Field, maxAddress)
		f.add(names[a.Name], "attributes: the name %q stands there twice", a.Name)
		f.add(a.Format != "" && !words(a.Format, maxAddress), "attributes: %s: the format isn't a URI", a.Field)
		f.add(a.Friendly != "" && !words(a.Friendly, maxName), "attributes: %s: the friendly name has control characters or more than %d bytes", a.Field, maxName)
		names[a.Name] = true
	}
}

func (f Face) check(wrong *faults) {
	wrong.add(len(f.Consumers) == 0, "%s, consumers: want at least one assertion consumer service", f.Network)
	wrong.add(len(f.Consumers) > maxConsumers || len(f.Logout) > maxLogout, "%s: at most %d consumers and %d logout services", f.Network, maxConsumers, maxLogout)
	defaults, indices, locations := 0, map[int]bool{}, map[string]bool{}
	for _, c := range f.Consumers {
		err := Address(c.Location)
		wrong.add(err != nil, "%s, consumers: %w", f.Network, err)
		wrong.add(indices[c.Index], "%s, consumers: the index %d stands there twice", f.Network, c.Index)
		wrong.add(locations[c.Location], "%s, consumers: %q stands there twice", f.Network, c.Location)
		wrong.add(c.Index < 0 || c.Index > maxIndex, "%s, consumers: an index is 0 to %d", f.Network, maxIndex)
		if indices[c.Index], locations[c.Location] = true, true; c.Default {
			defaults++
		}
	}
	wrong.add(defaults > 1, "%s, consumers: more than one is the default", f.Network)
	for _, e := range f.Logout {
		wrong.add(e.Binding != BindingRedirect && e.Binding != BindingPOST && e.Binding != BindingSOAP, "%s, logout: the binding %q isn't served", f.Network, e.Binding)
		err := Address(e.Location)
		wrong.add(err != nil, "%s, logout: %w", f.Network, err)
		if e.Response != "" {
			err := Address(e.Response)
			wrong.add(err != nil, "%s, logout: %w", f.Network, err)
		}
	}
}

func words(text string, most int) bool {
	return text != "" && len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// mailbox reports whether a text is one bare address of ASCII, which a letter can be sent to as it stands.
func mailbox(text string) bool {
	if len(text) > maxMail || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"<>(),;:\`, r) }) {
		return false
	}
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && a.Name == ""
}

func entity(id string) bool {
	if !words(id, maxEntity) || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`\"<>^{}|`+"`", r) }) {
		return false
	}
	u, err := url.Parse(id)
	return err == nil && u.IsAbs()
}

// origin judges an origin: https://HOST or https://HOST:PORT, exactly. It is said in a Content-Security-Policy, which has wildcards; here there are none.
func origin(text string) error {
	if err := Address(text); err != nil {
		return err
	}
	if u, err := url.Parse(text); err != nil || text != "https://"+u.Host || strings.ContainsAny(text, ";,'") {
		return fmt.Errorf("%q: want https://HOST, without a path", text)
	}
	return nil
}

// Address judges an address of a provider: https, in a form that no two programs read differently. javascript: and its like
// (CVE-2023-45683) fall out here, at the registration, and aren't looked for at the login.
func Address(text string) error {
	if len(text) > maxAddress {
		return fmt.Errorf("an address of %d bytes; at most %d", len(text), maxAddress)
	}
	for _, r := range text {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`\"<>^{}|*`+"`", r) {
			return fmt.Errorf("%q: the character %q isn't allowed; percent-encode it; there are no wildcards", text, r)
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q: not an address", text)
	case u.Scheme != "https" || !strings.HasPrefix(text, "https://") || u.Opaque != "" || u.Hostname() == "" || u.User != nil:
		return fmt.Errorf("%q: want https://HOST/PATH, without a user", text)
	case strings.Contains(text, "#"):
		return fmt.Errorf("%q: a fragment isn't allowed", text)
	case u.Hostname() != strings.ToLower(u.Hostname()) || strings.HasSuffix(u.Hostname(), ".") || strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("%q: write the host in small letters, without a dot or a colon at its end", text)
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return fmt.Errorf("%q: . and .. as parts of the path aren't allowed", text)
	}
	return nil
}
