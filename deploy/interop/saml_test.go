//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// samlHub is a SAML identity provider whose dispatcher logs one synthetic person in at once, and whose pages are JSON.
type samlHub struct {
	db       *sqldb.DB
	provider *samlidp.Provider
	registry *sp.Registry
	origin   string
	tls      string // file of the server's certificate
	cert     string // file of the certificate that signs
	ended    atomic.Bool
}

func startSAMLHub(t *testing.T) *samlHub {
	t.Helper()
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), keys.Migration(), ppid.Migration(), sp.Migration(), samlidp.Migration()} {
		noError(t, db.Migrate(t.Context(), m))
	}
	seal, err := keys.NewSealingKey(rand.Reader)
	noError(t, err)
	ring, err := keys.New(db, keys.Options{Sealing: seal, Specs: samlidp.Specs(), Now: time.Now, Random: rand.Reader})
	noError(t, err)
	noError(t, ring.Ensure(t.Context(), func(context.Context, *sql.Tx, string, keys.Key) error { return nil }))
	subjects, err := ppid.New(seal, rand.Reader)
	noError(t, err)
	server := httptest.NewUnstartedServer(nil)
	h := &samlHub{db: db, registry: sp.NewRegistry(db), origin: "https://" + server.Listener.Addr().String()}
	h.provider, err = samlidp.New(samlidp.Options{
		DB: db, Keys: ring, Sealing: seal, Parties: h.registry, Subjects: subjects, People: h, Browser: h, Pages: h, Start: h.start,
		Sessions: h, Others: h, Enqueue: h, Transport: h,
		Origins: map[policies.Network]string{policies.NetworkInternet: h.origin}, Now: time.Now, Random: rand.Reader, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	noError(t, err)
	server.Config.Handler, err = h.provider.Handler(policies.NetworkInternet)
	noError(t, err)
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	h.tls, h.cert = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "idp.pem")
	noError(t, os.WriteFile(h.tls, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	metadata, err := h.provider.Metadata(t.Context(), policies.NetworkInternet)
	noError(t, err)
	el, err := wire.Parse(metadata, wire.MetadataLimits)
	noError(t, err)
	der, err := base64.StdEncoding.DecodeString(el.FindElement("./IDPSSODescriptor/KeyDescriptor//X509Certificate").Text())
	noError(t, err)
	noError(t, os.WriteFile(h.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return h
}

func (h *samlHub) Person(_ context.Context, id policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error) {
	return identity.Person{ID: id, Org: org, FamilyName: "試験", GivenName: "一郎", Email: "ichiro@city.example"}, identity.Organization{ID: org, Name: "試験市"}, nil
}

func (h *samlHub) Current(*http.Request) (session.Session, bool, error) {
	return session.Session{}, false, nil
}

// The hub's sessions: there is "s1", until somebody ends it. No provider is told by SOAP, and there are no parties of another protocol.

func (h *samlHub) End(_ http.ResponseWriter, r *http.Request, s session.Session) error {
	return h.LogoutByParty(r.Context(), s.ID, "", time.Now())
}

func (h *samlHub) LogoutByParty(ctx context.Context, id identity.SessionID, _ policies.RelyingPartyID, _ time.Time) error {
	if h.ended.Swap(true) {
		return identity.ErrNotFound
	}
	return h.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return h.provider.SessionEnded(ctx, tx, session.Session{ID: id, Network: policies.NetworkInternet, EndedWhy: session.WhyLogout}, nil)
	})
}

func (h *samlHub) Untold(context.Context, identity.SessionID) (bool, error) { return false, nil }

func (h *samlHub) EnqueueLogout(context.Context, *sql.Tx, string) error { return nil }

func (h *samlHub) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no SOAP here")
}

func (h *samlHub) Onward(w http.ResponseWriter, r *http.Request, o samlidp.Onward) {
	h.Form(w, r, o.Answer)
}

func (h *samlHub) LoggedOut(w http.ResponseWriter, _ *http.Request, _ samlidp.LoggedOut) {
	_, _ = w.Write([]byte(`{"to":"","form":{}}`))
}

func (h *samlHub) start(w http.ResponseWriter, r *http.Request, ask login.Ask) {
	var a login.Answer
	err := h.db.WithTx(r.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		a, err = h.provider.Finish(ctx, tx, login.Request{Ask: ask}, identity.Login{
			Session: "s1", Person: "p1", Org: "011002", RelyingParty: ask.RelyingParty, Network: ask.Network, Assurance: policies.AssuranceCard,
			AMR: []string{"hwk", "mfa", "pin", "sc"}, AuthAt: time.Now().UnixMicro(), Release: policies.Attributes(), PolicyHash: "hash",
		})
		return err
	})
	if err == nil {
		a, err = a.Made()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Form(w, r, a)
}

func (h *samlHub) Problem(w http.ResponseWriter, _ *http.Request, p samlidp.Problem) {
	http.Error(w, p.Reason, p.Status)
}

func (h *samlHub) Form(w http.ResponseWriter, _ *http.Request, a login.Answer) {
	form := map[string]string{}
	for _, f := range a.Form {
		form[f[0]] = f[1]
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"to": a.Location, "form": form})
}

// ownKey makes a provider's key and certificate, with the files that hold them.
func ownKey(t *testing.T) (der []byte, key, certificate string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	noError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	noError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	noError(t, err)
	dir := t.TempDir()
	key, certificate = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	noError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	noError(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return der, key, certificate
}

// TestNodeSAML has node-saml, with all checks on, log in by both bindings, with the assertion in clear and encrypted, and log out, by its own wish and by
// that of another provider.
func TestNodeSAML(t *testing.T) {
	der, key, certificate := ownKey(t)
	by, err := access.BreakGlass("operator")
	noError(t, err)
	for _, c := range []struct {
		id, binding string
		encrypt     bool
	}{{"redirect", "HTTP-Redirect", false}, {"post", "HTTP-POST", false}, {"encrypted", "HTTP-Redirect", true}} {
		t.Run(c.id, func(t *testing.T) {
			h := startSAMLHub(t)
			p := sp.SP{
				ID: policies.RelyingPartyID(c.id), Name: "node-saml", EntityID: "https://" + c.id + ".example/metadata", Sector: c.id + ".example",
				Faces: []sp.Face{{
					Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://" + c.id + ".example/acs"}},
					Logout: []sp.Endpoint{{Binding: sp.BindingRedirect, Location: "https://" + c.id + ".example/slo"}},
				}},
				Signing: [][]byte{der}, Signed: true, Encryption: []sp.Encryption{{Certificate: der}}, Encrypt: c.encrypt, Sign: sp.SignBoth, NameID: sp.NameIDPersistent,
				Least: policies.AssuranceTwo, Attributes: []sp.Attribute{{Field: sp.FieldEmail, Name: "mail"}, {Field: sp.FieldDisplayName, Name: "displayName"}},
			}
			noError(t, h.registry.Add(t.Context(), by, p, 1))
			other := p
			other.ID, other.EntityID, other.Sector = "other", "https://other.example/metadata", "other.example"
			other.Faces = []sp.Face{{
				Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://other.example/acs"}},
				Logout: []sp.Endpoint{{Binding: sp.BindingRedirect, Location: "https://other.example/slo"}},
			}}
			noError(t, h.registry.Add(t.Context(), by, other, 1))
			var got map[string]string
			runScript(t, []string{
				"NODE_EXTRA_CA_CERTS=" + h.tls, "ENTRY=" + h.origin + "/saml/sso", "IDP=" + h.origin + "/saml/metadata", "CERT=" + h.cert, "ISSUER=" + p.EntityID,
				"SLO=" + h.origin + "/saml/slo", "OTHER=" + other.EntityID, "OTHER_ACS=" + other.Faces[0].Consumers[0].Location,
				"ACS=" + p.Faces[0].Consumers[0].Location, "KEY=" + key, "PUBLIC=" + certificate, "BINDING=" + c.binding,
			}, &got, "saml-provider.mjs")
			if got["failed"] != "" {
				t.Fatal(got["failed"])
			}
			for name, want := range map[string]string{
				"to": p.Faces[0].Consumers[0].Location, "relay": "state", "format": string(sp.NameIDPersistent), "qualifier": p.EntityID, "mail": "ichiro@city.example", "name": "試験 一郎",
				"told": "true", "out": "true", "bye": "bye",
			} {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
			if len(got["nameID"]) != 32 || got["index"] == "" {
				t.Errorf("%v", got)
			}
			for name, want := range map[string]string{"again": "InResponseTo", "changed": "signature", "elsewhere": "audience", "password": "Responder error: incident", "forged": "signature"} {
				if !strings.Contains(got[name], want) {
					t.Errorf("%s: it says %q, want something of %s", name, got[name], want)
				}
			}
		})
	}
}

// TestXMLEncryption has xml-encryption decrypt every kind of encryption that is emitted, OAEP with SHA-256 among them, which Debian's xmlsec1
// doesn't know.
func TestXMLEncryption(t *testing.T) {
	der, key, _ := ownKey(t)
	parsed, err := x509.ParseCertificate(der)
	noError(t, err)
	public, ok := parsed.PublicKey.(*rsa.PublicKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	const assertion = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a">試験</saml:Assertion>`
	for name, methods := range map[string][]string{
		"nothing listed": nil, "GCM": {wire.AES256GCM}, "GCM of 128 bits": {wire.AES128GCM}, "GCM, OAEP with SHA-256": {wire.AES256GCM, wire.OAEP}, "CBC, OAEP with SHA-256": {wire.OAEP},
	} {
		el, err := wire.Parse([]byte(assertion), wire.MessageLimits)
		noError(t, err)
		sealed, err := wire.Encrypt(el, wire.For(public, methods), rand.Reader)
		noError(t, err)
		doc, err := wire.Bytes(sealed)
		noError(t, err)
		command := exec.CommandContext(t.Context(), "node", "xml-decrypt.mjs")
		command.Env, command.Stdin = append(os.Environ(), "KEY="+key), bytes.NewReader(doc)
		if out, err := command.CombinedOutput(); err != nil || string(out) != assertion {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
