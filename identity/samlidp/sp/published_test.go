package sp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

var drawnKeys struct {
	sync.Mutex
	of map[string]*rsa.PrivateKey
}

// named gives the key of a name, the same one in all tests.
func named(t testing.TB, name string) *rsa.PrivateKey {
	t.Helper()
	drawnKeys.Lock()
	defer drawnKeys.Unlock()
	if drawnKeys.of == nil {
		drawnKeys.of = map[string]*rsa.PrivateKey{}
	}
	if drawnKeys.of[name] == nil {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		drawnKeys.of[name] = k
	}
	return drawnKeys.of[name]
}

// until makes a certificate of a name's key that ends at a time. The same twice is the same octets but where it is signed anew: PKCS #1 v1.5 is
// deterministic.
func until(t testing.TB, name string, end time.Time) []byte {
	t.Helper()
	k := named(t, name)
	template := &x509.Certificate{SerialNumber: big.NewInt(end.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(1_700_000_000, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	return der
}

func far(t testing.TB, name string) []byte {
	return until(t, name, time.UnixMicro(at).AddDate(3, 0, 0))
}

// published is metadata as a provider would publish it.
type published struct {
	entity     string
	consumers  []string // addresses; index is the place, the first is the default
	logout     []string
	signing    [][]byte
	encryption [][]byte
	methods    []string
	formats    []sp.NameID
	unsigned   bool // AuthnRequestsSigned
	validUntil string
	cache      string
}

// first is what sp.example published when it was registered.
func first(t testing.TB) published {
	return published{
		entity: "https://sp.example/metadata", consumers: []string{"https://sp.example/acs"}, logout: []string{"https://sp.example/slo"},
		signing: [][]byte{far(t, "sp")}, encryption: [][]byte{far(t, "enc")}, methods: []string{wire.AES256GCM}, formats: []sp.NameID{sp.NameIDPersistent},
		validUntil: "2027-01-01T00:00:00Z",
	}
}

func (p published) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<md:EntityDescriptor xmlns:md="%s" xmlns:ds="%s" ID="_m" entityID="%s"`, wire.NSMetadata, wire.NSSignature, p.entity)
	if p.validUntil != "" {
		fmt.Fprintf(&b, ` validUntil="%s"`, p.validUntil)
	}
	if p.cache != "" {
		fmt.Fprintf(&b, ` cacheDuration="%s"`, p.cache)
	}
	fmt.Fprintf(&b, `><md:SPSSODescriptor AuthnRequestsSigned="%t" protocolSupportEnumeration="%s">`, !p.unsigned, wire.NSProtocol)
	key := func(use string, der []byte, methods []string) {
		fmt.Fprintf(&b, `<md:KeyDescriptor use="%s"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`, use, base64.StdEncoding.EncodeToString(der))
		for _, m := range methods {
			fmt.Fprintf(&b, `<md:EncryptionMethod Algorithm="%s"/>`, m)
		}
		b.WriteString(`</md:KeyDescriptor>`)
	}
	for _, der := range p.signing {
		key("signing", der, nil)
	}
	for _, der := range p.encryption {
		key("encryption", der, p.methods)
	}
	for _, l := range p.logout {
		fmt.Fprintf(&b, `<md:SingleLogoutService Binding="%s" Location="%s"/>`, sp.BindingRedirect, l)
	}
	for _, f := range p.formats {
		fmt.Fprintf(&b, `<md:NameIDFormat>%s</md:NameIDFormat>`, f)
	}
	for i, c := range p.consumers {
		fmt.Fprintf(&b, `<md:AssertionConsumerService Binding="%s" Location="%s" index="%d" isDefault="%t"/>`, sp.BindingPOST, c, i, i == 0)
	}
	b.WriteString(`</md:SPSSODescriptor></md:EntityDescriptor>`)
	return b.String()
}

// signedBy gives the document as a name's key signs it.
func (p published) signedBy(t testing.TB, name string) []byte {
	t.Helper()
	el, err := wire.Parse([]byte(p.text()), wire.MetadataLimits)
	must(t, err)
	must(t, wire.Sign(el, named(t, name), far(t, name)))
	b, err := wire.Bytes(el)
	must(t, err)
	return b
}

// registered is the provider as its first metadata made it.
func registered(t testing.TB) sp.SP {
	t.Helper()
	m, err := sp.ReadMetadata([]byte(first(t).text()), at, nil)
	must(t, err)
	p := m.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least = "sp", "試験", "sp.example", policies.AssuranceTwo
	must(t, p.Check())
	return p
}
