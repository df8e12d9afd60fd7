// Package load reads policy and schema files from a file system and makes a policies.Set of them, strictly: every policy has
// a unique @id, every policy is valid against the schema, and the schema describes what the engine asks. Whatever is wrong is
// reported at once, each fault with file, line and column: of the token for syntax, of the policy for everything else.
//
// It wraps Cedar's schema validator, which promises no stable interface, so that no other package imports it. It never
// decides anything and keeps nothing.
//
// Called by cmd at start, and by whoever checks a proposed change of the policies.
package load
