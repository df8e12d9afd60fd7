package oidcop

import (
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity/keys"
)

// SignForTest signs claims of any kind by a key of the hub, with ES256.
func SignForTest(t testing.TB, signer *keys.Signer, typ string, body any) string {
	t.Helper()
	text, err := signWith(signer, jose.ES256, typ, body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
