package oidcop

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// fault is why a request is refused: code for the protocol, reason for machines, audit rows and tests.
type fault struct {
	status int
	code   string // RFC 6749, section 5.2, and its relatives
	reason string
	text   string // what to do; no secrets and nothing that was sent
	err    error  // what failed inside; logged, never told
}

func (f *fault) Error() string { return f.code + " (" + f.reason + ")" }

func invalidRequest(reason, text string) *fault {
	return &fault{http.StatusBadRequest, "invalid_request", reason, text, nil}
}

func invalidGrant(reason string) *fault {
	return &fault{http.StatusBadRequest, "invalid_grant", reason, "begin a new login", nil}
}

func invalidClient(reason string) *fault {
	return &fault{http.StatusUnauthorized, "invalid_client", reason, "the relying party isn't known here or hasn't proven who it is", nil}
}

func broken(err error) *fault {
	return &fault{http.StatusInternalServerError, "server_error", "internal", "try again later", err}
}

// newID draws an id of 128 bits.
func (p *Provider) newID() (string, error) { return newID(p.opt.Random) }

func newID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("oidcop: no randomness: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// row begins an audit row about a relying party.
func (c *call) row(id policies.RelyingPartyID, action string, outcome audit.Outcome) audit.Row {
	return audit.Row{At: c.at, Actor: "oidc", ActorKind: audit.ActorSystem, Action: action, Outcome: outcome, Object: string(id), Detail: map[string]any{"network": c.network}}
}

// rowsPerSecond bounds the refusals of one party and reason that are recorded.
const rowsPerSecond = 20

// record appends the row of a refusal, unless too many of its kind came in this second, and gives its incident number. The caller's own
// transaction is not needed: nothing was done.
func (c *call) record(id policies.RelyingPartyID, action string, f *fault) (incident string) {
	ctx := context.WithoutCancel(c.r.Context())
	level := slog.LevelInfo
	if f.err != nil {
		level = slog.LevelError
	}
	row := c.row(id, action, audit.Refused)
	row.Reason = f.reason
	dropped, ok := c.p.throttle.Take(string(id)+" "+f.reason, c.at)
	if ok {
		if dropped > 0 {
			row.Detail["not_recorded_before"] = dropped
		}
		var err error
		if row.ID, err = audit.NewIncident(c.p.opt.Random, c.p.opt.Now()); err == nil {
			err = c.p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
		}
		if err != nil {
			c.p.opt.Logger.Log(ctx, slog.LevelError, "a refusal isn't in the audit log", "error", err)
			row.ID = ""
		}
	}
	c.p.opt.Logger.Log(ctx, level, "refused", "action", action, "party", string(id), "network", string(c.network), "reason", f.reason, "incident", row.ID, "error", f.err)
	return row.ID
}

// refuse answers a program.
func (c *call) refuse(id policies.RelyingPartyID, action string, f *fault) {
	c.answerFault(f, c.record(id, action, f))
}

func (c *call) answerFault(f *fault, incident string) {
	body := map[string]string{"error": f.code, "error_description": f.text}
	if incident != "" {
		body["error_description"] = f.text + "; incident " + incident
	}
	if f.status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", `Basic realm="musubi"`)
	}
	c.answer(f.status, body)
}

// page answers a person.
func (c *call) page(id policies.RelyingPartyID, action string, f *fault) {
	c.p.opt.Pages.Problem(c.w, c.r, Problem{Status: f.status, Reason: f.reason, Incident: c.record(id, action, f)})
}

func (c *call) misdirected() {
	f := &fault{status: http.StatusMisdirectedRequest, code: "invalid_request", reason: "host", text: "this host isn't served here"}
	c.refuse("", "oidc.request", f)
}

func (c *call) answer(status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		c.p.opt.Logger.ErrorContext(c.r.Context(), "an answer can't be written", "error", err)
		c.w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b)
}
