// Package keys keeps the hub's signing keys: for each purpose one that signs, one that is published ahead to sign next, and those
// that have retired.
//
// It owns the table signing_key and the sealing key. Private keys are in the table, encrypted under the sealing key, a file of
// 32 bytes that is configured or made at the first start; so nodes that share a database share its keys once they have that one
// file, and a copy of the database alone signs nothing. The format is in docs/audit.md.
//
// Signers give signatures and never the private key. Rotation moves the next key to the front, retires the one before and drops
// its private part; verifiers see a retired key for the overlap.
//
// It never says what is signed, sends nothing, and has no clock of its own. It knows only identity/sqldb.
//
// Called by identity/audit, cmd, and whatever issues signed statements.
package keys
