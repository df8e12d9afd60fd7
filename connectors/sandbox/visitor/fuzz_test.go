package visitor

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzTarget holds that a login never ends anywhere but on a page of the site.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/shop/a?b=c#d", "//evil", "/shop//evil", "/shop/../x", "/\\evil", "/shop/%2e%2e/x", "/shop/%2e%2e/\"", "https:/shop/", "/shop/\x00", ""} {
		f.Add(s)
	}
	v := &Visitors{Place: Place{Name: "shop", Home: "/shop/home"}, closed: []string{"/shop/login", "/shop/logout"}}
	f.Fuzz(func(t *testing.T, asked string) {
		got := v.Target(asked)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/shop/") || strings.ContainsAny(got, "\r\n\\") || len(got) > maxTarget ||
			strings.HasPrefix(got, "/shop/login") || strings.HasPrefix(got, "/shop/logout") {
			t.Errorf("%q leads to %q", asked, got)
		}
		at, err := url.Parse("https://shop.localhost:8444/shop/login")
		if err != nil {
			t.Fatal(err)
		}
		if to := at.ResolveReference(u); to.Host != at.Host || !strings.HasPrefix(to.Path, "/shop/") {
			t.Errorf("%q leads to %s", asked, to)
		}
	})
}
