package relying

import (
	"testing"
	"time"
)

// FuzzClaims holds that nothing is taken for an ID token or a logout token that doesn't say what it must.
func FuzzClaims(f *testing.F) {
	now := time.Unix(1_796_000_000, 0)
	f.Add(`{"iss":"i","aud":"c","sub":"s","nonce":"n","exp":1796000100,"iat":1796000000}`, "JWT")
	f.Add(`{"iss":"i","aud":["c"],"sid":"s","jti":"j","exp":1796000100,"iat":1796000000,"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`, "logout+jwt")
	f.Add(`{"iss":"i","aud":"c","exp":1e400,"iat":null}`, "")
	f.Fuzz(func(t *testing.T, payload, typ string) {
		c, err := readClaims([]byte(payload))
		if err != nil {
			return
		}
		id := judgeID(c, typ, expected{issuer: "i", client: "c", nonce: "n"}, now)
		e, out := judgeLogout(c, typ, "i", "c", now)
		if id == "" && out == "" {
			t.Errorf("%q of type %q is both", payload, typ)
		}
		if id == "" && (!c.is("nonce", "n") || !c.is("iss", "i") || !c.audience("c")) {
			t.Errorf("%q is an ID token", payload)
		}
		if out == "" && (e.id == "" || e.subject+e.session == "" || !now.Before(e.ends) || c["nonce"] != nil) {
			t.Errorf("%q is a logout token", payload)
		}
	})
}
