package sandbox

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// Staff names Jira as managed Atlassian accounts enter it.
const Staff = "staff"

// SAMLOptions make a product's people log in by SAML 2.0, on a host of its own, as the vendor does it.
type SAMLOptions struct {
	// BaseURL is the site as a browser sees it, https without a path, such as "https://slack.localhost:8444".
	BaseURL string
	// Key (RSA) and Certificate (DER) sign the product's requests; nil: it can't, and a plain site must.
	Key         crypto.Signer
	Certificate []byte
	Settings    *SAMLSettings // what is typed in at the start; nil: nothing yet
	Random      io.Reader     // required, such as crypto/rand.Reader
}

// PlainOptions make a site that stands in for no product and keeps no accounts: whoever its provider lets in is in. Of Login and SAML one is given.
type PlainOptions struct {
	Name  string    // of its paths and cookies: lower-case letters
	Title [2]string // Japanese, English
	Login *LoginOptions
	SAML  *SAMLOptions
}

// appSAML names what was typed in, in the journal.
const appSAML = "saml"

// SAML gives what a site tells its administrator to register at the provider. The sites are jira, slack, staff and those of Options.Plain.
func (s *Sandbox) SAML(name string) (SAMLDescription, error) {
	x, err := s.samlSite(name)
	if err != nil {
		return SAMLDescription{}, err
	}
	return x.saml.Describe(), nil
}

// SAMLMetadata gives the metadata of a site that has some.
func (s *Sandbox) SAMLMetadata(name string) ([]byte, error) {
	x, err := s.samlSite(name)
	if err != nil {
		return nil, err
	}
	return x.saml.Metadata()
}

// ConfigureSAML types settings in at a site. They are kept with the state. ErrSAMLSettings: the product doesn't take them.
func (s *Sandbox) ConfigureSAML(name string, settings SAMLSettings) error {
	x, err := s.samlSite(name)
	if err != nil {
		return err
	}
	if err := x.saml.Configure(settings); err != nil {
		return fmt.Errorf("sandbox: %s: %w", name, err)
	}
	change, err := x.samlChange()
	if err == nil {
		err = s.journal.Append(appSAML, []site.Change{change})
	}
	return err
}

func (s *Sandbox) samlSite(name string) (*customerSite, error) {
	var there []string
	for _, x := range s.sites {
		if x.saml == nil {
			continue
		}
		if x.id == name {
			return x, nil
		}
		there = append(there, x.id)
	}
	if len(there) == 0 {
		return nil, errors.New("sandbox: no site logs in by SAML")
	}
	return nil, fmt.Errorf("sandbox: there is no site %q that logs in by SAML; there are %s", name, strings.Join(there, ", "))
}

// typed is the journal's record of what was typed in at a site.
type typed struct {
	Site     string       `json:"site"`
	Settings SAMLSettings `json:"settings"`
}

func (x *customerSite) samlChange() (site.Change, error) {
	settings, _ := x.saml.Settings()
	return site.NewChange("settings", typed{x.id, settings})
}

// applySAML replays what was typed in. A site that isn't there any more, or takes it no longer, goes without.
func (s *Sandbox) applySAML(c site.Change) error {
	var t typed
	if err := json.Unmarshal(c.Data, &t); err != nil {
		return fmt.Errorf("sandbox: saml settings: %w", err)
	}
	x, err := s.samlSite(t.Site)
	if err == nil {
		err = x.saml.Restore(t.Settings)
	}
	if err != nil {
		s.logger.Warn("what was typed in for SAML isn't taken any more", "site", t.Site, "error", err)
	}
	return nil
}

func (s *Sandbox) snapshotSAML(emit func(app string, changes []site.Change) error) error {
	for _, x := range s.sites {
		if x.saml == nil {
			continue
		}
		if _, ok := x.saml.Settings(); !ok {
			continue
		}
		change, err := x.samlChange()
		if err == nil {
			err = emit(appSAML, []site.Change{change})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// portalCustomers are the accounts that log in to Jira's portal by SAML.
type portalCustomers struct{ service *jira.Service }

// Admit implements visitor.Accounts.
func (c portalCustomers) Admit(_, _, email string) (string, error) {
	return c.service.AdmitCustomer(email)
}

// Active implements visitor.Accounts.
func (c portalCustomers) Active(account string) bool { return c.service.Active(account) }

// managedAccounts are the licensed accounts of an Atlassian organization.
type managedAccounts struct{ service *jira.Service }

// Admit implements visitor.Accounts.
func (m managedAccounts) Admit(issuer, subject, email string) (string, error) {
	return m.service.AdmitStaff(issuer, subject, email)
}

// Active implements visitor.Accounts.
func (m managedAccounts) Active(account string) bool { return m.service.Active(account) }

// Email gives an account's address.
func (m managedAccounts) Email(account string) string { return m.service.Email(account) }

// anybody is the accounts of a site that keeps none: a person is what the provider calls them.
type anybody struct{}

// Admit implements visitor.Accounts.
func (anybody) Admit(_, subject, _ string) (string, error) { return subject, nil }

// Active implements visitor.Accounts.
func (anybody) Active(string) bool { return true }

var plainName = regexp.MustCompile(`^[a-z]{2,20}$`)

// openPlain makes a site that stands in for no product.
func (s *Sandbox) openPlain(opt PlainOptions) error {
	_, taken := s.product(opt.Name)
	for _, x := range s.sites {
		taken = taken || x.id == opt.Name
	}
	if !plainName.MatchString(opt.Name) || opt.Name == Staff || taken || opt.Title[0] == "" || (opt.Login == nil) == (opt.SAML == nil) {
		return fmt.Errorf("a plain site %q needs a name of its own in lower-case letters, a title, and either Login or SAML", opt.Name)
	}
	x := &customerSite{
		s: s, id: opt.Name, home: "/" + opt.Name + "/me", brand: opt.Title,
		name: func(x visitor.Session) string {
			for _, f := range x.Facts {
				// OpenID's, SAML's, and displayName of LDAP, as SAML names it (X.500/LDAP Attribute Profile).
				if (f.Name == "name" || f.Name == "displayName" || f.Name == "urn:oid:2.16.840.1.113730.3.1.241") && len(f.Values) == 1 {
					return f.Values[0]
				}
			}
			return x.Account
		},
		page: func(v *visit, _ string) { v.missing() },
	}
	return errors.Join(x.byOpenID(opt.Login, anybody{}), x.bySAML(opt.SAML, samlsp.Plain(), anybody{}))
}
