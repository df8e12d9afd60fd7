package cert

import (
	"testing"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

func TestNameConstraints(t *testing.T) {
	dns := func(s string) pkix.GeneralName { return pkix.GeneralName{Kind: pkix.DNSName, Value: []byte(s)} }
	mail := func(s string) pkix.GeneralName { return pkix.GeneralName{Kind: pkix.RFC822Name, Value: []byte(s)} }
	uri := func(s string) pkix.GeneralName { return pkix.GeneralName{Kind: pkix.URI, Value: []byte(s)} }
	ip := func(b ...byte) pkix.GeneralName { return pkix.GeneralName{Kind: pkix.IPAddress, Value: b} }
	other := pkix.GeneralName{Kind: pkix.OtherName, Value: []byte{1}}
	for _, c := range []struct {
		name, subtree pkix.GeneralName
		permitted     bool // inside, as a permitted subtree
		excluded      bool // inside, as an excluded one
	}{
		{dns("example.jp"), dns("example.jp"), true, true},
		{dns("www.EXAMPLE.jp"), dns("example.JP"), true, true},
		{dns("badexample.jp"), dns("example.jp"), false, false},
		{dns("example.jp"), dns(".example.jp"), false, false},
		{dns("www.example.jp"), dns(".example.jp"), true, true},
		{dns("example.jp"), dns(""), true, true},
		{dns("*.example.jp"), dns("example.jp"), true, true},
		{dns("*.example.jp"), dns("www.example.jp"), false, true}, // the wildcard could be the excluded host
		{dns("www..example.jp"), dns("example.jp"), false, true},  // no host name: what refuses
		{dns("example.jp."), dns("example.jp"), false, true},
		{mail("a@example.jp"), mail("example.jp"), true, true},
		{mail("a@EXAMPLE.jp"), mail("example.jp"), true, true},
		{mail("a@www.example.jp"), mail("example.jp"), false, false},
		{mail("a@www.example.jp"), mail(".example.jp"), true, true},
		{mail("a@example.jp"), mail(".example.jp"), false, false},
		{mail("a@example.jp"), mail("a@example.jp"), true, true},
		{mail("A@example.jp"), mail("a@example.jp"), false, false}, // local parts are case-sensitive
		{mail("a@b@example.jp"), mail("example.jp"), true, true},
		{mail("example.jp"), mail("example.jp"), false, true},
		{uri("https://www.example.jp/x"), uri("www.example.jp"), true, true},
		{uri("https://www.example.jp:443?x"), uri(".example.jp"), true, true},
		{uri("https://user@www.example.jp/"), uri("www.example.jp"), true, true},
		{uri("https://evil.test#@www.example.jp"), uri("www.example.jp"), false, false},
		{uri("https://192.0.2.1/"), uri("example.jp"), false, true},
		{uri("https://[2001:db8::1]/"), uri("example.jp"), false, true},
		{uri("urn:example"), uri("example.jp"), false, true},
		{ip(192, 0, 2, 1), ip(192, 0, 2, 0, 255, 255, 255, 0), true, true},
		{ip(192, 0, 3, 1), ip(192, 0, 2, 0, 255, 255, 255, 0), false, false},
		{ip(192, 0, 2, 1), ip(0, 0, 0, 0, 0, 0, 0, 0), true, true},
		{ip(192, 0, 2, 1), ip(make([]byte, 32)...), false, false}, // the other family
		{ip(192, 0, 2), ip(192, 0, 2, 0, 255, 255, 255, 0), false, true},
		{other, other, false, true}, // a kind without rules here
	} {
		if got := match(subtree{GeneralName: c.name}, subtree{GeneralName: c.subtree}, false); got != c.permitted {
			t.Errorf("%s in the permitted %s: %t", c.name, c.subtree, got)
		}
		if got := match(subtree{GeneralName: c.name}, subtree{GeneralName: c.subtree}, true); got != c.excluded {
			t.Errorf("%s in the excluded %s: %t", c.name, c.subtree, got)
		}
	}
	if wellFormed(ip(192, 0, 2, 0, 255, 0, 255, 0)) || wellFormed(ip(1, 2, 3)) || !wellFormed(ip(192, 0, 2, 0, 255, 255, 254, 0)) {
		t.Error("a mask with holes, or of a wrong length")
	}
}

func TestPermittedListsAllCount(t *testing.T) {
	dns := func(s string) pkix.GeneralName { return pkix.GeneralName{Kind: pkix.DNSName, Value: []byte(s)} }
	s := constraints{
		permitted: [][]subtree{prepared([]pkix.GeneralName{dns("example.jp"), dns("example.com")}), prepared([]pkix.GeneralName{dns("www.example.jp")})},
		work:      new(budget),
	}
	for host, want := range map[string]bool{"www.example.jp": true, "a.www.example.jp": true, "example.jp": false, "www.example.com": false} {
		if f := s.name(dns(host)); (f == nil) != want {
			t.Errorf("%s: %v", host, f)
		}
	}
	if f := s.name(pkix.GeneralName{Kind: pkix.URI, Value: []byte("https://other.test")}); f != nil {
		t.Error("a kind of name that isn't constrained is refused")
	}
}

func TestHostsAreCovered(t *testing.T) {
	for _, c := range []struct {
		name, host string
		want       bool
	}{
		{"www.example.jp", "WWW.example.jp", true},
		{"*.example.jp", "www.example.jp", true},
		{"*.example.jp", "example.jp", false},
		{"*.example.jp", "a.www.example.jp", false},
		{"w*.example.jp", "www.example.jp", false},
		{"*.jp", "example.jp", false},
		{"*", "example", false},
		{"*.example.jp", "*.example.jp", false},
		{"www.example.jp", "www.example.jp.", false},
		{"*.example.jp", ".example.jp", false},
	} {
		if got := covers(c.name, c.host); got != c.want {
			t.Errorf("%s covers %s: %t", c.name, c.host, got)
		}
	}
}
