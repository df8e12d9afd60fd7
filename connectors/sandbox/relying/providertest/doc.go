// Package providertest is a small honest OpenID provider for tests of relying parties, in process. It checks what a provider must check
// (registered addresses, PKCE with S256, the party's proof, codes once), so that a party that forgets something fails against it. Edits
// plant one fault at a time in what it answers, for a party to refuse.
package providertest
