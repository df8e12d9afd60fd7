package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// bulletin plays a SAML provider that is told of logouts by SOAP: it signs what it answers, once it is awake.
type bulletin struct {
	key         *rsa.PrivateKey
	certificate []byte
	awake       atomic.Bool
	got         atomic.Int64
	parties
}

func newBulletin(t *testing.T) *bulletin {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	noError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wiki"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	noError(t, err)
	return &bulletin{key: key, certificate: der}
}

// RoundTrip implements http.RoundTripper.
func (w *bulletin) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() != "https://wiki.example/soap" {
		return w.parties.RoundTrip(r)
	}
	w.got.Add(1)
	if !w.awake.Load() {
		return nil, errors.New("asleep")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	envelope, err := wire.Parse(body, wire.MessageLimits)
	if err != nil {
		return nil, err
	}
	request, err := wire.Body(envelope)
	if err != nil {
		return nil, err
	}
	el := etree.NewElement("samlp:LogoutResponse")
	el.CreateAttr("xmlns:samlp", wire.NSProtocol)
	el.CreateAttr("ID", "_answer")
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", time.Now().UTC().Format(time.RFC3339))
	el.CreateAttr("InResponseTo", wire.Attr(request, "ID"))
	issuer := el.CreateElement("saml:Issuer")
	issuer.CreateAttr("xmlns:saml", wire.NSAssertion)
	issuer.SetText("https://wiki.example/metadata")
	el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Success")
	if err := wire.Sign(el, w.key, w.certificate); err != nil {
		return nil, err
	}
	doc, err := wire.Bytes(wire.Envelope(el))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(bytes.NewReader(doc)), Request: r}, err
}

// TestSingleLogoutServed: an administrator ends a person's sessions beside a serving hub, and SaaS of both protocols hear of it; what became of it is
// one list.
func TestSingleLogoutServed(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		i.begin(t)
		i.gated(t, nil)
		i.fill(t, 3, hokkaido, sapporo)
		i.relyingParty(t)
		w := newBulletin(t)
		s := i.loggedIn(t, sapporo, staff(2))
		i.stores(t, func(ctx context.Context, h *boot.Hub, _ *boot.Accounts) error {
			operator, err := access.BreakGlass("operator")
			if err != nil {
				return err
			}
			for id, ends := range map[policies.RelyingPartyID][]sp.Endpoint{
				"wiki": {{Binding: sp.BindingSOAP, Location: "https://wiki.example/soap"}}, "board": {{Binding: sp.BindingRedirect, Location: "https://board.example/slo"}},
			} {
				err := h.SPs.Add(ctx, operator, sp.SP{
					ID: id, Name: string(id), EntityID: "https://" + string(id) + ".example/metadata", Sector: string(id) + ".example", Sign: sp.SignBoth,
					NameID: sp.NameIDPersistent, Least: policies.AssuranceTwo, Signing: [][]byte{w.certificate},
					Faces: []sp.Face{{Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://" + string(id) + ".example/acs"}}, Logout: ends}},
				}, h.Now().UnixMicro())
				if err != nil {
					return err
				}
				at := h.Now().UnixMicro()
				if _, err := h.DB.Writer().ExecContext(ctx, `INSERT INTO saml_grant (id, party, network, session, session_index, person, org, name_id, format, created_at, expires_at)
					VALUES ($1, $1, 'internet', $2, 'index', $3, $4, 'name', $5, $6, $7)`,
					string(id), string(s.ID), string(s.Person), string(s.Org), string(sp.NameIDPersistent), at, at+time.Hour.Microseconds()); err != nil {
					return err
				}
			}
			return nil
		})
		town := i.credential(t, sapporo, staff(1))
		i.serving(t, w)
		states := func(args ...string) map[string]string {
			t.Helper()
			var doc logoutsDocument
			i.document(t, 0, "musubi.logouts.v1", &doc, append([]string{"logouts", "--as", i.planner()}, args...)...)
			by := map[string]string{}
			for _, l := range doc.Logouts {
				by[string(l.RelyingParty)] = string(l.Protocol) + " " + string(l.State) + " " + l.Why
				if (l.Until != "") != (l.Protocol == logout.SAML) {
					t.Errorf("%+v", l)
				}
			}
			return by
		}
		within := func(what string, ok func() bool) {
			t.Helper()
			for deadline := time.Now().Add(patient); !ok(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("never: %s: %v", what, states())
				}
			}
		}
		i.must(t, "sessions", "end", "--org", string(sapporo), staff(2), "--reason", "端末の紛失", "--as", town)
		within("the wiki is tried", func() bool { return w.got.Load() > 0 && states("--late")["wiki"] == "saml pending unreachable" })
		w.awake.Store(true)
		within("it has it", func() bool { return states()["wiki"] == "saml delivered " && states()["jira"] == "openid delivered " })
		if got := states("--unproven"); len(got) != 1 || got["board"] != "saml untold no_browser" {
			t.Errorf("%v", got)
		}
	})
}
