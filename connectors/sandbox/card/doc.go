// Package card plays a My Number Card with its reader, for the demonstration alone: one page on which a person chooses a test card and types its PIN.
//
// It stands where a browser would ask for a client certificate: it is opened with the address of a hub's card host, makes the TLS handshake with the
// card's key to exactly that address, and leads the browser to where the hub's answer says. It goes to no other host, follows no redirect and leads
// nowhere but to the login host, so that it is neither an open proxy nor an open redirect. Like a card it counts wrong PINs, and the third locks it.
//
// It knows nothing of the hub but its addresses, and never goes near a network itself: the caller gives the http.RoundTripper. Called by cmd and tests.
package card
