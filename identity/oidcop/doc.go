// Package oidcop is the OpenID provider: it answers relying parties by OpenID Connect.
//
// It owns the tables oidc_* but for the registry's (package party): pushed requests, grants, codes, tokens, replayed assertions, logouts. A
// grant is what one login gave one relying party; its code and tokens are stored hashed, and all end with it: by reuse of a code or refresh
// token, by revocation, by the end of the session (Provider is a session.Hook). Each use of a token asks Standing again, so that a leaver's
// tokens are inactive at the next call.
//
// Code flow with PKCE S256 alone; nothing else can be switched on. One issuer per network, named in every answer (RFC 9207). It takes from
// zitadel/oidc the documents and names of the protocol, from go-jose the signatures; why it serves the end points itself is in
// docs/adr/0017. What stands and what doesn't is in docs/openid.md.
//
// It logs nobody in (identity/login does, through Options.Start and login.Issuer), renders no page, and has no clock. Called by cmd.
package oidcop
