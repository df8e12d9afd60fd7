package samlsp

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

type nobody struct{}

func (nobody) Admit(string, string, string) (string, error)                  { return "", nil }
func (nobody) Active(string) bool                                            { return false }
func (nobody) Refused(http.ResponseWriter, *http.Request, visitor.Refusal)   {}
func (nobody) LoggedOut(http.ResponseWriter, *http.Request, visitor.Leaving) {}

func visitorsAt(t testing.TB, now time.Time) *visitor.Visitors {
	t.Helper()
	v, err := visitor.New(visitor.Place{Name: "shop", Home: "/shop/home", Now: func() time.Time { return now }, Accounts: nobody{}, Pages: nobody{}},
		"https://shop.localhost", "/saml/login", nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
