package access

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func testToken(t testing.TB) (token Token, secret string) {
	t.Helper()
	token, err := newToken(strings.NewReader(strings.Repeat("k", idBytes) + strings.Repeat("S", secretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return token, base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("S"), secretBytes))
}

func TestTokenRoundTrip(t *testing.T) {
	token, secret := testToken(t)
	if want := "musubi1.6b6b6b6b6b6b6b6b." + secret; token.Reveal() != want {
		t.Errorf("token %s, want %s", token.Reveal(), want)
	}
	back, err := ParseToken(token.Reveal())
	if err != nil || back.Reveal() != token.Reveal() || back.ID() != token.ID() {
		t.Errorf("read back %v, %v", back, err)
	}
	if _, err := newToken(strings.NewReader("short")); err == nil {
		t.Error("a token was made without enough randomness")
	}
	if (Token{}).Reveal() != "" {
		t.Error("the zero token reveals something")
	}
}

func TestTokenHidesItsSecret(t *testing.T) {
	token, secret := testToken(t)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		fmt.Fprintf(&out, verb+"\n", token)
		fmt.Fprintf(&out, verb+"\n", &token)
		fmt.Fprintf(&out, verb+"\n", struct{ hidden Token }{token})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", token)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "token", token)
	if err := json.NewEncoder(&out).Encode(map[string]any{"t": token}); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{secret, "SSSS", "53535353", "83 83 83"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret shows as %q in:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), token.ID()) {
		t.Error("the id doesn't show")
	}
}

func TestParseTokenRefuses(t *testing.T) {
	token, secret := testToken(t)
	good := token.Reveal()
	for _, text := range []string{
		"", "musubi1", "musubi1..", good + "A", good[:len(good)-1], " " + good, good + "\n", good + ".x",
		strings.Replace(good, "musubi1", "musubi2", 1), strings.Replace(good, "6b", "6B", 1), strings.Replace(good, "6b", "6", 1),
		strings.Replace(good, secret, secret[:42]+"/", 1), good[:len(good)-1] + "N", // the last character has unused bits
		strings.Replace(good, "U1NT", "U1N\n", 1),
	} {
		if text == good {
			t.Fatal("a case changes nothing")
		}
		got, err := ParseToken(text)
		if err == nil {
			t.Errorf("%q was taken as %s", text, got.Reveal())
			continue
		}
		if strings.Contains(err.Error(), "U1NT") {
			t.Errorf("the error shows what was given: %v", err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	token, _ := testToken(f)
	f.Add(token.Reveal())
	f.Add("musubi1..")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseToken(text)
		if err == nil && got.Reveal() != text {
			t.Fatalf("%q reads as %q: one token has two texts", text, got.Reveal())
		}
	})
}
