// Package samlsp makes a site of the sandbox a SAML 2.0 service provider, as the product does that it stands in for: Web Browser SSO (SAML 2.0
// Profiles, section 4.1) and, where the product has it, single logout (section 4.4). What a product does and can't be told otherwise is its
// Habits; what its administrator types in is Settings, with one certificate by hand.
//
// It reads a message once, within bounds, and uses of a response nothing that the provider's one key hasn't signed. It shares no code with the
// hub's own reading. It never decides who may come in: that is the provider's answer and the site's own list of accounts. It writes no page but
// the one that posts a request: the site does. It calls nobody: all messages go through the browser. Called by package sandbox.
package samlsp
