package notice

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
)

const keySize = 32

// box seals what a mail hands over: AES-256-GCM, bound to the notice's id.
type box struct{ aead cipher.AEAD }

func newBox(key []byte) (*box, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("notice: the key has %d bytes; %d are needed", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	return &box{aead}, nil
}

func (b *box) seal(plain, id string) (string, error) {
	if len(plain) > maxSecret {
		return "", fmt.Errorf("notice: what the mail hands over has %d bytes; at most %d are kept", len(plain), maxSecret)
	}
	sealed := b.aead.Seal(nil, nil, []byte(plain), []byte(id)) //nolint:gosec // G407: the cipher draws its nonce by itself
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

var errSealed = errors.New("notice: what the mail hands over can't be opened with this node's sealing key")

func (b *box) open(sealed, id string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "", errSealed
	}
	plain, err := b.aead.Open(nil, nil, raw, []byte(id))
	if err != nil {
		return "", errSealed
	}
	return string(plain), nil
}

const maxSecret = 512
