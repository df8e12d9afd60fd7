// Package ppid keeps pairwise identifiers: a random name for a person towards each sector, so that two relying parties of different
// sectors can't tell that they serve the same person (OpenID Connect Core 1.0, section 8).
//
// It owns the table ppid. An identifier is 160 random bits, never computed from the person. At rest the table holds neither people nor
// identifiers in clear: a pair and an identifier are found by keyed hashes, and what they stand for is encrypted, both under keys derived
// from the sealing key. So a copy of the database alone links nobody to anything. A pair has at most one identifier that stands; a row
// that has ended stays, so that an identifier is never given twice.
//
// It decides nothing and has no clock. Called by identity/oidcop; later by certd.
package ppid
