// Package metadata reads anew, each day, what SAML service providers publish of themselves: the job behind identity/samlidp/sp's sources.
//
// A look each quarter of an hour takes the sources whose time has come and makes a job for each; a source is claimed in the transaction that makes
// its job, so that of several nodes one fetches it. Each provider has a moment of the day of its own, few are fetched at once, and what a server
// sends is bounded: a time-out, one megabyte, https alone, the same host alone. A failure is taken down and keeps what is in force.
//
// What a document would change, and whether it waits for a person, identity/samlidp/sp knows. The package also has administrators told of
// certificates and metadata that end soon. Called by cmd, which wires it, and which fetches at a person's word.
package metadata
