// Package relying makes a site of the sandbox an OpenID relying party: OpenID Connect Core 1.0 by the code flow with PKCE (RFC 7636) and
// the issuer in the response (RFC 9207), RP-initiated, back-channel and front-channel logout. It does what an honest relying party does
// and refuses what that one refuses: of a response, a token or a logout that isn't exactly the one that was asked for nothing is used.
//
// It keeps logins under way and sessions in memory, and asks the site (Accounts) at each request whether the account may still be used.
// It never decides who may come in: that is the provider's answer and the site's own list of accounts. It writes no page: the site does
// (Pages). It reaches the provider through the caller's http.RoundTripper alone. Called by package sandbox.
package relying
