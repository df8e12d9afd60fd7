package testcard

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/mynumber"
)

// Options of a folder.
type Options struct {
	Dir     string
	Now     time.Time
	Random  io.Reader // cryptographically strong
	Hosts   []string  // that the https certificate is for: localhost and names below it
	Holders []Holder
}

// Set is an open folder.
type Set struct {
	Cards  []Card          // in the order of the holders
	Server tls.Certificate // for https
	Roots  *x509.CertPool  // what trusts it
	Files  Files

	dir string
	mu  sync.Mutex
	doc manifest
	cas map[testpki.Tree][]*testpki.CA
}

// Files are the paths that a configuration names.
type Files struct {
	Server  string // certificate, its authority's and key in one file, 0600
	WebCA   string // what a browser has to trust
	Anchors string // both trees, all generations, PEM: fictitious. The profile takes the authentication tree alone, and knows the other one when it sees it
	Lists   string // folder of revocation lists
	Readme  string
}

// Card is a test card.
type Card struct {
	Holder
	TLS    tls.Certificate // with the key
	PKCS12 string          // path of the file to import; its password is Password
}

// Password of the PKCS #12 files.
const Password = testpki.Password

// manifest is what the folder knows of itself.
type manifest struct {
	Schema string            `json:"schema"`
	Made   time.Time         `json:"made"`
	Serial map[string]uint64 `json:"serial"` // of the last certificate of each authority
	List   uint64            `json:"list"`   // number of the last lists
	Cards  []record          `json:"cards"`
}

type record struct {
	Holder
	Revoked time.Time `json:"revoked_at,omitzero"`
}

const manifestSchema = "musubi.testcards.v1"

// Open reads the folder, or makes it; what it lacks (a card, a host, validity) it adds. Lists are published anew.
func Open(o Options) (*Set, error) {
	if o.Dir == "" || o.Now.IsZero() || o.Random == nil || len(o.Hosts) == 0 {
		return nil, errors.New("testcard: a folder without path, time, randomness or hosts")
	}
	seen := map[string]bool{}
	for _, h := range o.Holders {
		if err := h.check(); err != nil {
			return nil, err
		}
		if seen[h.ID] {
			return nil, fmt.Errorf("testcard: two holders are called %s", h.ID)
		}
		seen[h.ID] = true
	}
	s := &Set{dir: o.Dir, cas: map[testpki.Tree][]*testpki.CA{}}
	s.Files = Files{s.path("server.pem"), s.path("web-ca.pem"), s.path("anchors.pem"), s.path("crl"), s.path("README.md")}
	for _, sub := range []string{"", "ca", "cards", "crl"} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return nil, fmt.Errorf("testcard: %w", err)
		}
	}
	for _, step := range []func(Options) error{s.authorities, s.cards, s.web, s.readme} {
		if err := step(o); err != nil {
			return nil, err
		}
	}
	return s, s.Publish(o.Now)
}

func (s *Set) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// authorities reads or makes the two trees, with two generations each. The manifest is written last, so that a folder without one is made again.
func (s *Set) authorities(o Options) error {
	raw, err := os.ReadFile(s.path("cards.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s.found(o)
	}
	if err != nil {
		return fmt.Errorf("testcard: %w", err)
	}
	if err := json.Unmarshal(raw, &s.doc); err != nil || s.doc.Schema != manifestSchema {
		return fmt.Errorf("testcard: %s isn't ours or of another version: move the folder away, and a new one is made (cards have to be linked anew)", s.path("cards.json"))
	}
	for _, tree := range []testpki.Tree{testpki.AuthTree, testpki.SignTree} {
		for generation := 1; ; generation++ {
			name := caName(tree, generation)
			last, ok := s.doc.Serial[name]
			if !ok {
				break
			}
			der, key, err := s.readKeyed("ca/" + name)
			if err != nil {
				return err
			}
			ca, err := testpki.Resume(o.Random, tree, generation, der, key, last)
			if err != nil {
				return fmt.Errorf("testcard: %s: %w", name, err)
			}
			s.cas[tree] = append(s.cas[tree], ca)
		}
		if len(s.cas[tree]) == 0 {
			return fmt.Errorf("testcard: %s names no authority of the tree %s", s.path("cards.json"), tree)
		}
	}
	return nil
}

func caName(t testpki.Tree, generation int) string { return fmt.Sprintf("%s-%d", t, generation) }

func (s *Set) found(o Options) error {
	pki, err := testpki.New(o.Random, testpki.Options{Now: o.Now, Generations: 2})
	if err != nil {
		return err
	}
	s.doc = manifest{Schema: manifestSchema, Made: pki.Now}
	var anchors bytes.Buffer
	for _, tree := range []testpki.Tree{testpki.AuthTree, testpki.SignTree} {
		s.cas[tree] = pki.CAs(tree)
		for _, ca := range s.cas[tree] {
			if err := s.writeKeyed("ca/"+caName(tree, ca.Generation), ca.Raw, ca.Key); err != nil {
				return err
			}
			anchors.Write(pemOf("CERTIFICATE", ca.Raw))
		}
	}
	return write(s.Files.Anchors, anchors.Bytes(), 0o644)
}

// cards reads the cards that the folder has, and makes the others.
func (s *Set) cards(o Options) error {
	known := map[string]record{}
	for _, r := range s.doc.Cards {
		known[r.ID] = r
	}
	changed := s.doc.Serial == nil
	for _, h := range o.Holders {
		r, ok := known[h.ID]
		if !ok || r.Holder != h {
			changed = true
		}
		if !ok || r.Org != h.Org || r.Staff != h.Staff || r.Condition != h.Condition {
			var err error
			if r, err = s.issue(h, o); err != nil {
				return err
			}
		}
		r.Holder = h
		known[h.ID] = r
		der, key, err := s.readKeyed("cards/" + h.ID)
		if err != nil {
			return err
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("testcard: %s: %w", h.ID, err)
		}
		s.Cards = append(s.Cards, Card{
			Holder: h, TLS: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, PKCS12: s.path("cards/" + h.ID + ".p12"),
		})
	}
	if !changed {
		return nil
	}
	// A card whose holder isn't asked for any more keeps its entry: what was revoked stays revoked.
	asked := map[string]bool{}
	var all []record
	for _, h := range o.Holders {
		asked[h.ID] = true
		all = append(all, known[h.ID])
	}
	for _, r := range s.doc.Cards {
		if !asked[r.ID] {
			all = append(all, r)
		}
	}
	s.doc.Cards = all
	return s.keep()
}

// issue makes one card. Its files are there before the manifest says so.
func (s *Set) issue(h Holder, o Options) (record, error) {
	ca := s.newest(testpki.AuthTree)
	made := testpki.Holder{NotBefore: o.Now.AddDate(0, -1, 0), NotAfter: o.Now.AddDate(5, -1, 0)} // to the fifth birthday after its issue
	r := record{Holder: h}
	switch h.Condition {
	case Expired:
		ca = s.cas[testpki.AuthTree][0]
		made.NotBefore, made.NotAfter = o.Now.AddDate(-5, 0, 2), o.Now.AddDate(0, 0, -2)
	case Revoked:
		r.Revoked = o.Now.Add(-48 * time.Hour).UTC().Truncate(time.Second)
	case Signature:
		ca = s.newest(testpki.SignTree)
	}
	key, err := rsa.GenerateKey(o.Random, 2048)
	if err != nil {
		return r, fmt.Errorf("testcard: %w", err)
	}
	made.Key = key
	card, err := ca.Issue(made, o.Now)
	if err != nil {
		return r, err
	}
	bag, err := card.PKCS12(o.Random, Password)
	if err != nil {
		return r, err
	}
	return r, errors.Join(s.writeKeyed("cards/"+h.ID, card.Raw, key), write(s.path("cards/"+h.ID+".p12"), bag, 0o600))
}

func (s *Set) newest(t testpki.Tree) *testpki.CA { return s.cas[t][len(s.cas[t])-1] }

// keep writes the manifest.
func (s *Set) keep() error {
	s.doc.Serial = map[string]uint64{}
	for tree, all := range s.cas {
		for _, ca := range all {
			s.doc.Serial[caName(tree, ca.Generation)] = ca.Serial()
		}
	}
	raw, err := json.MarshalIndent(s.doc, "", "  ")
	if err != nil {
		return fmt.Errorf("testcard: %w", err)
	}
	return write(s.path("cards.json"), append(raw, '\n'), 0o644)
}

// Card gives the card of a holder's id.
func (s *Set) Card(id string) (Card, bool) {
	for _, c := range s.Cards {
		if c.ID == id {
			return c, true
		}
	}
	return Card{}, false
}

// Number names the card among all, as identity/mynumber does.
func (s *Set) Number(c Card) (mynumber.Card, error) {
	parsed, err := pkix.ParseCertificate(c.TLS.Certificate[0])
	if err != nil {
		return mynumber.Card{}, fmt.Errorf("testcard: %s: %w", c.ID, err)
	}
	for _, all := range s.cas {
		for _, ca := range all {
			if issued(ca, c.TLS.Certificate[0]) {
				return mynumber.Card{Issuer: parsed.Issuer.Canonical(), IssuerKey: ca.SPKI, Serial: parsed.Serial}, nil
			}
		}
	}
	return mynumber.Card{}, fmt.Errorf("testcard: %s is of no authority of this folder", c.ID)
}

// issued reports whether ca's key signed a certificate: generations share one name.
func issued(ca *testpki.CA, der []byte) bool {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	issuer, err := x509.ParseCertificate(ca.Raw)
	return err == nil && leaf.CheckSignatureFrom(issuer) == nil
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// write replaces a file at once, so that a kill leaves the old one or the new one.
func write(path string, data []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return fmt.Errorf("testcard: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("testcard: %w", err)
	}
	return nil
}

// writeKeyed writes a certificate beside its key, the key first.
func (s *Set) writeKeyed(name string, der []byte, key crypto.Signer) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("testcard: %w", err)
	}
	return errors.Join(write(s.path(name+".key.pem"), pemOf("PRIVATE KEY", private), 0o600), write(s.path(name+".pem"), pemOf("CERTIFICATE", der), 0o644))
}

func (s *Set) readKeyed(name string) (der []byte, key crypto.Signer, err error) {
	pair, err := tls.LoadX509KeyPair(s.path(name+".pem"), s.path(name+".key.pem"))
	if err != nil {
		return nil, nil, fmt.Errorf("testcard: %s: %w: move %s away, and it is made anew", s.path(name), err, s.dir)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("testcard: %s: no key to sign with", s.path(name))
	}
	return pair.Certificate[0], key, nil
}
