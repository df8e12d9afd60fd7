package outbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"sort"
	"strings"
)

// redacted stands in for a secret wherever one would be shown.
const redacted = "[redacted]"

// Secret holds a credential. Printing, logging or encoding it gives "[redacted]". The value is kept behind a pointer because
// fmt prints the unexported fields of a surrounding struct without asking their methods.
type Secret struct{ value *string }

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Empty reports whether there is no value.
func (s Secret) Empty() bool { return s.value == nil || *s.value == "" }

// Reveal gives the value, for what puts it on a wire that isn't HTTP (SMTP AUTH) or computes with it (HMAC). Nothing else asks.
func (s Secret) Reveal() string { return s.reveal() }

func (s Secret) reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// HMACSHA256 authenticates the parts, one after the other, with the secret as key (RFC 2104): for what a vendor signs.
func (s Secret) HMACSHA256(parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, []byte(s.reveal()))
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// Disclose gives the value, for the one request whose body must carry it to the vendor (a webhook's secret). Nothing else may.
func (s Secret) Disclose() string { return s.reveal() }

// String gives "[redacted]".
func (s Secret) String() string { return redacted }

// GoString gives "[redacted]".
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON gives "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText gives "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue gives "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Authorization is what goes into the Authorization header. Make it with Bearer or Basic.
type Authorization struct {
	header  Secret
	secrets []Secret
}

// Bearer authorizes by a token (RFC 6750).
func Bearer(token Secret) Authorization {
	if token.Empty() {
		return Authorization{}
	}
	return Authorization{header: NewSecret("Bearer " + token.reveal()), secrets: []Secret{token}}
}

// Basic authorizes by a user name, which is no secret, and a password or API token (RFC 7617).
func Basic(user string, token Secret) Authorization {
	if token.Empty() || user == "" || strings.Contains(user, ":") {
		return Authorization{}
	}
	pair := user + ":" + token.reveal()
	encoded := base64.StdEncoding.EncodeToString([]byte(pair))
	return Authorization{
		header:  NewSecret("Basic " + encoded),
		secrets: []Secret{token, NewSecret(pair), NewSecret(encoded)},
	}
}

// credentialPattern finds Authorization values that aren't ours: a vendor may echo another client's.
var credentialPattern = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9\-._~+/]{6,}=*`)

// redactor replaces every known secret, in the encodings in which it may come back, by "[redacted]".
type redactor struct{ replacer *strings.Replacer }

// Redact gives a function that removes the secrets from a text, in the encodings in which they may come back, and makes it one
// line of at most 300 characters: for the words of a vendor who isn't reached over HTTP.
func Redact(secrets ...Secret) func(string) string { return newRedactor(secrets).detail }

func newRedactor(secrets []Secret) redactor {
	seen := map[string]bool{}
	var forms []string
	add := func(s string) {
		if len(s) >= 4 && !seen[s] {
			seen[s] = true
			forms = append(forms, s)
		}
	}
	for _, s := range secrets {
		v := s.reveal()
		if v == "" {
			continue
		}
		add(v)
		add(url.QueryEscape(v))
		add(url.PathEscape(v))
		if j, err := json.Marshal(v); err == nil {
			add(strings.Trim(string(j), `"`))
		}
		add(base64.StdEncoding.EncodeToString([]byte(v)))
		add(base64.RawURLEncoding.EncodeToString([]byte(v)))
		add(fmt.Sprintf("%x", v))
	}
	// The longest first: a token must not be cut in half by a shorter secret that it contains.
	sort.SliceStable(forms, func(i, j int) bool { return len(forms[i]) > len(forms[j]) })
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range forms {
		pairs = append(pairs, f, redacted)
	}
	return redactor{replacer: strings.NewReplacer(pairs...)}
}

// text redacts s.
func (r redactor) text(s string) string {
	return credentialPattern.ReplaceAllString(r.replacer.Replace(s), "$1 "+redacted)
}

// detail redacts s, then makes it one line of at most 300 characters without control characters. Redaction comes first, so
// that no secret is cut into something unrecognizable.
func (r redactor) detail(s string) string {
	s = strings.Join(strings.FieldsFunc(r.text(s), func(c rune) bool { return c <= ' ' || c == 0x7f || c == 0x2028 || c == 0x2029 }), " ")
	s = strings.ToValidUTF8(s, "?")
	if runes := []rune(s); len(runes) > 300 {
		s = string(runes[:300]) + "..."
	}
	return s
}
