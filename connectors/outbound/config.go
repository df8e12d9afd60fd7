package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// Defaults and hard bounds of a Config.
const (
	DefaultTimeout = 15 * time.Second
	DefaultMaxBody = 10 << 20
	DefaultRetries = 2

	maxTimeout     = 5 * time.Minute
	maxBodyCeiling = 256 << 20
	maxRetries     = 5
	maxRequestBody = 10 << 20
	retryAfterWait = 5 * time.Second // longest Retry-After that is waited for inside a call
	retryAfterCap  = time.Hour       // longest Retry-After that is passed on
	backoffBase    = 200 * time.Millisecond
)

// Observation is what one attempt did, for metrics. Status is 0 where there was no answer.
type Observation struct {
	Vendor   string
	Op       string
	Class    connectors.Class
	Attempt  int // 1 for the first
	Status   int
	Duration time.Duration
}

// Trace is told that a call begins, and by what it returns that it has ended and how. The context that it returns is the call's.
type Trace func(ctx context.Context, vendor string, call Call) (context.Context, func(err error))

// Config describes a vendor's endpoint. New refuses what is missing or unsafe.
type Config struct {
	Vendor    string            // connector name, in every error
	BaseURL   string            // https://host[/prefix]; the credential goes nowhere else
	Transport http.RoundTripper // required
	Quota     connectors.Quota  // required
	Authorize Authorization     // required
	Now       func() time.Time  // required; for HTTP dates and durations

	Secrets        []Secret          // other values that must never show up in an error or a log line
	Timeout        time.Duration     // of a whole call with its retries; 0 is DefaultTimeout
	MaxBody        int64             // octets of an answer; 0 is DefaultMaxBody
	Retries        int               // further attempts of an idempotent request; 0 is DefaultRetries, negative is none
	Jitter         func() float64    // in [0,1), spreads the waiting between attempts; nil spreads nothing
	Observe        func(Observation) // called after every attempt; may be nil
	Trace          Trace             // called around every call; may be nil
	Logger         *slog.Logger      // one debug line an attempt; may be nil
	UserAgent      string            // "" is "musubi"
	AllowPlaintext bool              // permits http:// to a host that isn't this machine
}

// Client is a vendor's endpoint with its credential, quota and limits. It is safe for concurrent use.
type Client struct {
	cfg    Config
	base   *url.URL
	redact redactor
}

// New validates cfg. It touches no network.
func New(cfg Config) (*Client, error) {
	if cfg.Vendor == "" {
		return nil, errors.New("outbound: Vendor is empty: name the connector")
	}
	fail := func(format string, args ...any) (*Client, error) {
		return nil, fmt.Errorf("outbound: %s: "+format, append([]any{cfg.Vendor}, args...)...)
	}
	switch {
	case cfg.Transport == nil:
		return fail("Transport is nil: pass the http.RoundTripper that reaches the vendor")
	case cfg.Quota == nil:
		return fail("Quota is nil: pass the budget of the vendor's quota")
	case cfg.Now == nil:
		return fail("Now is nil: pass the clock")
	case cfg.Authorize.header.Empty():
		return fail("no credential: pass a token, and for basic authorization a user name without a colon")
	case !headerSafe(cfg.Authorize.header.reveal()):
		return fail("the credential holds a character that no HTTP header may carry: was a line break copied with it?")
	case cfg.Timeout < 0 || cfg.Timeout > maxTimeout:
		return fail("Timeout %v is outside 0 to %v", cfg.Timeout, maxTimeout)
	case cfg.MaxBody < 0 || cfg.MaxBody > maxBodyCeiling:
		return fail("MaxBody %d is outside 0 to %d octets", cfg.MaxBody, maxBodyCeiling)
	case cfg.Retries > maxRetries:
		return fail("Retries %d is more than %d", cfg.Retries, maxRetries)
	}
	base, err := parseBase(cfg.BaseURL, cfg.AllowPlaintext)
	if err != nil {
		return fail("BaseURL: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	switch {
	case cfg.Retries == 0:
		cfg.Retries = DefaultRetries
	case cfg.Retries < 0:
		cfg.Retries = 0
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "musubi"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	secrets := append(append([]Secret{cfg.Authorize.header}, cfg.Authorize.secrets...), cfg.Secrets...)
	return &Client{cfg: cfg, base: base, redact: newRedactor(secrets)}, nil
}

// BaseURL gives the endpoint's base URL, without a trailing slash.
func (c *Client) BaseURL() string { return c.base.String() }

// Redact replaces every secret that the client knows by "[redacted]".
func (c *Client) Redact(s string) string { return c.redact.text(s) }

// parseBase reads a base URL: absolute, nothing but scheme, host and path, and TLS unless the host is this machine. Its
// errors don't repeat the URL, which may hold a password by mistake.
func parseBase(raw string, allowPlaintext bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL")
	case u.User != nil:
		return nil, errors.New("it holds a user name: give the credential on its own")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return nil, errors.New("it must read https://host or https://host/prefix")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, errors.New("it must have neither a query nor a fragment")
	case u.Scheme == "http" && !allowPlaintext && !thisMachine(u.Hostname()):
		return nil, fmt.Errorf("http:// would send the credential to %s unencrypted: use https://", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// thisMachine reports whether host is reached without leaving the machine: loopback, or a name that never resolves
// (RFC 6761) and so stands for an in-process transport.
func thisMachine(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".invalid")
}

func headerSafe(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
