package slack

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReadArgs: a body of any kind gives arguments or one of the vendor's codes, and never a token from JSON or the address.
func FuzzReadArgs(f *testing.F) {
	f.Add("token=x", "application/x-www-form-urlencoded", "token=a&channel=C1&users=U1,U2")
	f.Add("limit=2", "application/json; charset=utf-8", `{"users":["U1"],"blocks":[{}],"n":1,"x":null,"token":"b"}`)
	f.Add("%zz", "", "{")
	f.Fuzz(func(t *testing.T, query, media, body string) {
		r := httptest.NewRequest(http.MethodPost, "/slack/api/x", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", media)
		a, token, no := readArgs(r)
		if no != nil {
			if no.code == "" {
				t.Fatal("refused without a code")
			}
			return
		}
		if _, ok := a["token"]; ok || token != "" && !strings.Contains(media, "form") {
			t.Fatalf("a token among the arguments: %v", a)
		}
		for name := range a {
			a.list(name)
			a.flag(name)
		}
	})
}

// FuzzBlocks: no message breaks its page.
func FuzzBlocks(f *testing.F) {
	f.Add("<@U1|x> <#C1> <!subteam^S1> &lt;", `[{"type":"actions","elements":[{"type":"button","action_id":"a","text":{"text":"x"}}]}]`)
	f.Add("<", `[{"type":"section","text":"x","accessory":{"type":"button"}}]`)
	f.Add("", `x`)
	w, err := New(Options{}, Ground{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, blocks string) {
		m := &message{Text: text, Blocks: json.RawMessage(blocks)}
		for _, b := range m.buttons() {
			if b.ActionID == "" {
				t.Fatalf("a button without a name: %+v", b)
			}
		}
		if got := w.readableText(m); utf8.ValidString(text) && utf8.ValidString(blocks) && !utf8.ValidString(got) {
			t.Fatalf("shown as %q", got)
		}
	})
}
