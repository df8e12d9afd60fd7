package signin

import (
	"net/url"
	"testing"

	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/policies"
)

func FuzzLocal(f *testing.F) {
	for _, s := range []string{"/", "/orgs?q=1", "//evil.example", "/\\evil.example", "https://evil.example", "/login/x", "/%2f%2fevil.example", "/..//evil.example", "/?u=//x"} {
		f.Add(s)
	}
	table, err := network.New(network.Config{
		Networks:  map[policies.Network]network.Hosts{policies.NetworkInternet: {Login: "login.example.test"}},
		Listeners: map[string]network.Listener{"l": {Network: policies.NetworkInternet}},
	})
	if err != nil {
		f.Fatal(err)
	}
	base, err := url.Parse("https://login.example.test/x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		to := local(path)
		u, err := base.Parse(to) // as a browser reads a Location
		if err != nil || u.Host != "login.example.test" || u.Scheme != "https" || u.User != nil {
			t.Fatalf("%q leads to %v %v", path, u, err)
		}
		if err := table.Stays(policies.NetworkInternet, "https://login.example.test"+to); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		if local(to) != to {
			t.Fatalf("%q isn't settled: %q, %q", path, to, local(to))
		}
	})
}
