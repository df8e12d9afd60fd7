// Package wire reads and writes XML as SAML uses it: parsed once and strictly, signed, encrypted.
//
// Parse takes only what every XML reader takes in the same way: no DTD, no entities, no comments inside values, no ID twice, well-formed names
// and namespaces, within Limits. Verify gives the element that was signed, read anew from the very octets that were signed, and nothing
// around it. Sign is RSA-SHA256 over exclusive canonical XML. Encrypt makes an EncryptedAssertion for a recipient.
//
// Signatures and canonical forms are goxmldsig's; encryption is ours, because no library that is kept does AES-GCM for SAML right
// (docs/adr/0018). It knows no relying party, holds no key and has no clock. Called by identity/samlidp and identity/samlidp/sp.
package wire
