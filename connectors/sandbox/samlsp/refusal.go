package samlsp

import "github.com/musubi-hub/musubi/connectors/sandbox/visitor"

// Reason says for machines why somebody wasn't let in, or a message not taken.
type Reason = visitor.Reason

// Refusal is what a person is told.
type Refusal = visitor.Refusal

// The reasons of this protocol, beside those of package visitor.
const (
	NotConfigured      Reason = "saml_not_configured" // nobody has entered the provider's certificate
	MessageMalformed   Reason = "saml_malformed"      // no message, or one that can't be read
	MessageTooLarge    Reason = "saml_too_large"
	MessageEncrypted   Reason = "saml_encrypted" // the product has no key to read it with
	MessageVersion     Reason = "saml_version"
	ResponseIssuer     Reason = "saml_issuer"
	Destination        Reason = "saml_destination"
	ResponseUnsigned   Reason = "saml_response_unsigned"
	AssertionUnsigned  Reason = "saml_assertion_unsigned"
	SignatureForm      Reason = "saml_signature_form"      // more than one, elsewhere, or of something else
	SignatureAlgorithm Reason = "saml_signature_algorithm" // SHA-1, or another kind of key
	SignatureInvalid   Reason = "saml_signature_invalid"   // not by the key that was entered
	CertificateOver    Reason = "saml_certificate_expired"
	Unsolicited        Reason = "saml_unsolicited" // the product takes no login that begins at the provider
	InResponseTo       Reason = "saml_in_response_to"
	Audience           Reason = "saml_audience"
	Recipient          Reason = "saml_recipient"
	Confirmation       Reason = "saml_confirmation" // no bearer confirmation that counts
	ConditionUnknown   Reason = "saml_condition"
	Expired            Reason = "saml_expired"
	Early              Reason = "saml_early" // not yet valid, or issued in the future
	Stale              Reason = "saml_stale" // issued long ago
	Replayed           Reason = "saml_replayed"
	NoAuthentication   Reason = "saml_no_authn" // no statement of how and when somebody logged in
	NoNameID           Reason = "saml_no_name_id"
	NameIDNoEmail      Reason = "saml_name_id_no_email"
	AttributeMissing   Reason = "saml_attribute_missing" // Code says which
	AttributeTwice     Reason = "saml_attribute_twice"
	EmailChanged       Reason = "saml_email_changed"
	RelayState         Reason = "saml_relay_state"
	LogoutUnsigned     Reason = "saml_logout_unsigned"
)
