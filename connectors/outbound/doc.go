// Package outbound is the hub's only HTTP client towards a SaaS. It reserves the vendor's quota before every attempt, bounds
// time and sizes, retries idempotent requests alone, and turns every outcome into one connectors.Error whose Kind says what
// the caller may conclude: nothing was done, it was done, or nobody knows.
//
// It never follows a redirect, keeps no cookie, sends the credential to no other host than its base URL's, and never lets a
// secret reach an error or a log line: what a vendor echoes is redacted before it is kept. It reads no environment and has
// no default transport; the http.RoundTripper is given, so that a sandbox runs in process under a simulated clock.
//
// Called by connectors/scimclient and by the connector packages. HTTPClient serves libraries that insist on an *http.Client.
package outbound
