package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const maxControlBody = 1 << 20

type controlError struct {
	Error string `json:"error"`
}

func writeControl(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(doc) // a client that went away can't be told
}

// serveControl answers /_control/*.
func (s *Sandbox) serveControl(w http.ResponseWriter, r *http.Request) {
	if err := s.checkSender(r); err != nil {
		writeControl(w, http.StatusForbidden, controlError{err.Error()})
		return
	}
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/_control") {
	case "GET /faults":
		writeControl(w, http.StatusOK, map[string]any{"rules": s.Faults()})
	case "POST /faults":
		s.postFaults(w, r)
	case "DELETE /faults":
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	case "GET /state":
		s.getState(w, r)
	case "GET /quota":
		writeControl(w, http.StatusOK, map[string]any{"scale": s.quotas.scale, "classes": s.Quotas()})
	case "POST /reset":
		s.postReset(w, r)
	case "POST /unlink":
		s.postUnlink(w, r)
	case "GET /saml":
		s.getSAML(w, r)
	case "POST /saml":
		s.postSAML(w, r)
	case "GET /subscription":
		s.getSubscription(w, r)
	case "POST /subscription":
		s.postSubscription(w, r)
	case "DELETE /subscription":
		s.deleteSubscription(w, r)
	case "GET /deliveries":
		s.getDeliveries(w, r)
	case "POST /act":
		s.postAct(w, r)
	default:
		writeControl(w, http.StatusNotFound, controlError{
			"there are GET, POST and DELETE faults, GET state?app=atlassian|jira|slack|mail, GET quota, POST reset, POST unlink, GET and POST saml?site=jira|slack|staff, and for slack GET, POST and DELETE subscription?app=slack, GET deliveries?app=slack, POST act?app=slack below /_control/",
		})
	}
}

// ownHost says whether a Host or Origin host is loopback or the configured base address, so that a foreign name that resolves to
// loopback (DNS rebinding) reaches nothing.
func (s *Sandbox) ownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost") {
		return true
	}
	return s.base != nil && strings.EqualFold(host, s.base.Hostname())
}

// checkSender refuses what a page of another site makes a browser send, and bodies that a plain form could send.
func (s *Sandbox) checkSender(r *http.Request) error {
	if r.Method == http.MethodGet {
		return nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return errors.New("refused: a page of another site sent this")
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !s.ownHost(u.Host) {
			return errors.New("refused: a page of another site sent this")
		}
	}
	return nil
}

// readControl reads a JSON body of POST.
func readControl(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		writeControl(w, http.StatusUnsupportedMediaType, controlError{"Content-Type must be application/json"})
		return nil, false
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxControlBody+1))
	switch {
	case err != nil:
		writeControl(w, http.StatusBadRequest, controlError{"the body could not be read"})
	case len(raw) > maxControlBody:
		writeControl(w, http.StatusRequestEntityTooLarge, controlError{fmt.Sprintf("the body is larger than %d bytes", maxControlBody)})
	default:
		return bytes.TrimSpace(raw), true
	}
	return nil, false
}

func (s *Sandbox) postFaults(w http.ResponseWriter, r *http.Request) {
	raw, ok := readControl(w, r)
	if !ok {
		return
	}
	faults, err := decodeFaults(raw)
	if err == nil {
		err = s.AddFaults(faults...)
	}
	if err != nil {
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
		return
	}
	writeControl(w, http.StatusCreated, map[string]any{"rules": s.Faults()})
}

// decodeFaults reads one rule or a list of rules; an unknown field is an error.
func decodeFaults(raw []byte) ([]Fault, error) {
	if len(raw) == 0 || raw[0] != '[' {
		raw = append(append([]byte("["), raw...), ']')
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var faults []Fault
	if err := dec.Decode(&faults); err != nil {
		return nil, fmt.Errorf("the body must be a rule or a list of rules: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body must be a rule or a list of rules, and nothing after it")
	}
	if len(faults) == 0 {
		return nil, errors.New("the body holds no rule")
	}
	return faults, nil
}

func (s *Sandbox) getState(w http.ResponseWriter, r *http.Request) {
	app := r.URL.Query().Get("app")
	counts, err := s.Counts(app)
	if err != nil {
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
		return
	}
	if r.URL.Query().Get("summary") == "1" {
		writeControl(w, http.StatusOK, map[string]any{"app": app, "counts": counts})
		return
	}
	st, err := s.State(app)
	if err != nil {
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
		return
	}
	writeControl(w, http.StatusOK, st)
}

func (s *Sandbox) postReset(w http.ResponseWriter, r *http.Request) {
	if _, ok := readControl(w, r); !ok {
		return
	}
	if err := s.Reset(); err != nil {
		writeControl(w, http.StatusServiceUnavailable, controlError{err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// postUnlink undoes the tie between an account and whom the identity provider had named.
func (s *Sandbox) postUnlink(w http.ResponseWriter, r *http.Request) {
	raw, ok := readControl(w, r)
	if !ok {
		return
	}
	var b struct{ App, Account string }
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		writeControl(w, http.StatusBadRequest, controlError{`the body must be {"app": "jira" or "slack", "account": "..."}`})
		return
	}
	done, err := false, error(nil)
	switch b.App {
	case Jira:
		done, err = s.service.Unlink(b.Account)
	case Slack:
		done, err = s.workspace.Unlink(b.Account)
	default:
		writeControl(w, http.StatusBadRequest, controlError{"app must be jira or slack"})
		return
	}
	switch {
	case err != nil:
		writeControl(w, http.StatusServiceUnavailable, controlError{err.Error()})
	case !done:
		writeControl(w, http.StatusNotFound, controlError{"no identity is tied to this account"})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
