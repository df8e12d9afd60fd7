package signin_test

import (
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/mynumber"
)

func x509Card(c *testpki.Card) (mynumber.Card, error) {
	parsed, err := pkix.ParseCertificate(c.Raw)
	if err != nil {
		return mynumber.Card{}, err
	}
	return mynumber.Card{Issuer: parsed.Issuer.Canonical(), IssuerKey: c.CA.SPKI, Serial: parsed.Serial}, nil
}
