package identity

import "github.com/musubi-hub/musubi/policies"

// LoginID names a login request. It stands in addresses and is no secret: without the browser that began the request it opens nothing.
type LoginID string

// SessionID names a session in lists, in audit rows and as "sid" towards relying parties. It is no secret: the browser's cookie is.
type SessionID string

// MethodID names a way to prove who one is.
type MethodID string

// The methods.
const (
	MethodCard       MethodID = "card"        // マイナンバーカード
	MethodPassword   MethodID = "password"    // first step to link a card; alone it opens nothing
	MethodBreakGlass MethodID = "break_glass" // a sealed account
	MethodInvitation MethodID = "invitation"  // of an organization's first administrator: links their card
)

// IssuerID names a protocol in which relying parties are answered.
type IssuerID string

// The issuers.
const (
	IssuerOIDC IssuerID = "oidc"
	IssuerSAML IssuerID = "saml"
	IssuerHub  IssuerID = "hub" // the hub's own pages
)

// The values of amr (RFC 8176) that methods use.
const (
	AMRPassword    = "pwd"
	AMRSmartCard   = "sc"
	AMRPIN         = "pin"
	AMRHardwareKey = "hwk"
	AMRMultiFactor = "mfa"
)

// Login is a login that was decided: what an issuer tells a relying party. Times are UTC in microseconds.
type Login struct {
	Session      SessionID
	Person       policies.PersonID
	Org          policies.OrgID // of the post in which the person acts
	RelyingParty policies.RelyingPartyID
	Network      policies.Network
	Assurance    policies.Assurance
	AMR          []string // RFC 8176, sorted; what was really used
	AuthAt       int64    // when the person proved who they are: auth_time
	Release      []policies.Attribute
	PolicyHash   string // of the policy set that permitted it
}
