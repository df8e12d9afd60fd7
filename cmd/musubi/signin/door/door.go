package door

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Config is what a door is made of. Everything is required.
type Config struct {
	DB     *sqldb.DB
	Table  *network.Table
	Pages  *page.Renderer
	Now    func() time.Time
	Random io.Reader
	Logger *slog.Logger
}

// rowsPerSecond is how many rows of one kind are recorded in a second. Kinds are our own words.
const rowsPerSecond = 10

// Door stands before all handlers. It is safe for concurrent use.
type Door struct {
	cfg      Config
	throttle audit.Throttle
}

// New makes it.
func New(cfg Config) (*Door, error) {
	if cfg.DB == nil || cfg.Table == nil || cfg.Pages == nil || cfg.Now == nil || cfg.Random == nil || cfg.Logger == nil {
		return nil, errors.New("signin: the door lacks a part")
	}
	return &Door{cfg: cfg, throttle: audit.Throttle{PerSecond: rowsPerSecond}}, nil
}

type placeKey struct{}

// Place gives where a request arrived. ok is false for one that came in by no door: nothing may be served to it.
func Place(ctx context.Context) (p network.Place, ok bool) {
	p, ok = ctx.Value(placeKey{}).(network.Place)
	return p, ok
}

// Hosts gives the handler of a host; nil where nothing is served there.
type Hosts func(n policies.Network, role network.Role) http.Handler

// Listener gives the handler of a listener, by the name that it has in the table.
func (d *Door) Listener(name string, hosts Hosts) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers(w.Header())
		place, reason := d.cfg.Table.Decide(network.FactsOf(name, r))
		if reason != "" {
			d.refuse(w, r, name, reason)
			return
		}
		if place.Role == network.RoleCard && !place.Proxied && speaks(r.Header) {
			d.refuse(w, r, name, reasonForged)
			return
		}
		network.Clean(r.Header, place)
		next := hosts(place.Network, place.Role)
		if next == nil {
			d.refuse(w, r, name, network.ReasonHost)
			return
		}
		// A host name is said in one way from here on, whatever port and case the client wrote: what compares it with an issuer finds it.
		r = r.WithContext(context.WithValue(r.Context(), placeKey{}, place))
		r.Host = place.Host
		next.ServeHTTP(w, r)
	})
}

// reasonForged says that a client names a card in the proxy's words. Elsewhere such a header is dropped; where cards are read it is an attack.
const reasonForged network.Reason = "client_cert_forged"

// speaks reports whether there is a header of RFC 9440, in any spelling that some server takes for it.
func speaks(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "client-cert") {
			return true
		}
	}
	return false
}

// headers are those of every answer; a page narrows or widens its own.
func headers(h http.Header) {
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("Content-Security-Policy", page.Strict)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
}

func (d *Door) refuse(w http.ResponseWriter, r *http.Request, listener string, reason network.Reason) {
	status := http.StatusBadRequest
	switch reason {
	case network.ReasonHost, network.ReasonOther, network.ReasonSNI: // RFC 9110, 15.5.20
		status = http.StatusMisdirectedRequest
	}
	incident := d.Record(r.Context(), Incident{Action: "http.request", Reason: string(reason), Detail: map[string]any{"listener": listener}})
	s := page.Place(reason)
	if reason == reasonForged {
		s = page.Reason(login.ReasonRejected, string(reason))
	}
	d.cfg.Pages.Show(w, r, page.Sheet{
		Name: page.Message, Status: status, Title: s.What, Body: page.MessageBody{Do: s.Do, Incident: incident},
	})
}

// Incident is what is recorded of a request that was refused at the edge.
type Incident struct {
	Action, Reason, Object string
	Detail                 map[string]any // no secrets, nothing that was sent
	Err                    error          // what failed inside; logged, never shown
}

// Record appends the audit row of an incident and gives its number; empty where too many of the kind came in this second, or the database fails.
func (d *Door) Record(ctx context.Context, i Incident) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	now := d.cfg.Now()
	id, err := audit.NewIncident(d.cfg.Random, now)
	missed, ok := d.throttle.Take(i.Action+" "+i.Reason, now.UnixMicro())
	if ok && err == nil {
		row := access.System(policies.TaskLogin).AuditRow(now.UnixMicro(), i.Action, audit.Refused)
		row.ID, row.Reason, row.Object, row.Detail = id, i.Reason, i.Object, i.Detail
		if place, known := Place(ctx); known && place.Client.IsValid() {
			row.Personal = map[string]any{"address": place.Client.String()}
		}
		if missed > 0 {
			if row.Detail == nil {
				row.Detail = map[string]any{}
			}
			row.Detail["not_recorded_before"] = missed
		}
		err = d.cfg.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
	}
	switch {
	case i.Err != nil:
		d.cfg.Logger.ErrorContext(ctx, "a request failed", "action", i.Action, "incident", id, "error", i.Err)
	case ok:
		d.cfg.Logger.InfoContext(ctx, "a request was refused", "action", i.Action, "reason", i.Reason, "incident", id)
	}
	if err != nil {
		d.cfg.Logger.ErrorContext(ctx, "a refusal isn't in the audit log", "incident", id, "error", err)
	}
	if !ok || err != nil {
		return ""
	}
	return id
}

const recordTime = 5 * time.Second
