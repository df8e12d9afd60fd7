package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// Name is the connector's registration name and its sandbox prefix.
const Name = "mail"

// ClassSend is the quota class of a message. The rate is the relay's, as agreed with its operator.
const ClassSend connectors.Class = "mail.send"

// Security says how the connection to the relay is protected.
type Security string

// The ways to a relay.
const (
	StartTLS Security = "starttls" // plain, then upgraded; a relay that doesn't offer it is refused (RFC 3207)
	TLS      Security = "tls"      // from the first octet (RFC 8314)
	None     Security = "none"     // for a relay on this machine or inside a closed network; never with a password
)

// Defaults and bounds of a Config.
const (
	DefaultTimeout = 15 * time.Second
	DefaultRate    = 10      // messages a second
	DefaultMaxSize = 1 << 20 // octets of a whole mail

	maxTimeout = 5 * time.Minute
	minIDKey   = 16
)

// Dialer opens the connection to the relay: (*net.Dialer).DialContext, or a sandbox in process.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what an administrator and cmd give. New validates it.
type Config struct {
	Host     string           // the relay
	Port     int              // 0: 587, 465 or 25 by Security
	Security Security         // "" is StartTLS
	TLS      outbound.TLS     // authorities, certificate of ours, least version
	User     string           // with Password: SMTP AUTH (RFC 4954); both empty: none
	Password outbound.Secret  // never without TLS
	HELO     string           // "": the domain of From
	Dial     Dialer           // required
	Quota    connectors.Quota // required
	Now      func() time.Time // required

	From       string          // bare address that people see
	FromName   string          // shown beside it
	ReplyTo    string          // "": answers go to From
	ReturnPath string          // where bounces go; "": From
	IDKey      outbound.Secret // 16 octets at least; Message-IDs are made under it, so that nobody can guess one. It must stay the same
	HTML       bool            // adds an HTML form of the text, after it

	MaxSize       int           // octets of a whole mail; 0 is 1 MiB. The relay's own limit holds too
	MaxRecipients int           // of one mail; 0 is connectors.MaxRecipients
	Rate          float64       // messages a second; 0 is 10
	Timeout       time.Duration // of a whole call; 0 is 15 s
	DataRegion    string        // where the relay keeps mail; "" is "unknown"
	ISMAP         string        // "registered", "not registered"; "" is "unknown"
	LGWAN         connectors.Reach

	Observe func(outbound.Observation) // Status is the relay's answer code
	Trace   outbound.Trace
	Logger  *slog.Logger
}

// Connector is the relay.
type Connector struct {
	cfg    Config
	tls    *tls.Config
	domain string // of From
	redact func(string) string
	logger *slog.Logger
}

// New validates cfg and makes the connector. It touches no network.
func New(cfg Config) (*Connector, error) {
	fail := func(err error) (*Connector, error) { return nil, fmt.Errorf("mail: %w", err) }
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return fail(err)
	}
	settings := cfg.TLS
	if settings.ServerName == "" {
		settings.ServerName = cfg.Host
	}
	secured, err := settings.Config()
	if err != nil {
		return fail(err)
	}
	c := &Connector{cfg: cfg, tls: secured, domain: domainOf(cfg.From), logger: cfg.Logger}
	secrets := []outbound.Secret{cfg.Password, cfg.IDKey}
	if !cfg.Password.Empty() { // as AUTH PLAIN sends it (RFC 4616); base64 of it is another text than base64 of the password
		secrets = append(secrets, outbound.NewSecret("\x00"+cfg.User+"\x00"+cfg.Password.Reveal()))
	}
	c.redact = outbound.Redact(secrets...)
	if c.cfg.HELO == "" {
		c.cfg.HELO = c.domain
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.Security == "" {
		cfg.Security = StartTLS
	}
	if cfg.Port == 0 {
		cfg.Port = map[Security]int{StartTLS: 587, TLS: 465, None: 25}[cfg.Security]
	}
	if cfg.ReturnPath == "" {
		cfg.ReturnPath = cfg.From
	}
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.MaxRecipients == 0 {
		cfg.MaxRecipients = connectors.MaxRecipients
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultRate
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.LGWAN == "" {
		cfg.LGWAN = connectors.ReachNo
	}
	return cfg
}

func (cfg Config) check() error {
	switch {
	case cfg.Dial == nil:
		return errors.New("Dial is nil: pass what opens the connection")
	case cfg.Quota == nil:
		return errors.New("Quota is nil: pass the budget of the relay")
	case cfg.Now == nil:
		return errors.New("Now is nil: pass the clock")
	case cfg.Host == "" || len(cfg.Host) > 253 || strings.ContainsAny(cfg.Host, " /\\\r\n\t@"):
		return errors.New("Host must be the relay's name or address")
	case cfg.Port < 1 || cfg.Port > 65535:
		return fmt.Errorf("Port %d is outside 1 to 65535", cfg.Port)
	case cfg.Security != StartTLS && cfg.Security != TLS && cfg.Security != None:
		return fmt.Errorf("Security %q must be starttls, tls or none", cfg.Security)
	case (cfg.User == "") != cfg.Password.Empty():
		return errors.New("User and Password are given together or not at all")
	case cfg.User != "" && cfg.Security == None:
		return errors.New("a password would go to the relay unencrypted: use starttls or tls, or leave the password out")
	case strings.ContainsAny(cfg.User+cfg.Password.Reveal(), "\x00\r\n"):
		return errors.New("User or Password holds a character that SMTP AUTH can't carry: was a line break copied with it?")
	case cfg.HELO != "" && !hostName(cfg.HELO):
		return errors.New("HELO must be this machine's host name")
	case len(cfg.IDKey.Reveal()) < minIDKey:
		return fmt.Errorf("IDKey has fewer than %d octets", minIDKey)
	case cfg.MaxSize < 1<<10 || cfg.MaxSize > 100<<20:
		return fmt.Errorf("MaxSize %d is outside 1 KiB to 100 MiB", cfg.MaxSize)
	case cfg.MaxRecipients < 1 || cfg.MaxRecipients > connectors.MaxRecipients:
		return fmt.Errorf("MaxRecipients %d is outside 1 to %d", cfg.MaxRecipients, connectors.MaxRecipients)
	case !(cfg.Rate > 0) || math.IsInf(cfg.Rate, 1) || cfg.Rate > 1000:
		return fmt.Errorf("Rate %v is outside 0 to 1,000 messages a second", cfg.Rate)
	case cfg.Timeout < 0 || cfg.Timeout > maxTimeout:
		return fmt.Errorf("Timeout %v is outside 0 to %v", cfg.Timeout, maxTimeout)
	}
	for name, address := range map[string]string{"From": cfg.From, "ReplyTo": cfg.ReplyTo, "ReturnPath": cfg.ReturnPath} {
		if err := checkAddress(address); err != nil && (address != "" || name != "ReplyTo") {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := checkName(cfg.FromName); err != nil {
		return fmt.Errorf("FromName: %w", err)
	}
	return nil
}

// Describe gives the connector's fixed facts.
func (c *Connector) Describe() connectors.Description {
	unknown := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	return connectors.Description{
		Name: Name, Vendor: "SMTP relay", Product: "E-mail through a relay",
		DataRegion: unknown(c.cfg.DataRegion), ISMAP: unknown(c.cfg.ISMAP), LGWAN: c.cfg.LGWAN,
		Limits: connectors.Limits{
			Budgets: []connectors.Budget{{Class: ClassSend, Rate: c.cfg.Rate, Burst: max(1, int(math.Ceil(2*c.cfg.Rate)))}},
		},
		Absent: []connectors.Absence{
			{Ability: "Accounts", Why: "whoever has an address can be written to; there are no accounts"},
			{Ability: "AccountWriter", Why: "whoever has an address can be written to; there are no accounts"},
			{Ability: "EventReader", Why: "answers and bounces come as mail, not by HTTP"},
			{Ability: "SentFinder", Why: "a relay doesn't tell what it took; a copy is known by its Message-ID"},
			{Ability: "MessageEditor", Why: "a mail that was sent can't be changed"},
			{Ability: "MessageLinker", Why: "a mail has no address at which everybody could open it"},
		},
	}
}

// checkAddress takes a bare ASCII address as RFC 5321 lets a command carry it. Its error doesn't repeat the address.
func checkAddress(s string) error {
	local, domain, ok := strings.Cut(s, "@")
	parsed, err := netmail.ParseAddress(s)
	switch {
	case !ok, err != nil, parsed != nil && parsed.Address != s, strings.ContainsAny(s, "\"<>()[]\\,;: \t\r\n"), strings.Contains(domain, "@"):
		return errors.New("it isn't a bare e-mail address, e.g. hanako@city.example.lg.jp")
	case len(local) > 64 || len(s) > 254:
		return errors.New("the address is longer than RFC 5321 allows")
	case !hostName(domain):
		return errors.New("the address's domain isn't a host name in ASCII")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return errors.New("the address isn't ASCII: relays of local governments don't take SMTPUTF8")
		}
	}
	return nil
}

func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return domain
}

func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(label, "-") {
			return false
		}
	}
	return true
}
