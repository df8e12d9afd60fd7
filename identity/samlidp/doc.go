// Package samlidp is the SAML 2.0 identity provider: it answers service providers by the web browser SSO profile.
//
// It owns the tables saml_* but for the registry's (package sp): requests that were taken, grants, certificates. A request is checked once, on
// arrival: its signature over the very octets that were sent, its address, age, and where it may be answered; what is kept of it are facts in
// the login's request. XML is read and written by package wire alone. One entity per network.
//
// Assertions tell the truth about the login, name people pairwise where the provider takes that, and hold what policy released. Why nothing of
// crewjam/saml is in it is in docs/adr/0018; what stands and what doesn't is in docs/saml.md.
//
// It logs nobody in (identity/login does, through Options.Start and login.Issuer), renders no page, and has no clock. Called by cmd.
package samlidp
