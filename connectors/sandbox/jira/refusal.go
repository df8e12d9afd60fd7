package jira

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Refuse answers with status in the vendor's shape, for faults.
func (s *Service) Refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	wire.WriteRefusal(w, r, wire.Refuse(status, "sandbox.fault", detail))
}

// Authenticate checks e-mail and API token (Basic), a customer's stand-in session, or an app's bearer token, and answers 401 where they
// are missing, wrong or expired, and 403 where a customer calls what customers can't.
func (s *Service) Authenticate(c *site.Call, route *site.Route) bool {
	given := c.R.Header.Get("Authorization")
	if route.Anonymous && given == "" {
		return true
	}
	email, token, basic := c.R.BasicAuth()
	bearer, isBearer := strings.CutPrefix(given, "Bearer ")
	unexpired := s.opt.TokenExpires.IsZero() || c.Now.Before(s.opt.TokenExpires)
	switch {
	case basic && s.opt.Token != "" && sameSecret(token, s.opt.Token) && strings.EqualFold(email, s.opt.Email) && unexpired:
		return true
	case isBearer && s.opt.AppToken != "" && sameSecret(bearer, s.opt.AppToken):
		if strings.HasSuffix(route.Pattern, "/webhook") || strings.HasSuffix(route.Pattern, "/webhook/refresh") {
			c.As = work.AsApp
		}
		return true
	case basic && s.opt.CustomerToken != "" && sameSecret(token, s.opt.CustomerToken):
		if id, ok := s.customerID(email); ok {
			return s.admitCustomer(c, route, id)
		}
	}
	c.W.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
	c.W.Header().Set("WWW-Authenticate", `Basic realm="Jira"`)
	wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusUnauthorized, "sd.rest.authentication.required",
		"Client must be authenticated to access this resource."))
	return false
}

// customerID finds the customer with portal access who has an e-mail address.
func (s *Service) customerID(email string) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.byEmail[strings.ToLower(email)]
	return id, ok && s.customers[id].Current().Active
}

func (s *Service) admitCustomer(c *site.Call, route *site.Route, id string) bool {
	if !work.CustomerOps[route.Op] {
		wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusForbidden, "sd.rest.forbidden", "You do not have permission to perform this operation."))
		return false
	}
	c.As = id
	return true
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
	s.ThrottledFor(w, r, limit, retryAfter, now, ReasonBurst)
}

// Why the vendor answers 429.
const (
	ReasonBurst    = "jira-burst-based"
	ReasonGlobal   = "jira-quota-global-based"
	ReasonTenant   = "jira-quota-tenant-based"
	ReasonPerIssue = "jira-per-issue-on-write"
)

// Reasons lists why the vendor answers 429.
func Reasons() []string { return []string{ReasonBurst, ReasonGlobal, ReasonTenant, ReasonPerIssue} }

// ThrottledFor is Throttled with the vendor's reason. Quotas of an hour also have the RateLimit header.
func (s *Service) ThrottledFor(w http.ResponseWriter, r *http.Request, limit site.Limit, retryAfter time.Duration, now time.Time, reason string) {
	h := w.Header()
	if retryAfter > 0 {
		site.SetRetryAfter(w, retryAfter)
		h.Set("X-RateLimit-Reset", now.Add(retryAfter).UTC().Format("2006-01-02T15:04Z")) // whole minutes, as the vendor writes it
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit.Burst))
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-NearLimit", "true")
	h.Set("RateLimit-Reason", reason)
	if quota := map[string]string{ReasonGlobal: "global-app-quota", ReasonTenant: "tenant-app-quota"}[reason]; quota != "" {
		h.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%d", quota, int64(retryAfter/time.Second)))
		h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=65000;w=3600", quota))
	}
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
