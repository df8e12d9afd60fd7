package relying

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// The bounds of what the provider answers, and how often it is asked.
const (
	maxAnswer     = 256 << 10 // octets
	answerTimeout = 10 * time.Second
	metadataLife  = time.Hour
	retryAfter    = time.Second
)

// metadata is what the provider says of itself (OpenID Connect Discovery 1.0).
type metadata struct {
	provider   *oidc.Provider
	oauth      oauth2.Config
	keysURL    string
	endSession string // "": it has none
}

// discovery keeps the provider's metadata.
type discovery struct {
	mu     sync.Mutex
	known  *metadata
	read   time.Time
	failed time.Time
	err    error
}

// limited bounds what an answer may hold.
type limited struct{ next http.RoundTripper }

// RoundTrip cuts the body: half a document isn't taken for a whole one.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

// client follows no redirect: every address is known beforehand.
func client(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: limited{transport}, Timeout: answerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// provider gives the provider's metadata, read again after an hour. Where it can't be read, what was read before goes on counting.
func (p *Party) provider(ctx context.Context) (*metadata, error) {
	d := &p.discovery
	d.mu.Lock()
	defer d.mu.Unlock()
	now := p.Now()
	if d.known != nil && now.Sub(d.read) < metadataLife {
		return d.known, nil
	}
	if d.err != nil && now.Sub(d.failed) < retryAfter {
		return d.known, d.err
	}
	found, err := p.discover(ctx)
	if err == nil {
		d.known, d.read, d.err = found, now, nil
		return found, nil
	}
	if d.known != nil {
		d.read = now.Add(retryAfter - metadataLife) // try again soon
		return d.known, nil
	}
	d.failed, d.err = now, err
	return nil, err
}

func (p *Party) discover(ctx context.Context) (*metadata, error) {
	ctx = context.WithoutCancel(ctx) // all wait for it, not only who asked first; the client's time-out bounds it
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.opt.Issuer)
	if err != nil {
		return nil, fmt.Errorf("relying: discovery of %s: %w", p.opt.Issuer, err)
	}
	var doc struct {
		JWKS       string   `json:"jwks_uri"`
		EndSession string   `json:"end_session_endpoint"`
		Challenges []string `json:"code_challenge_methods_supported"`
		Iss        bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&doc); err != nil {
		return nil, fmt.Errorf("relying: discovery of %s: %w", p.opt.Issuer, err)
	}
	endpoint := provider.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, provider.UserInfoEndpoint(), doc.JWKS} {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("relying: discovery of %s: an end point is missing or isn't https", p.opt.Issuer)
		}
	}
	if !slices.Contains(doc.Challenges, "S256") || !doc.Iss {
		return nil, errors.New("relying: the provider must have PKCE with S256, and the issuer in its responses (RFC 9207)")
	}
	if u, err := url.Parse(doc.EndSession); err != nil || u.Scheme != "https" {
		doc.EndSession = ""
	}
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.opt.Key != nil {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &metadata{
		provider: provider, keysURL: doc.JWKS, endSession: doc.EndSession,
		oauth: oauth2.Config{
			ClientID: p.opt.ClientID, ClientSecret: p.opt.Secret, Endpoint: endpoint, RedirectURL: p.endpoints.Redirect,
			Scopes: append([]string{oidc.ScopeOpenID}, p.opt.Scopes...),
		},
	}, nil
}

// issuerOrigin is whose pages may show the answer to a front-channel logout in a frame.
func (p *Party) issuerOrigin() string {
	u, err := url.Parse(p.opt.Issuer)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}
