package jira

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Refuse answers with status in the vendor's shape, for faults.
func (s *Service) Refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	wire.WriteRefusal(w, r, wire.Refuse(status, "sandbox.fault", detail))
}

// Authenticate checks email and API token (Basic) and answers 401 where they are missing, wrong or expired.
func (s *Service) Authenticate(c *site.Call, route *site.Route) bool {
	if route.Anonymous && c.R.Header.Get("Authorization") == "" {
		return true
	}
	email, token, ok := c.R.BasicAuth()
	valid := ok && s.opt.Token != "" && sameSecret(token, s.opt.Token) && strings.EqualFold(email, s.opt.Email)
	if valid && (s.opt.TokenExpires.IsZero() || c.Now.Before(s.opt.TokenExpires)) {
		return true
	}
	c.W.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
	c.W.Header().Set("WWW-Authenticate", `Basic realm="Jira"`)
	wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusUnauthorized, "sd.rest.authentication.required",
		"Client must be authenticated to access this resource."))
	return false
}

// Unrouted answers a path or method that the API doesn't have.
func (s *Service) Unrouted(w http.ResponseWriter, r *http.Request, allowed []string) {
	if len(allowed) == 0 {
		wire.WriteRefusal(w, r, wire.Refuse(http.StatusNotFound, "sd.rest.not.found", "No such resource"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	wire.WriteRefusal(w, r, wire.Refuse(http.StatusMethodNotAllowed, "sd.rest.method", "Method not allowed"))
}

// Throttled answers a request past the burst quota with the vendor's headers. retryAfter 0 leaves Retry-After out.
func (s *Service) Throttled(w http.ResponseWriter, r *http.Request, limit site.Limit, retryAfter time.Duration, now time.Time) {
	h := w.Header()
	if retryAfter > 0 {
		site.SetRetryAfter(w, retryAfter)
		h.Set("X-RateLimit-Reset", now.Add(retryAfter).UTC().Format("2006-01-02T15:04Z")) // whole minutes, as the vendor writes it
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit.Burst))
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-NearLimit", "true")
	h.Set("RateLimit-Reason", "jira-burst-based")
	wire.WriteRefusal(w, r, wire.Refuse(http.StatusTooManyRequests, "sd.rest.rate.limit", "Rate limit exceeded."))
}

// Allowed puts the quota's headers on a request that is let through.
func (s *Service) Allowed(w http.ResponseWriter, limit site.Limit, remaining int) {
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit.Burst))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	if remaining*5 < limit.Burst { // less than 20 % left
		h.Set("X-RateLimit-NearLimit", "true")
	}
}

func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
