// Package sp is the registry of SAML service providers: what each may ask for, where and how it is answered, and by which keys it signs.
//
// It owns the table saml_party. A provider is checked as a whole before it is stored (SP.Check); assertion consumer services are kept per
// network and compared octet by octet. ReadMetadata makes a draft of a provider's own metadata, bounded and read strictly, with notices of what
// was left out; a metadata file never registers anything by itself. Every change is audited in its transaction.
//
// It serves nothing, fetches nothing and has no clock. Called by identity/samlidp and by cmd.
package sp
