package jira

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// refusal is an answer that says no. Calls below /rest/servicedeskapi and calls of the platform have a shape each.
type refusal struct {
	status  int
	message string
	i18nKey string
}

func refuse(status int, i18nKey, message string) *refusal { return &refusal{status, message, i18nKey} }

type i18nMessage struct {
	I18nKey    string   `json:"i18nKey"`
	Parameters []string `json:"parameters"`
}

type deskError struct {
	ErrorMessage     string      `json:"errorMessage"`
	I18nErrorMessage i18nMessage `json:"i18nErrorMessage"`
}

type platformError struct {
	ErrorMessages []string          `json:"errorMessages"`
	Errors        map[string]string `json:"errors"`
}

func isDesk(r *http.Request) bool { return strings.Contains(r.URL.Path, "/rest/servicedeskapi") }

func writeRefusal(w http.ResponseWriter, r *http.Request, x *refusal) {
	if isDesk(r) {
		writeJSON(w, x.status, deskError{x.message, i18nMessage{x.i18nKey, []string{}}})
		return
	}
	writeJSON(w, x.status, platformError{[]string{x.message}, map[string]string{}})
}

func writeJSON(w http.ResponseWriter, status int, doc any) {
	raw, err := json.Marshal(doc)
	if err != nil { // only types of this package and stored JSON come here
		http.Error(w, "sandbox: encode: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// Refuse answers with status in the vendor's shape, for faults.
func (s *Service) Refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	writeRefusal(w, r, refuse(status, "sandbox.fault", detail))
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
	writeRefusal(c.W, c.R, refuse(http.StatusUnauthorized, "sd.rest.authentication.required",
		"Client must be authenticated to access this resource."))
	return false
}

func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Unrouted answers a path or method that the API doesn't have.
func (s *Service) Unrouted(w http.ResponseWriter, r *http.Request, allowed []string) {
	if len(allowed) == 0 {
		writeRefusal(w, r, refuse(http.StatusNotFound, "sd.rest.not.found", "No such resource"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeRefusal(w, r, refuse(http.StatusMethodNotAllowed, "sd.rest.method", "Method not allowed"))
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
	writeRefusal(w, r, refuse(http.StatusTooManyRequests, "sd.rest.rate.limit", "Rate limit exceeded."))
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
