// Package crl reads certificate revocation lists and says what they mean (RFC 5280, sections 5 and 6.3).
//
// It owns two readings of one format. Parse takes a list apart with all of its entries and extensions: complete, partitioned, delta and indirect
// lists of an ordinary size. Load reads a list of national size in one pass over a stream, in memory that doesn't grow with it, into a Set: exact
// membership by a bitmap, with dates and reasons beside it; a Set can be written as a snapshot and mapped again without parsing. What doesn't
// follow the standard to the letter is refused by both with the same Code.
//
// What lists mean is pure functions of lists and the time that is given: which certificates a list is for (Scope, Covers), whether it is fresh
// (Policy.Fresh), how a delta adds to its base (Combine), what may take a list's place (Replaces). Store holds the lists in use and swaps them
// under readers that never wait.
//
// It opens no file, asks no network, reads no clock and logs nothing. Called by identity/cert, and by cmd, which fetches lists and maps snapshots.
package crl
