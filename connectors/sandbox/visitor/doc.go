// Package visitor keeps who is logged in to a site of the sandbox: sessions in memory, their cookies, the mark in each of the site's own forms,
// and why somebody isn't let in. How a person proves who they are is the business of relying (OpenID Connect) and samlsp (SAML 2.0), which
// open and end sessions here.
//
// It asks the site (Accounts) at each request whether the account may still be used, and writes no page: the site does (Pages). Called by
// package sandbox, relying and samlsp.
package visitor
