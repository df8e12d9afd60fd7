package ocsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"

	_ "crypto/sha512" // SHA-384 and SHA-512 of the algorithms below

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// algorithm is one way of signing that is accepted.
type algorithm struct {
	rsa  bool // PKCS #1 v1.5; else ECDSA
	hash crypto.Hash
}

// Key sizes of RSA, in bits. Below, a forgery is in reach; above, checking becomes a way to keep the core busy.
const (
	minRSA = 2048
	maxRSA = 8192
)

var algorithms = []struct {
	oid asn1.ObjectIdentifier
	algorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, algorithm{true, crypto.SHA256}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, algorithm{true, crypto.SHA384}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, algorithm{true, crypto.SHA512}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, algorithm{false, crypto.SHA256}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, algorithm{false, crypto.SHA384}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, algorithm{false, crypto.SHA512}},
}

// certAlgorithms are the same, as crypto/x509 names them.
var certAlgorithms = map[x509.SignatureAlgorithm]algorithm{
	x509.SHA256WithRSA: {true, crypto.SHA256}, x509.SHA384WithRSA: {true, crypto.SHA384}, x509.SHA512WithRSA: {true, crypto.SHA512},
	x509.ECDSAWithSHA256: {false, crypto.SHA256}, x509.ECDSAWithSHA384: {false, crypto.SHA384}, x509.ECDSAWithSHA512: {false, crypto.SHA512},
}

// readAlgorithm reads an AlgorithmIdentifier: parameters NULL for RSA (RFC 4055 section 5), none for ECDSA (RFC 5758 section 3.2).
func readAlgorithm(raw []byte) (algorithm, error) {
	in := cryptobyte.String(raw)
	var seq, params cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1ObjectIdentifier(&oid) {
		return algorithm{}, refuse(CodeMalformed, "the signature's algorithm")
	}
	for _, a := range algorithms {
		if !a.oid.Equal(oid) {
			continue
		}
		if a.rsa && (!seq.ReadASN1(&params, cbasn1.NULL) || !params.Empty()) || !seq.Empty() {
			return algorithm{}, refuse(CodeMalformed, "the parameters of signature algorithm %v", oid)
		}
		return a.algorithm, nil
	}
	return algorithm{}, refuse(CodeAlgorithm, "signature algorithm %v is not accepted", oid)
}

// verify checks a signature with key, which must be one that the policy of the core takes.
func (a algorithm) verify(key crypto.PublicKey, signed, signature []byte) *Refusal {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA || key.E < 3 || key.E&1 == 0 {
			return refuse(CodeAlgorithm, "an RSA key of %d bits with exponent %d", bits, key.E)
		}
		if !a.rsa {
			return refuse(CodeSignature, "an RSA key and a signature of another kind")
		}
		if rsa.VerifyPKCS1v15(key, a.hash, digest(a.hash, signed), signature) == nil {
			return nil
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return refuse(CodeAlgorithm, "an elliptic curve other than P-256 and P-384")
		}
		if a.rsa {
			return refuse(CodeSignature, "an ECDSA key and a signature of another kind")
		}
		if ecdsa.VerifyASN1(key, digest(a.hash, signed), signature) {
			return nil
		}
	default:
		return refuse(CodeAlgorithm, "a key that is neither RSA nor ECDSA")
	}
	return refuse(CodeSignature, "the signature is wrong")
}
