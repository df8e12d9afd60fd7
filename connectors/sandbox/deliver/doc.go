// Package deliver sends a stand-in's webhooks as a vendor does: signed anew for each try, with the vendor's time-out and retry
// schedule, in order unless a fault says otherwise. Faults: a message is dropped, doubled, changes places with the next one, or
// carries a wrong signature.
//
// It knows no vendor: what a message says, how it is signed and when it is tried again is its caller's. It keeps nothing on disk: a
// restart forgets what waits. It opens no connection itself: the http.RoundTripper is the caller's. Clock and RoundTripper are
// injected, so that it also runs in process under testing/synctest. It has no goroutine while nothing waits.
//
// Called by connectors/sandbox's products.
package deliver
