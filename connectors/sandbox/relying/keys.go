package relying

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	keysLife   = time.Hour
	keysPause  = 10 * time.Second // between two readings, whatever kid a stranger writes
	maxToken   = 16 << 10
	maxKeys    = 50
	typeHeader = "typ"
)

// errKeys says that the provider's keys can't be read: no verdict about the token.
var errKeys = errors.New("the provider's keys can't be read")

// errSignature says that a token isn't signed by the provider with the algorithm that is registered.
var errSignature = errors.New("the token isn't signed as it must be")

// keySet is the provider's keys. Unlike the library's it asks the provider at most once in ten seconds: the back-channel address takes
// tokens from anybody, with any kid.
type keySet struct {
	party *Party
	mu    sync.Mutex
	keys  []jose.JSONWebKey
	tried time.Time
	read  time.Time
}

var _ oidc.KeySet = (*keySet)(nil)

// VerifySignature gives the payload of a token that the provider has signed.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, _, err := k.verify(ctx, token)
	return payload, err
}

// verify gives the payload and the type of a token that the provider has signed.
func (k *keySet) verify(ctx context.Context, token string) (payload []byte, typ string, err error) {
	if len(token) > maxToken {
		return nil, "", errSignature
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.party.opt.Algorithm)})
	if err != nil || len(jws.Signatures) != 1 {
		return nil, "", errSignature
	}
	header := jws.Signatures[0].Protected
	typ, _ = header.ExtraHeaders[typeHeader].(string)
	keys, err := k.candidates(ctx, header.KeyID)
	if err != nil {
		return nil, "", err
	}
	for _, key := range keys {
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, typ, nil
		}
	}
	return nil, "", errSignature
}

// candidates gives the keys that a token may be signed with, reading them anew where none is known or they are old.
func (k *keySet) candidates(ctx context.Context, kid string) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.party.Now()
	found := k.match(kid)
	fresh := !k.read.IsZero() && now.Sub(k.read) < keysLife
	if len(found) > 0 && fresh {
		return found, nil
	}
	if !k.tried.IsZero() && now.Sub(k.tried) < keysPause {
		if fresh {
			return nil, nil // it was looked for a moment ago
		}
		return nil, errKeys
	}
	k.tried = now
	keys, err := k.fetch(ctx)
	if err != nil {
		// A key that can't be confirmed isn't used for longer than its hour: it may have been withdrawn.
		return nil, fmt.Errorf("%w: %w", errKeys, err)
	}
	k.keys, k.read = keys, now
	return k.match(kid), nil
}

func (k *keySet) match(kid string) (found []jose.JSONWebKey) {
	for _, key := range k.keys {
		if kid == "" || key.KeyID == kid {
			found = append(found, key)
		}
	}
	return found
}

func (k *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx = context.WithoutCancel(ctx) // who hangs up must not make the others wait for the next try
	m, err := k.party.provider(ctx)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.keysURL, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := k.party.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&set); err != nil || len(set.Keys) > maxKeys {
		return nil, errors.New("it isn't a set of keys")
	}
	var usable []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// A key of a kind that isn't known here is somebody else's.
		if json.Unmarshal(raw, &key) != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue
		}
		if key.Algorithm == "" || key.Algorithm == k.party.opt.Algorithm {
			usable = append(usable, key)
		}
	}
	return usable, nil
}
