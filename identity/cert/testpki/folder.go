package testpki

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"time"
)

// File is one file of a folder, with its path below it.
type File struct {
	Path   string
	Secret bool // holds a private key
	Data   []byte
}

// Sample is one card of a folder, with what a verification must say of it.
type Sample struct {
	Name     string `json:"name"` // of its files, and the id in batch.jsonl
	About    string `json:"about"`
	Tree     Tree   `json:"tree"`
	Kind     Kind   `json:"kind"`
	Valid    bool   `json:"valid"`
	Expected string `json:"expected"` // the code of certd
	OCSP     string `json:"ocsp"`     // good or revoked
}

// Folder is a hierarchy with cards, lists and answers as files.
type Folder struct {
	Files   []File
	Samples []Sample
	Until   time.Time // when the lists and answers are out of date
}

// Password of the PKCS #12 files. It is no secret, since the keys aren't.
const Password = "musubi-test"

// folder is a Folder in the making.
type folder struct {
	Folder
	pki    *PKI
	random io.Reader
	batch  bytes.Buffer
	bases  map[*CA][]Entry // entries of each CA's complete list
}

type wanted struct {
	Sample
	ca     *CA
	holder Holder
	reason int // -1: not revoked
}

// NewFolder makes cards of every kind, revoked ones and expired ones, the lists and answers about them, and the lines for
// `certd verify --batch`. The same octets from random make the same folder.
func NewFolder(random io.Reader, p *PKI) (*Folder, error) {
	f := &folder{pki: p, random: random, bases: map[*CA][]Entry{}}
	f.Until = p.Now.Add(23 * time.Hour)
	for _, t := range []Tree{AuthTree, SignTree} {
		var all bytes.Buffer
		for _, ca := range p.CAs(t) {
			if err := f.signer(fmt.Sprintf("anchors/%s-%d", t, ca.Generation), &ca.Signer); err != nil {
				return nil, err
			}
			all.Write(pemOf("CERTIFICATE", ca.Raw))
		}
		f.add(fmt.Sprintf("anchors/%s.pem", t), all.Bytes())
	}
	if err := f.cards(); err != nil {
		return nil, err
	}
	f.add("batch.jsonl", f.batch.Bytes())
	f.add("README.md", f.readme())
	manifest, err := json.MarshalIndent(struct {
		Schema  string    `json:"schema"`
		Made    time.Time `json:"made"`
		Until   time.Time `json:"until"`
		Samples []Sample  `json:"samples"`
	}{"musubi.testpki.manifest.v1", p.Now, f.Until, f.Samples}, "", "  ")
	if err != nil {
		return nil, err
	}
	f.add("manifest.json", append(manifest, '\n'))
	return &f.Folder, nil
}

func (f *folder) add(path string, data []byte) {
	f.Files = append(f.Files, File{Path: path, Data: data})
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (f *folder) wanted() []wanted {
	auth, sign, old := f.pki.Newest(AuthTree), f.pki.Newest(SignTree), f.pki.Auth[0]
	now := f.pki.Now
	expired := Holder{NotBefore: now.AddDate(-1, 0, 1), NotAfter: now.AddDate(0, 0, -1), Municipality: Municipalities[2]}
	list := []wanted{
		{Sample{Name: "auth-rsa", About: "有効 / valid", Expected: "ok"}, auth, Holder{}, -1},
		{Sample{Name: "auth-p256", About: "有効、P-256 / valid, P-256", Expected: "ok"}, auth, Holder{Kind: P256}, -1},
		{Sample{Name: "auth-p384", About: "有効、P-384 / valid, P-384", Expected: "ok"}, auth, Holder{Kind: P384}, -1},
		{Sample{Name: "auth-old-ca", About: "前の世代の認証局 / older CA, same name", Expected: "ok"}, old, Holder{Municipality: Municipalities[1]}, -1},
		{Sample{Name: "auth-revoked", About: "失効 (更新) / superseded", Expected: "revoked"}, auth, Holder{Municipality: Municipalities[1]}, Superseded},
		{Sample{Name: "auth-hold", About: "一時保留 / on hold, never released", Expected: "on-hold"}, auth, Holder{}, CertificateHold},
		{Sample{Name: "auth-expired", About: "有効期間切れ / expired", Expected: "expired"}, auth, expired, -1},
		{Sample{Name: "sign-rsa", About: "署名用、有効 / signature, valid", Expected: "ok"}, sign, Holder{}, -1},
		{Sample{Name: "sign-revoked", About: "失効 (変更) / affiliationChanged", Expected: "revoked"}, sign, Holder{}, AffiliationChanged},
	}
	for i := range list {
		w := &list[i]
		w.Tree, w.Kind, w.Valid, w.OCSP = w.ca.Tree, w.holder.Kind, w.Expected == "ok", "good"
		if w.Kind == "" {
			w.Kind = RSA2048
		}
		if w.reason >= 0 {
			w.OCSP = "revoked"
		}
	}
	return list
}

func (f *folder) cards() error {
	cards := map[string]*Card{}
	all := f.wanted()
	revokedAt := f.pki.Now.Add(-48 * time.Hour)
	for _, w := range all {
		card, err := w.ca.Issue(w.holder, f.pki.Now)
		if err != nil {
			return err
		}
		cards[w.Name] = card
		if w.reason >= 0 {
			f.bases[w.ca] = append(f.bases[w.ca], card.Entry(revokedAt, w.reason))
		}
		if err := f.card("cards/"+w.Name, card); err != nil {
			return err
		}
		f.Samples = append(f.Samples, w.Sample)
	}
	f.forOpenssl(all, cards)
	lists := f.lists(all, cards)
	responders := map[*CA]*Signer{}
	for _, w := range all {
		r := responders[w.ca]
		if r == nil {
			var err error
			if r, err = w.ca.Responder(RSA2048, f.pki.Now, nil); err != nil {
				return err
			}
			responders[w.ca] = r
			if err := f.signer(fmt.Sprintf("ocsp/responder-%s-%d", w.ca.Tree, w.ca.Generation), r); err != nil {
				return err
			}
		}
		single := cards[w.Name].Single(StateGood, f.pki.Now)
		single.NextUpdate = f.Until
		if w.reason >= 0 {
			single.State, single.RevokedAt, single.Reason = StateRevoked, revokedAt, w.reason
		}
		answer := r.Answer(f.pki.Now, single).Der(r.Key)
		f.add("ocsp/"+w.Name+".resp", answer)
		if err := f.line(w, cards[w.Name], w.Name+"/crl", [][]byte{lists[w.ca][cards[w.Name].Municipality]}, nil); err != nil {
			return err
		}
		if err := f.line(w, cards[w.Name], w.Name+"/ocsp", nil, [][]byte{answer}); err != nil {
			return err
		}
	}
	return nil
}

// signer writes a certificate and its key.
func (f *folder) signer(path string, s *Signer) error {
	key, err := x509.MarshalPKCS8PrivateKey(s.Key)
	if err != nil {
		return err
	}
	f.add(path+".pem", pemOf("CERTIFICATE", s.Raw))
	f.Files = append(f.Files, File{path + ".key.pem", true, pemOf("PRIVATE KEY", key)})
	return nil
}

func (f *folder) card(path string, c *Card) error {
	if err := f.signer(path, &c.Signer); err != nil {
		return err
	}
	bag, err := c.PKCS12(f.random, Password)
	if err != nil {
		return err
	}
	f.Files = append(f.Files, File{path + ".p12", true, bag})
	return nil
}

// lists writes, for each CA, a complete list, one of each municipality's partition, and a delta to the complete one.
func (f *folder) lists(all []wanted, cards map[string]*Card) map[*CA]map[Municipality][]byte {
	out := map[*CA]map[Municipality][]byte{}
	for _, t := range []Tree{AuthTree, SignTree} {
		for _, ca := range f.pki.CAs(t) {
			base := fmt.Sprintf("crls/%s-%d", t, ca.Generation)
			full := ca.List(1000, f.pki.Now)
			full.Entries = f.bases[ca]
			f.list(base+"-all", full.Der(ca.Key))
			delta := ca.List(1001, f.pki.Now)
			delta.Base = 1000
			f.list(base+"-delta", delta.Der(ca.Key))
			out[ca] = map[Municipality][]byte{}
			for _, m := range Municipalities {
				part := ca.List(1000, f.pki.Now)
				part.Partition = ca.Partition(m)
				for _, w := range all {
					if card := cards[w.Name]; w.ca == ca && w.reason >= 0 && card.Municipality == m {
						part.Entries = append(part.Entries, card.Entry(f.pki.Now.Add(-48*time.Hour), w.reason))
					}
				}
				out[ca][m] = part.Der(ca.Key)
				f.list(base+"-"+m.Code, out[ca][m])
			}
		}
	}
	return out
}

func (f *folder) list(path string, raw []byte) {
	f.add(path+".crl", raw)
	f.add(path+".pem", pemOf("X509 CRL", raw))
}

// opensslConfig lets `openssl ca -gencrl` make the list of a CA, for the time when ours are out of date.
const opensslConfig = `[extensions]
authorityKeyIdentifier = keyid:always
`

// reasons are openssl's names in its index of certificates.
var reasons = map[int]string{Superseded: "superseded", AffiliationChanged: "affiliationChanged", CertificateHold: "holdInstruction,1.2.840.10040.2.1"}

// forOpenssl writes what openssl needs to play the CA and its responder: its index of certificates, a configuration, a number for lists.
func (f *folder) forOpenssl(all []wanted, cards map[string]*Card) {
	config := bytes.NewBufferString(opensslConfig)
	f.add("openssl/crlnumber", []byte("2000\n"))
	const stamp = "060102150405Z"
	for _, t := range []Tree{AuthTree, SignTree} {
		for _, ca := range f.pki.CAs(t) {
			var index bytes.Buffer
			for _, w := range all {
				if w.ca != ca {
					continue
				}
				state, revoked, c := "V", "", cards[w.Name].Certificate
				if w.reason >= 0 {
					state, revoked = "R", f.pki.Now.Add(-48*time.Hour).Format(stamp)+","+reasons[w.reason]
				}
				fmt.Fprintf(&index, "%s\t%s\t%s\t%X\tunknown\t/CN=%s\n", state, c.NotAfter.UTC().Format(stamp), revoked, c.Serial, w.Name)
			}
			name := fmt.Sprintf("%s-%d", t, ca.Generation)
			f.add("openssl/index-"+name+".txt", index.Bytes())
			fmt.Fprintf(config, "[%[1]s]\ndatabase = openssl/index-%[1]s.txt\ncrlnumber = openssl/crlnumber\ndefault_md = sha256\ndefault_crl_days = 1\ncrl_extensions = extensions\n", name)
		}
	}
	f.add("openssl/openssl.cnf", config.Bytes())
}

// line adds one line of certd's batch.
func (f *folder) line(w wanted, c *Card, id string, lists, answers [][]byte) error {
	line := struct {
		ID      string   `json:"id"`
		Time    string   `json:"time"`
		Profile string   `json:"profile"`
		Anchors []string `json:"anchors"`
		Leaf    string   `json:"leaf"`
		CRLs    []string `json:"crls,omitempty"`
		OCSP    []string `json:"ocsp,omitempty"`
	}{ID: id, Time: f.pki.Now.Format(time.RFC3339), Profile: "jpki-" + string(w.Tree) + "-test", Leaf: string(pemOf("CERTIFICATE", c.Raw))}
	for _, ca := range f.pki.CAs(w.Tree) {
		line.Anchors = append(line.Anchors, string(pemOf("CERTIFICATE", ca.Raw)))
	}
	for _, l := range lists {
		line.CRLs = append(line.CRLs, base64.StdEncoding.EncodeToString(l))
	}
	for _, a := range answers {
		line.OCSP = append(line.OCSP, base64.StdEncoding.EncodeToString(a))
	}
	return json.NewEncoder(&f.batch).Encode(line)
}
