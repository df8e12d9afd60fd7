package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // OAEP's default hash, where the recipient knows no other; its security needs no collision resistance
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/beevik/etree"
)

// The algorithms of encryption (XML Encryption 1.1). What isn't here isn't used: no PKCS#1 v1.5, no triple DES.
const (
	AES256GCM  = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	AES128GCM  = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	AES256CBC  = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	OAEP       = "http://www.w3.org/2009/xmlenc11#rsa-oaep"        // used with SHA-256 for both hashes
	OAEPMGF1P  = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" // used with SHA-1 for both hashes
	mgf1SHA256 = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
	digestSHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"
	nsEnc      = "http://www.w3.org/2001/04/xmlenc#"
	nsEnc11    = "http://www.w3.org/2009/xmlenc11#"
)

// Recipient is who can read what is encrypted, and how.
type Recipient struct {
	Key  *rsa.PublicKey
	Data string // AES256GCM, AES128GCM or AES256CBC
	Wrap string // OAEP or OAEPMGF1P
}

// For chooses among the algorithms that a recipient lists. Without a list, or with nothing of ours in it, it is AES-256-CBC with
// rsa-oaep-mgf1p, which every recipient knows.
func For(key *rsa.PublicKey, listed []string) Recipient {
	r := Recipient{Key: key, Data: AES256CBC, Wrap: OAEPMGF1P}
	for _, a := range []string{AES256GCM, AES128GCM} {
		if slices.Contains(listed, a) {
			r.Data = a
			break
		}
	}
	if slices.Contains(listed, OAEP) {
		r.Wrap = OAEP
	}
	return r
}

// Encrypt gives an EncryptedAssertion of el, which stands alone with all of its namespaces.
func Encrypt(el *etree.Element, to Recipient, random io.Reader) (*etree.Element, error) {
	plain, err := Bytes(el.Copy())
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	key := make([]byte, 32)
	if to.Data == AES128GCM {
		key = key[:16]
	}
	defer clear(key)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("encrypt: no randomness: %w", err)
	}
	sealed, err := seal(plain, key, to.Data, random)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	var h hash.Hash
	switch to.Wrap {
	case OAEP:
		h = sha256.New()
	case OAEPMGF1P:
		h = sha1.New() //nolint:gosec // see the import
	default:
		return nil, fmt.Errorf("encrypt: keys aren't wrapped by %q", to.Wrap)
	}
	wrapped, err := rsa.EncryptOAEP(h, random, to.Key, key, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return envelope(to, wrapped, sealed), nil
}

// seal encrypts by XML Encryption 1.1, sections 5.2.1 and 5.2.4: the initialization vector stands before, the tag after.
func seal(plain, key []byte, algorithm string, random io.Reader) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	switch algorithm {
	case AES256GCM, AES128GCM:
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, gcm.NonceSize())
		if _, err := io.ReadFull(random, nonce); err != nil {
			return nil, fmt.Errorf("no randomness: %w", err)
		}
		return gcm.Seal(nonce, nonce, plain, nil), nil
	case AES256CBC:
		pad := aes.BlockSize - len(plain)%aes.BlockSize
		out := make([]byte, aes.BlockSize+len(plain)+pad)
		if _, err := io.ReadFull(random, out[:aes.BlockSize]); err != nil {
			return nil, fmt.Errorf("no randomness: %w", err)
		}
		body := out[aes.BlockSize:]
		copy(body, plain)
		body[len(body)-1] = byte(pad)
		cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(body, body) //nolint:gosec // it was filled at random above
		return out, nil
	}
	return nil, errors.New("data isn't encrypted by " + algorithm)
}

func envelope(to Recipient, wrapped, sealed []byte) *etree.Element {
	out := etree.NewElement("saml:EncryptedAssertion")
	out.CreateAttr("xmlns:saml", NSAssertion)
	data := out.CreateElement("xenc:EncryptedData")
	data.CreateAttr("xmlns:xenc", nsEnc)
	data.CreateAttr("Type", nsEnc+"Element")
	data.CreateElement("xenc:EncryptionMethod").CreateAttr("Algorithm", to.Data)
	info := data.CreateElement("ds:KeyInfo")
	info.CreateAttr("xmlns:ds", NSSignature)
	key := info.CreateElement("xenc:EncryptedKey")
	method := key.CreateElement("xenc:EncryptionMethod")
	method.CreateAttr("Algorithm", to.Wrap)
	if to.Wrap == OAEP {
		method.CreateElement("ds:DigestMethod").CreateAttr("Algorithm", DigestSHA256)
		mgf := method.CreateElement("xenc11:MGF")
		mgf.CreateAttr("xmlns:xenc11", nsEnc11)
		mgf.CreateAttr("Algorithm", mgf1SHA256)
	} else {
		method.CreateElement("ds:DigestMethod").CreateAttr("Algorithm", digestSHA1)
	}
	cipherValue(key, wrapped)
	cipherValue(data, sealed)
	return out
}

func cipherValue(el *etree.Element, b []byte) {
	el.CreateElement("xenc:CipherData").CreateElement("xenc:CipherValue").SetText(base64.StdEncoding.EncodeToString(b))
}
