package samlidp

import (
	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// early is by how much an assertion may come before its time: providers' clocks may be behind.
const early = 60_000_000 // microseconds

// statement is what is said to a provider about a login.
type statement struct {
	issuer  string
	facts   facts
	rp      sp.SP
	login   identity.Login
	at      int64
	context string // class of the authentication context
	name    string // of the person
	index   string // of the session
	values  []value
	grant   string
	key     string // that signs it
	until   int64  // the provider's session ends then at the latest
}

// value is an attribute with its value.
type value struct {
	sp.Attribute
	text string
}

// assertion writes it (SAML 2.0 Core, section 2.3.3; Profiles, section 4.1.4.2). It says nothing of the browser's address: that of a proxy would
// be wrong, and the person's own is nobody's business.
func (s statement) assertion(id string) *etree.Element {
	el := etree.NewElement("saml:Assertion")
	el.CreateAttr("xmlns:saml", wire.NSAssertion)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", instant(s.at))
	el.CreateElement("saml:Issuer").SetText(s.issuer)

	end := instant(s.at + assertionLife.Microseconds())
	subject := el.CreateElement("saml:Subject")
	name := subject.CreateElement("saml:NameID")
	name.CreateAttr("Format", string(s.facts.NameID))
	if s.facts.NameID != sp.NameIDEmail {
		name.CreateAttr("NameQualifier", s.issuer)
		name.CreateAttr("SPNameQualifier", s.rp.EntityID)
	}
	name.SetText(s.name)
	confirmation := subject.CreateElement("saml:SubjectConfirmation")
	confirmation.CreateAttr("Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	data := confirmation.CreateElement("saml:SubjectConfirmationData")
	if s.facts.Request != "" {
		data.CreateAttr("InResponseTo", s.facts.Request)
	}
	data.CreateAttr("NotOnOrAfter", end)
	data.CreateAttr("Recipient", s.facts.Consumer)

	conditions := el.CreateElement("saml:Conditions")
	conditions.CreateAttr("NotBefore", instant(s.at-early))
	conditions.CreateAttr("NotOnOrAfter", end)
	conditions.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText(s.rp.EntityID)

	authn := el.CreateElement("saml:AuthnStatement")
	authn.CreateAttr("AuthnInstant", instant(s.login.AuthAt))
	authn.CreateAttr("SessionIndex", s.index)
	authn.CreateAttr("SessionNotOnOrAfter", instant(s.until))
	authn.CreateElement("saml:AuthnContext").CreateElement("saml:AuthnContextClassRef").SetText(s.context)

	if len(s.values) > 0 {
		all := el.CreateElement("saml:AttributeStatement")
		for _, v := range s.values {
			v.write(all)
		}
	}
	return el
}

// write has no xsi:type: its value would name a prefix that exclusive canonical XML takes away, and text is text.
func (v value) write(to *etree.Element) {
	el := to.CreateElement("saml:Attribute")
	el.CreateAttr("Name", v.Name)
	if v.Format != "" {
		el.CreateAttr("NameFormat", v.Format)
	}
	if v.Friendly != "" {
		el.CreateAttr("FriendlyName", v.Friendly)
	}
	el.CreateElement("saml:AttributeValue").SetText(v.text)
}

// valueOf gives a field's value where policy released it; empty elsewhere.
func valueOf(f sp.Field, release []policies.Attribute, person identity.Person, org identity.Organization) string {
	needed, known := f.Released()
	for _, a := range release {
		if known && a == needed {
			return rawValue(f, person, org)
		}
	}
	return ""
}

// attributesOf gives what the provider is registered for and policy released, and the persistent name where it wants that as an attribute. What is
// empty is left out.
func attributesOf(wanted []sp.Attribute, release []policies.Attribute, person identity.Person, org identity.Organization, subject string) (out []value) {
	for _, a := range wanted {
		text := subject
		if a.Field != sp.FieldSubject {
			text = valueOf(a.Field, release, person, org)
		}
		if text != "" {
			out = append(out, value{a, text})
		}
	}
	return out
}

// rawValue reads a field. Section, title and role are those of the main post: in another post the directory's main record doesn't say them.
func rawValue(f sp.Field, person identity.Person, org identity.Organization) string {
	main := map[sp.Field]string{}
	if person.Org == org.ID {
		main = map[sp.Field]string{sp.FieldSection: person.Section, sp.FieldTitle: person.Title, sp.FieldRole: string(person.Role)}
	}
	switch f {
	case sp.FieldDisplayName:
		return person.DisplayName()
	case sp.FieldFamilyName:
		return person.FamilyName
	case sp.FieldGivenName:
		return person.GivenName
	case sp.FieldFamilyKana:
		return person.FamilyKana
	case sp.FieldGivenKana:
		return person.GivenKana
	case sp.FieldFamilyRomaji:
		return person.FamilyRomaji
	case sp.FieldGivenRomaji:
		return person.GivenRomaji
	case sp.FieldEmail:
		return person.Email
	case sp.FieldPhone:
		return person.Phone
	case sp.FieldExtension:
		return person.Extension
	case sp.FieldOrg:
		return string(org.ID)
	case sp.FieldOrgName:
		return org.Name
	case sp.FieldOrgKind:
		return string(org.Kind)
	}
	return main[f]
}
