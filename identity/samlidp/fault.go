package samlidp

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// The status codes (SAML 2.0 Core, section 3.2.2.2).
const (
	statusSuccess     = "urn:oasis:names:tc:SAML:2.0:status:Success"
	statusRequester   = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	statusResponder   = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	statusAuthnFailed = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
	statusNameID      = "urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy"
	statusNoContext   = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	statusNoPassive   = "urn:oasis:names:tc:SAML:2.0:status:NoPassive" //nolint:gosec // the name of a status, no password
	statusDenied      = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
	statusUnsupported = "urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported"
	statusPrincipal   = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
)

// fault is why a request is refused: reason for machines, audit rows and tests; status for the provider, where it can be told.
type fault struct {
	http   int
	reason string
	status string // second-level status code; empty: only a page is told
	err    error  // what failed inside; logged, never told
}

func (f *fault) Error() string { return "saml: " + f.reason }

// bad is a fault of a request that can't be answered at the provider.
func bad(reason string) *fault { return &fault{http: http.StatusBadRequest, reason: reason} }

// told is a fault that the provider is told of.
func told(reason, status string) *fault { return &fault{http.StatusBadRequest, reason, status, nil} }

func broken(err error) *fault { return &fault{http.StatusInternalServerError, "internal", "", err} }

// xmlFault is a fault for what package wire refused.
func xmlFault(err error) *fault {
	if reason := wire.ReasonOf(err); reason != "" {
		return bad(reason)
	}
	return broken(err)
}

// draw gives n random bytes as hex.
func (p *Provider) draw(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.opt.Random, b); err != nil {
		return "", fmt.Errorf("samlidp: no randomness: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// documentID draws the ID of a message: 160 random bits behind a letter, because an ID doesn't begin with a digit.
func (p *Provider) documentID() (string, error) {
	text, err := p.draw(20)
	return "_" + text, err
}

// rowsPerSecond bounds the refusals of one provider and reason that are recorded.
const rowsPerSecond = 20

// record appends the audit row of a refusal, unless too many of its kind came in this second, and gives its incident number.
func (c *call) record(id policies.RelyingPartyID, action string, f *fault) (incident string) {
	ctx, level := context.WithoutCancel(c.r.Context()), slog.LevelInfo
	if f.err != nil {
		level = slog.LevelError
	}
	row := audit.Row{
		At: c.at, Actor: "saml", ActorKind: audit.ActorSystem, Action: action, Outcome: audit.Refused, Object: string(id), Reason: f.reason,
		Detail: map[string]any{"network": c.network},
	}
	if missed, ok := c.p.throttle.Take(string(id)+" "+f.reason, c.at); ok {
		if missed > 0 {
			row.Detail["not_recorded_before"] = missed
		}
		var err error
		if row.ID, err = audit.NewIncident(c.p.opt.Random, c.p.opt.Now()); err == nil {
			err = c.p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
		}
		if err == nil {
			incident = row.ID
		} else {
			c.p.opt.Logger.ErrorContext(ctx, "a refusal isn't in the audit log", "error", err)
		}
	}
	c.p.opt.Logger.Log(ctx, level, "refused", "action", action, "party", string(id), "network", string(c.network), "reason", f.reason, "incident", incident, "error", f.err)
	return incident
}

// page answers a person.
func (c *call) page(id policies.RelyingPartyID, action string, f *fault) {
	c.p.opt.Pages.Problem(c.w, c.r, Problem{Status: f.http, Reason: f.reason, Incident: c.record(id, action, f)})
}
