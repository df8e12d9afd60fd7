package samlsp

import "github.com/musubi-hub/musubi/connectors/sandbox/visitor"

// The names of SAML 2.0.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

	formatPersistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	formatEntity     = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

	bearer        = "urn:oasis:names:tc:SAML:2.0:cm:bearer" //nolint:gosec // the name of a method, no credential
	statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"
	confirmation  = "SubjectConfirmationData"
)

// The attributes that the products read, beside a NameID.
const (
	claimGivenName = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname"
	claimSurname   = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname"
	claimName      = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
	slackEmail     = "User.Email"
)

// Signing says whether a product signs its requests.
type Signing int

// The ways.
const (
	NeverSigns  Signing = iota
	SignsIfTold         // Settings.SignRequests
	AlwaysSigns
)

// Habits are what a product does by itself.
type Habits struct {
	// The paths, as the product has them. Consumer may have a query; "{id}" is the number that the product gave the connection. Logout and
	// Metadata are "" where the product has none.
	Consumer, Start, Logout, Metadata string
	EntityID                          string // "{base}" is the site's address
	Alternative                       string // another entity id that may be chosen, "" for none

	Post      bool // requests go by HTTP-POST, else by HTTP-Redirect
	Signs     Signing
	NameID    string // the format that is asked for, "" for none
	Context   bool   // Settings.Context may ask for a kind of login
	Either    bool   // one signature is enough, of the response or of the assertion; else Settings say which are needed
	Initiated bool   // a login may begin at the provider
	Obeys     bool   // a session ends when the provider says (SessionNotOnOrAfter)
	Forces    bool   // a new proof can be asked for (ForceAuthn)
	Required  []string
	Identify  func(a assertion) (subject, email string, no visitor.Reason)
	EmailKept bool // a person whose address at the provider isn't the account's any more is refused
}

// AtlassianStaff are the habits of Atlassian's login for managed accounts (Atlassian Guard): the NameID is the e-mail address, "name" an
// internal id that never changes. It has no single logout.
func AtlassianStaff() Habits {
	return Habits{
		Consumer: "/login/callback?connection=saml-{id}", Start: "/login", EntityID: "{base}/saml/{id}", Either: true, Initiated: true, EmailKept: true,
		Required: []string{claimGivenName, claimSurname, claimName},
		Identify: func(a assertion) (string, string, visitor.Reason) {
			if !address(a.name) {
				return "", "", NameIDNoEmail
			}
			return a.one(claimName), a.name, ""
		},
	}
}

// AtlassianCustomers are the habits of Jira Service Management's login for portal-only customers: the e-mail address is all that it knows of
// a person. It has no single logout.
func AtlassianCustomers() Habits {
	return Habits{
		Consumer: "/login/callback?connection=saml-{id}", Start: "/login", EntityID: "{base}/saml/{id}", Either: true,
		Identify: func(a assertion) (string, string, visitor.Reason) {
			if !address(a.name) {
				return "", "", NameIDNoEmail
			}
			return a.name, a.name, ""
		},
	}
}

// Slack are the habits of a Slack workspace: persistent NameID, the address in User.Email, requests by POST, and a kind of login that is asked
// for unless its administrator turns that off. It has no single logout and obeys no end of the session.
func Slack() Habits {
	return Habits{
		Consumer: "/sso/saml", Start: "/sso/saml/start", EntityID: "https://slack.com", Alternative: "{base}", Post: true, Signs: SignsIfTold, NameID: formatPersistent,
		Context: true, Initiated: true, Required: []string{slackEmail},
		Identify: func(a assertion) (string, string, visitor.Reason) { return a.name, a.one(slackEmail), "" },
	}
}

// Plain are the habits of a service provider that does what the standard describes: signed requests, metadata, single logout by the front
// channel. It stands in for no product.
func Plain() Habits {
	return Habits{
		Consumer: "/saml/acs", Start: "/saml/login", Logout: "/saml/slo", Metadata: "/saml/metadata", EntityID: "{base}/saml/metadata",
		Signs: AlwaysSigns, NameID: formatPersistent, Obeys: true, Forces: true,
		Identify: func(a assertion) (string, string, visitor.Reason) { return a.name, "", "" },
	}
}
