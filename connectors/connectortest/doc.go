// Package connectortest is the conformance suite of every connector: what package connectors promises to callers, tried
// against a stand-in of the vendor with faults in between. Run reports to *testing.T; RunPlanted plants known bugs in the
// connector, one at a time, and fails where the suite doesn't notice, so that a case that can't fail is found out.
//
// The suite owns the wire: a Tap between the connector and the stand-in loses answers, breaks connections, answers as a
// login page, and counts what was sent. Every error and log line is searched for the token. Each case runs in a
// testing/synctest bubble with a fresh vendor, so that waiting costs no time; the stand-in must work in process.
//
// It knows no vendor. Called by the tests of connector packages, never by the hub.
package connectortest
