package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// publisher signs its metadata and serves it.
type publisher struct {
	address string
	ca      []byte
	signer  []byte // certificate, PEM
	doc     atomic.Pointer[[]byte]
	sign    func(t *testing.T, text string) []byte
	der     []byte
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 20)}
	p := &publisher{}
	if p.der, err = x509.CreateCertificate(rand.Reader, template, template, k.Public(), k); err != nil {
		t.Fatal(err)
	}
	p.sign = func(t *testing.T, text string) []byte {
		t.Helper()
		el, err := wire.Parse([]byte(text), wire.MetadataLimits)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.Sign(el, k, p.der); err != nil {
			t.Fatal(err)
		}
		b, err := wire.Bytes(el)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if doc := p.doc.Load(); doc != nil {
			_, _ = w.Write(*doc)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	p.address = s.URL + "/metadata"
	p.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	p.signer = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.der})
	return p
}

func (p *publisher) text(consumers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<md:EntityDescriptor xmlns:md="%s" xmlns:ds="%s" ID="_m" entityID="https://sp.example/metadata" validUntil="2099-01-01T00:00:00Z"><md:SPSSODescriptor protocolSupportEnumeration="%s">`+
		`<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`,
		wire.NSMetadata, wire.NSSignature, wire.NSProtocol, base64.StdEncoding.EncodeToString(p.der))
	for i, c := range consumers {
		fmt.Fprintf(&b, `<md:AssertionConsumerService Binding="%s" Location="%s" index="%d" isDefault="%t"/>`, sp.BindingPOST, c, i, i == 0)
	}
	b.WriteString(`</md:SPSSODescriptor></md:EntityDescriptor>`)
	return b.String()
}

func (p *publisher) publish(doc []byte) { p.doc.Store(&doc) }

// varying is what differs from run to run.
var varying = []struct {
	form *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`[0-9a-f]{64}`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "HASH"},
	{regexp.MustCompile(`\bp[a-z2-7]{26}\b`), "PERSON"},
	{regexp.MustCompile(`https://127\.0\.0\.1:\d+`), "https://HOST"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(`20[0-8]\d-\d\d-\d\d \d\d:\d\d:\d\d JST`), "TIME"},
	{regexp.MustCompile(`(ends: \S+(?: \S+)* / \S+ certificate) \S+ \(`), "$1 DATE ("},
	{regexp.MustCompile(`\(until 20\d\d-\d\d-\d\d\)`), "(until DATE)"},
	{regexp.MustCompile(` {2,}`), "  "},
}

func pinned(text string) string {
	for _, v := range varying {
		text = v.form.ReplaceAllString(text, v.by)
	}
	return text
}

// publishing gives the installation a service provider that publishes its metadata, and the way to it.
func (i *install) publishing(t *testing.T, p *publisher) {
	t.Helper()
	i.begin(t)
	ca := i.path("ca.pem")
	write(t, ca, p.ca)
	i.gated(t, map[string]string{"backchannel.ca_file": ca, "backchannel.proxy": "direct"})
	write(t, i.path("signer.pem"), p.signer)
	i.stores(t, func(ctx context.Context, h *boot.Hub, _ *boot.Accounts) error {
		m, err := sp.ReadMetadata([]byte(p.text("https://sp.example/acs")), h.Now().UnixMicro(), nil)
		if err != nil {
			return err
		}
		x := m.Draft(policies.NetworkInternet)
		x.ID, x.Name, x.Sector, x.Least = "wiki", "文書庫", "sp.example", policies.AssuranceTwo
		actor, err := h.Actor(ctx, i.planner())
		if err != nil {
			return err
		}
		return h.SPs.Add(ctx, actor, x, h.Now().UnixMicro())
	})
}

// A provider's metadata, from its address to the registration: shown, swapped under way, accepted, rejected, out of reach.
func TestMetadata(t *testing.T) {
	eachEngine(t, func(t *testing.T, i *install) {
		p := newPublisher(t)
		var screens strings.Builder
		i.publishing(t, p)
		with := func(args ...string) []string {
			return append(append([]string{"rp", "metadata"}, args...), "--as", i.planner())
		}
		see := func(code int, args ...string) string {
			t.Helper()
			r := i.musubi(t, with(args...)...)
			if r.code != code {
				t.Fatalf("musubi rp metadata %s: want exit %d, got %v", strings.Join(args, " "), code, r)
			}
			fmt.Fprintf(&screens, "$ musubi rp metadata %s\n%s%s\n", pinned(strings.ReplaceAll(strings.Join(args, " "), i.data, "DATA")), pinned(r.out), pinned(strings.ReplaceAll(r.err, i.data, "DATA")))
			return r.out
		}
		shown := func() (v metadataView) {
			t.Helper()
			i.document(t, 0, "musubi.rp-metadata.v1", &v, with("show", "wiki")...)
			return v
		}
		see(0, "list")
		see(3, "fetch", "wiki")
		see(2, "source", "wiki", "--address", "http://sp.example/metadata")
		see(2, "source", "wiki", "--address", p.address, "--harmless")
		see(0, "source", "wiki", "--address", p.address, "--signer", i.path("signer.pem"), "--dry-run")
		if v := shown(); v.Address != "" {
			t.Errorf("a dry run changes the source: %+v", v)
		}
		see(0, "source", "wiki", "--address", p.address, "--signer", i.path("signer.pem"), "--harmless")
		see(5, "fetch", "wiki") // the server is away
		p.publish([]byte(p.text("https://sp.example/acs")))
		see(3, "fetch", "wiki") // nobody signed it
		p.publish(p.sign(t, p.text("https://sp.example/acs")))
		see(0, "fetch", "--all")
		p.publish(p.sign(t, p.text("https://sp.example/acs", "https://wiki-sp.test/acs")))
		see(0, "diff", "wiki")
		if v := shown(); v.Pending != nil {
			t.Errorf("a look keeps something: %+v", v.Pending)
		}
		see(0, "fetch", "wiki")
		see(0, "show", "wiki")
		seen := shown().Pending.Hash
		p.publish(p.sign(t, p.text("https://sp.example/acs", "https://evil.test/acs")))
		i.must(t, with("fetch", "wiki")...)
		see(3, "accept", "wiki", seen) // swapped under way
		see(0, "reject", "wiki", shown().Pending.Hash[:12], "--why", "相手は知らないと言っている")
		p.publish(p.sign(t, p.text("https://sp.example/acs2")))
		i.must(t, with("fetch", "wiki")...)
		hash := shown().Pending.Hash[:12]
		see(0, "accept", "wiki", hash, "--dry-run")
		if r := i.musubi(t, "rp", "metadata", "accept", "wiki", hash); r.code != 3 {
			t.Errorf("break-glass accepts: %v", r)
		}
		if v := shown(); v.Pending == nil {
			t.Fatal("it is gone")
		}
		see(0, "accept", "wiki", hash)
		var list struct {
			Parties []struct{ ID string } `json:"relying_parties"`
		}
		i.document(t, 0, "musubi.rps.v1", &list, "rp", "list", "--as", i.planner())
		see(0, "show", "wiki", "--history", "5")
		see(0, "list", "--attention")
		file := i.path("wiki.xml")
		write(t, file, p.sign(t, p.text("https://sp.example/acs3")))
		see(0, "fetch", "wiki", "--file", file, "--dry-run")
		see(3, "show", "wikki")
		see(0, "source", "wiki", "--remove")
		var fetched struct {
			Fetched []fetchedView `json:"fetched"`
		}
		i.document(t, 0, "musubi.rp-metadata-fetch.v1", &fetched, with("fetch", "wiki", "--file", file)...)
		if len(fetched.Fetched) != 1 || fetched.Fetched[0].Outcome != sp.OutcomePending || fetched.Fetched[0].Proposal.Verified {
			t.Errorf("%+v", fetched)
		}
		if out := i.must(t, "rp", "metadata", "accept", "--help"); !strings.Contains(out, "先頭 12 文字以上") {
			t.Error(out)
		}
		golden := filepath.Join("testdata", "rpmetadata.txt")
		if *update {
			write(t, golden, []byte(screens.String()))
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != screens.String() {
			t.Errorf("run with -update and look at what changed:\n%s", screens.String())
		}
	})
}

// A serving hub reads by itself what has a source, tells administrators what it would change and what ends, and counts it.
func TestMetadataServed(t *testing.T) {
	p := newPublisher(t)
	i := &install{data: t.TempDir()}
	i.publishing(t, p)
	p.publish(p.sign(t, p.text("https://sp.example/acs", "https://sp.example/acs2")))
	i.must(t, "rp", "metadata", "source", "wiki", "--address", p.address, "--signer", i.path("signer.pem"), "--as", i.planner())
	hub := i.start(t, "serve", "--listen", "127.0.0.1:0")
	defer hub.kill()
	address := hub.match(t, `probes http://([0-9.:]+)`)
	told := func(kind string) bool {
		var doc noticesDocument
		i.document(t, 0, "musubi.notices.v1", &doc, "notices", "--as", i.planner())
		return slices.ContainsFunc(doc.Notices, func(n noticeView) bool { return n.Kind == kind && n.Object == "wiki" })
	}
	hub.until(t, "administrators are told of the difference", func() bool { return told(identity.NoticeMetadata) })
	hub.until(t, "administrators are told of the end", func() bool { return told(identity.NoticeExpires) })
	var v metadataView
	i.document(t, 0, "musubi.rp-metadata.v1", &v, "rp", "metadata", "show", "wiki", "--as", i.planner())
	if v.State != "waits" || !v.Pending.Verified || len(v.Pending.Changes) != 2 {
		t.Errorf("%+v", v)
	}
	body := get(t, &http.Client{Timeout: patient}, address+"/metrics")
	for _, want := range []string{`musubi_saml_metadata{state="waits"} 1`, `musubi_saml_expiring{days="30"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
