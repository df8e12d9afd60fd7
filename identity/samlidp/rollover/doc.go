// Package rollover knows how far each service provider has come on the way to the hub's next signing key.
//
// It owns the tables saml_key_*, which package samlidp's migrations make: what is known of providers and keys (who fetched metadata with which key, who took something that was signed by it),
// towards whom the next key signs already, rehearsal logins, and the warnings before certificates expire. Report decides from these alone who is ready.
//
// A key is promoted when every provider is ready, or those that aren't are named; towards a provider that is ready, the next key may sign before that,
// and the way back stays open. Why it is done provider by provider is in docs/adr/0020. A letter for each organization that is late is written here.
//
// It signs nothing, serves nothing and has no clock. Called by identity/samlidp, which signs by the key that is chosen here, and by cmd.
package rollover
