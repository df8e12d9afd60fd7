// Package mynumber is the login method of the My Number Card: it ends in a verdict of the certificate core about the card's authentication certificate.
//
// It owns how a certificate arrives (a TLS handshake on a host of its own, RFC 9440 from a named proxy, a signed challenge by API), the table of
// challenges, the lists of revoked certificates that are read from a watched folder, and which card is whose (tables card_challenge, card_link,
// card_renewal). Verifier is what certd's client will satisfy; Local is the core in process.
//
// Nothing of a certificate is kept or logged: a card is a keyed hash of issuer and serial number. What makes a verdict recomputable goes to Evidence,
// an encrypted store with retention, which isn't here.
//
// It renders no page, decides no policy and reads no clock; sessions and notices are told through interfaces. Called by cmd and by identity/login.
package mynumber
