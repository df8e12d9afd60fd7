package mynumber

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/policies"
)

// Evidence keeps what makes a verdict recomputable. It holds the card's certificate: an implementation encrypts it, gives it a retention, and never
// logs it. Where there is one, a proof whose evidence can't be kept isn't given.
type Evidence interface {
	Keep(ctx context.Context, id identity.LoginID, credential string, at int64, evidence json.Marshaler) error
}

// Kind is what a certificate of a policy stands for.
type Kind struct {
	Assurance policies.Assurance
	AMR       []string // RFC 8176
}

// Card is a physical card: its authentication key is in its chip, and each use takes the PIN (公的個人認証法 38条2項).
func cardKind() Kind {
	return Kind{policies.AssuranceCard, []string{identity.AMRSmartCard, identity.AMRHardwareKey, identity.AMRPIN, identity.AMRMultiFactor}}
}

// DefaultKinds are the policies of authentication certificates that are known: of the card, and of the test cards of testpki. A phone's certificate
// isn't among them: its policy isn't public, and its PIN may be a finger.
func DefaultKinds() map[string]Kind {
	return map[string]Kind{"1.2.392.200149.8.5.1.3.30": cardKind(), "1.2.392.200149.8.5.1.0.30": cardKind()}
}

// Config of a Method.
type Config struct {
	Verifier Verifier
	Links    *Links
	Hosts    map[policies.Network]string // origin of the card host in each network: "https://card.example.go.jp"
	Path     string                      // on it, where the browser presents the card; takes ?ticket=
	Proxies  []Proxy                     // that end TLS before us
	Evidence Evidence                    // nil: none is kept
	Kinds    map[string]Kind             // by certificate policy; nil: DefaultKinds
	// OriginBound says that whatever signs challenges signs them only for the origin that it sees itself, as a browser's TLS does. Without it another
	// site could pass a challenge on to the card, and a signed challenge is worth AssuranceTwo at most.
	OriginBound bool
}

// Method is login by the card. It implements login.Method, login.Linker and login.Holder.
type Method struct{ cfg Config }

// New makes the method.
func New(cfg Config) (*Method, error) {
	if cfg.Verifier == nil || cfg.Links == nil || len(cfg.Hosts) == 0 || !strings.HasPrefix(cfg.Path, "/") {
		return nil, errors.New("mynumber: a method without verifier, links, hosts or path")
	}
	for n, origin := range cfg.Hosts {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.Host == "" || origin != "https://"+u.Host {
			return nil, fmt.Errorf("mynumber: the card host of %s is %q: give an origin, https://host or https://host:port", n, origin)
		}
	}
	for _, p := range cfg.Proxies {
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	if cfg.Kinds == nil {
		cfg.Kinds = DefaultKinds()
	}
	for p, k := range cfg.Kinds {
		if _, err := pkix.ParseOID(p); err != nil || len(k.AMR) == 0 || !slices.Contains(policies.Assurances(), k.Assurance) {
			return nil, fmt.Errorf("mynumber: certificate policy %q: no object identifier, no amr, or an unknown assurance", p)
		}
	}
	cfg.Hosts, cfg.Kinds, cfg.Proxies = maps.Clone(cfg.Hosts), maps.Clone(cfg.Kinds), slices.Clone(cfg.Proxies)
	return &Method{cfg}, nil
}

// Begin implements login.Method: the browser goes to the card host.
func (m *Method) Begin(_ context.Context, a login.Attempt) (login.Instruction, error) {
	origin, ok := m.cfg.Hosts[a.Network]
	if !ok {
		return login.Instruction{}, fmt.Errorf("mynumber: there is no card host in the network %q", a.Network)
	}
	return login.Instruction{Location: origin + m.cfg.Path + "?ticket=" + url.QueryEscape(a.Ticket)}, nil
}

// Link implements login.Linker.
func (m *Method) Link(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string, at int64) error {
	return m.cfg.Links.Link(ctx, tx, person, credential, at)
}

// Holds implements login.Holder.
func (m *Method) Holds(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string) error {
	return m.cfg.Links.Holds(ctx, tx, person, credential)
}

// Challenge makes a challenge for an attempt that was begun, for those who sign by an agent instead of a TLS handshake. What is to be signed is its
// Message.
func (m *Method) Challenge(ctx context.Context, a login.Attempt) (cert.Challenge, error) {
	b, ok := m.binding(a)
	if !ok {
		return cert.Challenge{}, fmt.Errorf("mynumber: there is no card host in the network %q", a.Network)
	}
	return m.cfg.Verifier.Challenge(ctx, b, time.UnixMicro(a.At))
}

func (m *Method) binding(a login.Attempt) (Binding, bool) {
	origin, ok := m.cfg.Hosts[a.Network]
	return Binding{Login: a.Login, Ticket: a.Ticket, RelyingParty: origin, Purpose: "login " + string(a.Login)}, ok
}

// The fields of a posted response, in base64 (RFC 4648, section 4) but for the scheme.
const (
	FieldNonce       = "nonce"
	FieldCertificate = "certificate"
	FieldScheme      = "scheme"
	FieldSignature   = "signature"
)

// maxSignature bounds a posted signature, in octets.
const maxSignature = 1 << 10

// Finish implements login.Method. A POST with a signature is a response to a challenge; anything else is the presentation of a certificate by TLS.
func (m *Method) Finish(ctx context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	b, ok := m.binding(a)
	switch {
	case !ok:
		return login.Proof{}, reject("network_not_offered", false, nil)
	case !strings.EqualFold("https://"+r.Host, b.RelyingParty):
		return login.Proof{}, reject("other_host", false, nil)
	}
	at := time.UnixMicro(a.At)
	var v Verdict
	var err error
	detail := map[string]any{"by": "tls"}
	signed := r.Method == http.MethodPost && r.PostFormValue(FieldSignature) != ""
	if signed {
		detail["by"] = "challenge"
		response, refused := readResponse(r)
		if refused != nil {
			return login.Proof{}, refused
		}
		v, err = m.cfg.Verifier.Redeem(ctx, b, response, at)
	} else {
		p, refused := peer(r, m.cfg.Proxies)
		if refused != nil {
			return login.Proof{}, refused
		}
		if p.proxy != "" {
			detail["by"], detail["proxy"] = "proxy", p.proxy
		}
		v, err = m.cfg.Verifier.Certificate(ctx, p.leaf, p.chain, at)
	}
	if err != nil {
		return login.Proof{}, fmt.Errorf("mynumber: verify: %w", err)
	}
	return m.judge(ctx, a, v, signed, detail)
}

// readResponse takes a posted response apart.
func readResponse(r *http.Request) (out Response, _ *login.Rejection) {
	for _, f := range []struct {
		name  string
		to    *[]byte
		limit int
	}{{FieldNonce, &out.Nonce, maxNonce}, {FieldCertificate, &out.Leaf, maxLeaf}, {FieldSignature, &out.Signature, maxSignature}} {
		values := r.PostForm[f.name]
		if len(values) != 1 || len(values[0]) > base64.StdEncoding.EncodedLen(f.limit) {
			return out, reject("response_malformed", true, map[string]any{"field": f.name})
		}
		b, err := base64.StdEncoding.Strict().DecodeString(values[0])
		if err != nil || len(b) == 0 {
			return out, reject("response_malformed", true, map[string]any{"field": f.name})
		}
		*f.to = b
	}
	out.Scheme = pkix.Scheme(r.PostForm.Get(FieldScheme))
	if !slices.Contains(pkix.Schemes, out.Scheme) {
		return out, reject("response_malformed", true, map[string]any{"field": FieldScheme})
	}
	return out, nil
}

// judge turns a verdict into a proof.
func (m *Method) judge(ctx context.Context, a login.Attempt, v Verdict, signed bool, detail map[string]any) (login.Proof, error) {
	credential := ""
	if v.Card != nil {
		credential = m.cfg.Links.Credential(*v.Card)
		detail["card"] = credential
	}
	if err := m.keep(ctx, a, v, credential); err != nil {
		return login.Proof{}, err
	}
	if !v.Valid || v.Code != cert.OK || v.Card == nil {
		no := reject(CodeOf(v.Code), worthRetrying(v.Code), detail)
		if credential != "" { // authentic, and revoked: the log may know whose it was
			person, err := m.cfg.Links.Person(ctx, credential)
			if err != nil {
				return login.Proof{}, err
			}
			no.Person = person
		}
		return login.Proof{}, no
	}
	kind, known := m.kind(v.Policies)
	if !known {
		return login.Proof{}, reject("certificate_policy_unknown", true, detail)
	}
	if signed && !m.cfg.OriginBound {
		kind.Assurance = min(kind.Assurance, policies.AssuranceTwo)
	}
	person, err := m.cfg.Links.Person(ctx, credential)
	if err == nil && person == "" {
		person, err = m.cfg.Links.Follow(ctx, credential, a.At)
	}
	if err != nil {
		return login.Proof{}, err
	}
	if v.Degraded {
		if err := m.degraded(ctx, a, v, credential, person); err != nil {
			return login.Proof{}, err
		}
	}
	return login.Proof{
		Method: identity.MethodCard, Use: login.UseLogin, Person: person, Credential: credential,
		Assurance: kind.Assurance, AMR: slices.Sorted(slices.Values(kind.AMR)), At: a.At,
	}, nil
}

// kind is the lowest of what the certificate's policies stand for.
func (m *Method) kind(of []string) (k Kind, known bool) {
	for _, p := range of {
		if x, ok := m.cfg.Kinds[p]; ok && (!known || x.Assurance < k.Assurance) {
			k, known = x, true
		}
	}
	return k, known
}

func (m *Method) keep(ctx context.Context, a login.Attempt, v Verdict, credential string) error {
	if m.cfg.Evidence == nil || v.Evidence == nil {
		return nil
	}
	if err := m.cfg.Evidence.Keep(ctx, a.Login, credential, a.At, v.Evidence); err != nil {
		return fmt.Errorf("mynumber: keep the evidence of a verdict: %w", err)
	}
	return nil
}

// degraded puts on record that a card was accepted on a list that was due for replacement, and how old it was.
func (m *Method) degraded(ctx context.Context, a login.Attempt, v Verdict, credential string, person policies.PersonID) error {
	row := access.System(policies.TaskLogin).AuditRow(a.At, "card.degraded", audit.Done)
	row.Object, row.Reason = string(person), "revocation_list_overdue"
	row.Detail = map[string]any{"card": credential, "list_age_seconds": int64(v.Age / time.Second), "login": string(a.Login)}
	return m.cfg.Links.db.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
}
