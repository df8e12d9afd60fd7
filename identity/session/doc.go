// Package session owns the sessions of browsers (table session) and which relying parties learned of each (session_party).
//
// A session is read from the database for every request and never cached, so that what ends it (logout, another of the person's
// browsers, an administrator, the end of service, the release of a card) is seen by every node at the next request. The cookie holds
// 256 random bits under a __Host- name; the database holds their SHA-256 alone. A session belongs to one network; it ends after its
// idle and absolute limits; each new proof gives it a new cookie.
//
// Whoever must hear of an end (back-channel logout) is told by Hook, inside the transaction that ends the session.
//
// It never decides who may enter where. Called by identity/login, identity/mynumber, the issuers and cmd.
package session
