package testpki

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Tree is one of the two hierarchies of JPKI, which must never be mixed.
type Tree string

// The trees: for users to prove who they are (利用者証明用), and to sign documents (署名用).
const (
	AuthTree Tree = "auth"
	SignTree Tree = "sign"
)

// Policies of test cards. That of signature test cards is documented; that of authentication test cards is not public, so this one is
// ours, chosen beside it. Both differ from production's …8.5.1.3.30 and …8.5.1.1.20.
var (
	AuthPolicy = mustOID("1.2.392.200149.8.5.1.0.30")
	SignPolicy = mustOID("1.2.392.200149.8.5.1.0.20")
)

// Organization is in the name of every CA made here; the rest of the name is as the real ones have it, so that profiles are tried whole.
const Organization = "JPKI-TEST"

// Options of a hierarchy.
type Options struct {
	Now         time.Time
	Kind        Kind // of the CAs' keys; empty: RSA2048
	Generations int  // of each CA, 1 to 3; 0: 2
}

// PKI is a hierarchy: the generations of both CAs, the oldest first. All generations of a tree have the same name and are valid at Now.
type PKI struct {
	Now        time.Time
	Auth, Sign []*CA
}

// CA is one generation of a CA: a self-signed root, as JPKI's are.
type CA struct {
	Signer
	Tree       Tree
	Generation int // from 1
	NotBefore  time.Time
	NotAfter   time.Time

	random io.Reader
	serial uint64 // of the last certificate
}

// Signer is a key with its certificate: a CA, an OCSP responder, an issuer of indirect lists.
type Signer struct {
	Name []byte // DER of its distinguished name
	Key  crypto.Signer
	SPKI []byte // DER
	Raw  []byte // DER of its certificate
}

// New makes a hierarchy. The same octets from random make the same one. random is read again when cards are issued.
func New(random io.Reader, o Options) (*PKI, error) {
	if o.Kind == "" {
		o.Kind = RSA2048
	}
	if o.Generations == 0 {
		o.Generations = 2
	}
	if o.Generations < 1 || o.Generations > 3 || o.Now.IsZero() {
		return nil, fmt.Errorf("testpki: %d generations at %v: give 1 to 3 and a time", o.Generations, o.Now)
	}
	p := &PKI{Now: o.Now.UTC().Truncate(time.Second)}
	for gen := 1; gen <= o.Generations; gen++ {
		for _, t := range []struct {
			tree Tree
			to   *[]*CA
		}{{AuthTree, &p.Auth}, {SignTree, &p.Sign}} {
			ca, err := newCA(random, t.tree, gen, p.Now.AddDate(-4*(o.Generations-gen)-1, 0, 0), o.Kind)
			if err != nil {
				return nil, err
			}
			*t.to = append(*t.to, ca)
		}
	}
	return p, nil
}

// CAs are all CAs of a tree.
func (p *PKI) CAs(t Tree) []*CA {
	if t == SignTree {
		return p.Sign
	}
	return p.Auth
}

// Newest is the CA of the tree that issues cards now.
func (p *PKI) Newest(t Tree) *CA {
	all := p.CAs(t)
	return all[len(all)-1]
}

func newCA(random io.Reader, tree Tree, generation int, from time.Time, kind Kind) (*CA, error) {
	key, err := NewKey(random, kind)
	if err != nil {
		return nil, err
	}
	unit, japanese := "JPKI for user authentication", "利用者証明用認証局テスト"
	if tree == SignTree {
		unit, japanese = "JPKI for digital signature", "署名用認証局テスト"
	}
	ca := &CA{
		Signer: Signer{
			Name: Name(Attribute{"C", "JP"}, Attribute{"O", Organization}, Attribute{"OU", unit}, Attribute{"OU", "Japan Agency for Local Authority Information Systems"}),
			Key:  key, SPKI: SPKI(key.Public()),
		},
		Tree: tree, Generation: generation, random: random, serial: 20_000_000*uint64(generation) + 1,
		NotBefore: from, NotAfter: from.AddDate(10, 0, 0),
	}
	alternative := Name(Attribute{"C", "JP"}, Attribute{"O", "公的個人認証サービステスト"}, Attribute{"OU", japanese})
	ca.Raw = Certificate{
		Serial: Serial(ca.serial), Issuer: ca.Name, Subject: ca.Name, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, SPKI: ca.SPKI,
		// As the real ones have it: no path length, no authority key identifier, the distribution point is the CA's own name.
		Extensions: []Extension{
			KeyUsage(KeyCertSign, CRLSign), AlternativeDirectoryName(pkix.OIDSubjectAltName, alternative), BasicConstraints(true, -1),
			DistributionPoints(pkix.OIDDistPoints, Point{Name: ca.Name}), SubjectKeyID(ca.SPKI),
		},
	}.Der(key)
	return ca, nil
}

// Resume gives a CA that was made before, from its certificate and key, so that it goes on issuing: serial is that of the last certificate that it
// issued, and random is where the keys of its next cards come from.
func Resume(random io.Reader, tree Tree, generation int, raw []byte, key crypto.Signer, serial uint64) (*CA, error) {
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("testpki: resume: %w", err)
	}
	spki := SPKI(key.Public())
	if !bytes.Equal(spki, c.RawSubjectPublicKeyInfo) {
		return nil, errors.New("testpki: resume: the key isn't the certificate's")
	}
	return &CA{
		Signer: Signer{Name: c.RawSubject, Key: key, SPKI: spki, Raw: c.Raw},
		Tree:   tree, Generation: generation, random: random, serial: serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}, nil
}

// Serial is the number of the last certificate that ca issued: what Resume needs.
func (ca *CA) Serial() uint64 { return ca.serial }

// Municipality is who hands a card out: it names the partition of the revocation list. All of them are invented.
type Municipality struct{ Code, Prefecture, City string }

// Municipalities are the invented ones.
var Municipalities = []Municipality{
	{"99201", "Test-ken", "Test-shi Kita"},
	{"99202", "Test-ken", "Test-shi Minami"},
	{"99301", "Mihon-ken", "Mihon-cho"},
}

// Partition is the DER of the name of m's distribution point.
func (ca *CA) Partition(m Municipality) []byte {
	return Below(ca.Name, Attribute{"OU", "CRL Distribution Points"}, Attribute{"OU", m.Prefecture}, Attribute{"CN", m.City + " CRLDP"})
}

// Holder says what card to make. The zero value makes a card of RSA2048 from the first municipality, valid at the CA's present.
type Holder struct {
	Kind                Kind
	Key                 crypto.Signer // nil: a new one of Kind
	Municipality        Municipality
	NotBefore, NotAfter time.Time
	// Change, if given, edits the certificate before it is signed: this is where forgeries begin.
	Change func(*Certificate)
}

// Card is a certificate with its key, as a card holds them.
type Card struct {
	Signer
	CA           *CA
	Certificate  Certificate // what Raw says
	Municipality Municipality
}

// Issue makes a card. now is the present: validity runs from a month before to the fifth year after unless h says otherwise.
func (ca *CA) Issue(h Holder, now time.Time) (*Card, error) {
	if h.Kind == "" {
		h.Kind = RSA2048
	}
	if h.Municipality == (Municipality{}) {
		h.Municipality = Municipalities[0]
	}
	if h.Key == nil {
		key, err := NewKey(ca.random, h.Kind)
		if err != nil {
			return nil, err
		}
		h.Key = key
	}
	if h.NotBefore.IsZero() {
		h.NotBefore = now.AddDate(0, -1, 0)
	}
	if h.NotAfter.IsZero() {
		h.NotAfter = now.AddDate(5, 0, 0)
	}
	ca.serial++
	spki := SPKI(h.Key.Public())
	c := Certificate{
		Serial: Serial(ca.serial), Issuer: ca.Name, NotBefore: h.NotBefore, NotAfter: h.NotAfter, SPKI: spki,
		Subject: ca.holderName(h),
	}
	c.Extensions = append(ca.holderExtensions(),
		DistributionPoints(pkix.OIDDistPoints, Point{Name: ca.Partition(h.Municipality)}), OCSPLocation("http://ocsp.test.invalid/"),
		AuthorityKeyID(ca.SPKI), SubjectKeyID(spki))
	if h.Change != nil {
		h.Change(&c)
	}
	return &Card{Signer{c.Subject, h.Key, spki, c.Der(ca.Key)}, ca, c, h.Municipality}, nil
}

func (ca *CA) holderName(h Holder) []byte {
	window := h.Municipality.Code + "000T"
	if ca.Tree == SignTree {
		stamp := h.NotBefore.UTC().Format("20060102150405")
		return Name(Attribute{"C", "JP"}, Attribute{"L", h.Municipality.Prefecture}, Attribute{"L", h.Municipality.City},
			Attribute{"CN", fmt.Sprintf("TEST%s%05d%s", stamp, ca.serial%100_000, window)})
	}
	return Name(Attribute{"C", "JP"}, Attribute{"CN", fmt.Sprintf("TEST%010d%s", ca.serial, window)})
}

func (ca *CA) holderExtensions() []Extension {
	issuer := AlternativeDirectoryName(pkix.OIDIssuerAltName, Name(Attribute{"C", "JP"}, Attribute{"O", "公的個人認証サービステスト"}))
	if ca.Tree == SignTree {
		return []Extension{KeyUsage(DigitalSignature, NonRepudiation), Policies(true, cps, SignPolicy), basicFour(), issuer}
	}
	return []Extension{KeyUsage(DigitalSignature), Policies(true, cps, AuthPolicy), issuer}
}

const cps = "http://www.test.invalid/cps.html"

// Responder makes a delegated OCSP responder of ca with id-pkix-ocsp-nocheck, valid for 30 days around now. change, if given, edits its certificate.
func (ca *CA) Responder(kind Kind, now time.Time, change func(*Certificate)) (*Signer, error) {
	return ca.delegate(kind, "TEST OCSP responder", now, change,
		KeyUsage(DigitalSignature), ExtKeyUsage(pkix.OIDOCSPSigning), NoCheck())
}

// ListIssuer makes an issuer of indirect lists, certified by ca. change, if given, edits its certificate.
func (ca *CA) ListIssuer(kind Kind, now time.Time, change func(*Certificate)) (*Signer, error) {
	return ca.delegate(kind, "TEST issuer of lists", now, change, KeyUsage(CRLSign))
}

func (ca *CA) delegate(kind Kind, name string, now time.Time, change func(*Certificate), exts ...Extension) (*Signer, error) {
	key, err := NewKey(ca.random, kind)
	if err != nil {
		return nil, err
	}
	ca.serial++
	spki := SPKI(key.Public())
	c := Certificate{
		Serial: Serial(ca.serial), Issuer: ca.Name, Subject: Below(ca.Name, Attribute{"CN", name}),
		NotBefore: now.AddDate(0, 0, -15), NotAfter: now.AddDate(0, 0, 15), SPKI: spki,
		Extensions: append(exts, AuthorityKeyID(ca.SPKI), SubjectKeyID(spki)),
	}
	if change != nil {
		change(&c)
	}
	return &Signer{c.Subject, key, spki, c.Der(ca.Key)}, nil
}

// List is an empty complete list of ca for a day; number 0 is none. Edit it, then call Der with the CA's key.
func (ca *CA) List(number uint64, now time.Time) List {
	return List{Issuer: ca.Name, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(23 * time.Hour), Number: number, IssuerKey: ca.SPKI}
}

// Answer is an OCSP answer of s about singles, named by key, with its certificate. Edit it, then call Der with s.Key.
func (s *Signer) Answer(now time.Time, singles ...Single) Answer {
	return Answer{BySPKI: s.SPKI, ProducedAt: now.Add(-time.Minute), Singles: singles, Certs: [][]byte{s.Raw}}
}

// Entry is c's entry in a list.
func (c *Card) Entry(at time.Time, reason int) Entry {
	return Entry{Serial: c.Certificate.Serial, At: at, Reason: reason}
}

// Single is an OCSP answer about c with that state: as of five minutes ago, the next in ten.
func (c *Card) Single(state State, now time.Time) Single {
	return Single{
		IssuerName: c.CA.Name, IssuerSPKI: c.CA.SPKI, Serial: c.Certificate.Serial, State: state,
		ThisUpdate: now.Add(-5 * time.Minute), NextUpdate: now.Add(10 * time.Minute),
	}
}

// TLS is the card as a TLS client certificate.
func (c *Card) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: c.Key}
}

// PKCS12 is the card with its CA as a PKCS #12 file, which browsers and tools import. It is encrypted with AES-256 and PBKDF2.
func (c *Card) PKCS12(random io.Reader, password string) ([]byte, error) {
	leaf, err := x509.ParseCertificate(c.Raw)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(c.CA.Raw)
	if err != nil {
		return nil, err
	}
	return pkcs12.Modern2023.WithRand(random).Encode(c.Key, leaf, []*x509.Certificate{ca}, password)
}
