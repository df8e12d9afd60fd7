// Package pkix holds the values of RFC 5280 that certificates, revocation lists and OCSP answers share: names and how they compare, object
// identifiers, general names, distribution points, reasons, public keys, signatures, and certificates themselves. It reads them strictly and says
// what they say; whether they are to be believed is decided in identity/cert.
//
// Everything that it reads is DER, checked to the last octet, and bounded (Limits). A value keeps slices of the bytes that it was read from, which
// must not change. crypto/x509 is not used: it tolerates, and it hides, what a verdict depends on.
//
// Called by identity/cert and the packages below it. Errors wrap those of package der, or ErrMalformed with the field's name.
package pkix
