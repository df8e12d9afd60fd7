// Package idptest is a SAML 2.0 identity provider for tests of the sandbox's service providers. It answers every request for the person that
// the test has set, and lets the test change the answer before and after it is signed. It shares no code with the hub and never checks what it is
// asked. Called by tests of samlsp and of package sandbox.
package idptest
