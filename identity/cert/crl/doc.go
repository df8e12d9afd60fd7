// Package crl reads certificate revocation lists (RFC 5280, section 5).
//
// It owns two readings of one format. Parse takes a list apart with all of its entries and extensions: complete, partitioned, delta and indirect
// lists of an ordinary size. Load reads a list of national size in one pass over a stream, in memory that doesn't grow with it, into a Set: exact
// membership by a bitmap, with dates and reasons beside it; a Set can be written as a snapshot and mapped again without parsing. What doesn't
// follow the standard to the letter is refused by both with the same Code.
//
// It also says which list may take another's place (Replaces), and holds the lists in use for readers that never wait (Store). Which lists a
// certificate needs, how a delta adds to its base, and how old a list may be is decided in identity/cert, by profile.
//
// It opens no file, asks no network, reads no clock and logs nothing. Called by identity/cert, and by cmd, which fetches lists and maps snapshots.
package crl
