// Package sp is the registry of SAML service providers: what each may ask for, where and how it is answered, and by which keys it signs.
//
// It owns the tables saml_party, saml_metadata and saml_proposal. A provider is checked as a whole before it is stored (SP.Check); assertion consumer services are kept per
// network and compared octet by octet. ReadMetadata makes a draft of a provider's own metadata, bounded and read strictly, with notices of what
// was left out; a metadata file never registers anything by itself. Every change is audited in its transaction.
//
// Sources keeps where a provider's metadata comes from and who has to have signed it. A document that differs from the registration is a Proposal:
// its differences (Diff) are shown, and count when a person accepts them by their hash, or, where the source says so and the pinned signer
// vouches for them, when they open nothing. Expiring tells what ends soon.
//
// It serves nothing, fetches nothing and has no clock. Called by identity/samlidp, by sync/metadata, which fetches, and by cmd.
package sp
