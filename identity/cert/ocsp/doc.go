// Package ocsp judges answers of the Online Certificate Status Protocol (RFC 6960) and makes requests. It is pure: bytes and a time
// go in, an [Answer] or a [Refusal] with a stable code comes out.
//
// It owns everything that makes an answer trustworthy: who signed it (the CA's key itself, or a responder that this very key has
// delegated, with id-kp-OCSPSigning), that it is about the certificate asked for (issuer name, issuer key and serial are hashed and
// compared again here), that it is fresh, and that it answers this request (nonce). golang.org/x/crypto/ocsp checks none of
// these: it takes an answer signed by any certificate of the CA, an expired one too, so every card could declare every other good.
// Its parser also hides what has to be looked at. Therefore answers are read here, by package der, and that library is only met in tests.
//
// It never sends anything and holds no state. Whether a delegated responder without id-pkix-ocsp-nocheck is itself revoked, and what
// a status means for a certificate, is decided by identity/cert, the caller.
package ocsp
