// Package party is the registry of OpenID Connect relying parties: what each may ask for, where it is answered, and how it proves who it is.
//
// It owns the table oidc_party. A party is checked as a whole before it is stored (Party.Check) and again by "rp check"; redirect URIs are
// kept per network and compared octet by octet, but for the port of a native application's loopback address (RFC 8252, section 7.3).
// Secrets are drawn here and stored as SHA-256 alone. Every change is audited in its transaction.
//
// It serves nothing and has no clock. Called by identity/oidcop and by cmd ("musubi rp").
package party
