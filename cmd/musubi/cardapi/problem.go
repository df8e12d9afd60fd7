package cardapi

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/musubi-hub/musubi/identity/login"
)

// problem is an answer that says no (RFC 9457).
type problem struct {
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Code     string `json:"code"`               // stable, for machines
	Cause    string `json:"cause,omitempty"`    // of a proof that was rejected: the method's own code (docs/mynumber.md)
	Field    string `json:"field,omitempty"`    // of the document that was sent
	Incident string `json:"incident,omitempty"` // "musubi audit find --incident"
}

// titles of refusals; others have a common one.
var titles = map[login.Reason]string{
	login.ReasonTicket:   "この手続きはもう使えません。ログインの画面からやり直してください。 / This ticket can't be used (any more): begin again on the login page.",
	login.ReasonNetwork:  "別のネットワークで始めたログインです。 / The login began in another network.",
	login.ReasonRejected: "カードの証明を受け付けられません。 / The proof of the card was rejected.",
}

// refuse answers a refusal, or that there is no answer, which tells nothing more.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, refusal *login.Refusal, err error) {
	if refusal == nil {
		h.Log.ErrorContext(r.Context(), "card api", "path", r.URL.Path, "error", err)
		h.problem(w, r, problem{
			Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "いま答えられません。しばらくしてからやり直してください。 / No answer now: try again later.",
		})
		return
	}
	p := problem{Title: titles[refusal.Reason], Status: http.StatusForbidden, Code: string(refusal.Reason), Cause: refusal.Code, Incident: refusal.Incident}
	if p.Title == "" {
		p.Title = "ログインを続けられません。 / The login can't go on."
	}
	h.problem(w, r, p)
}

func (h *handler) malformed(w http.ResponseWriter, r *http.Request, field string) {
	h.problem(w, r, problem{
		Status: http.StatusBadRequest, Code: "malformed", Field: field,
		Title: "送られた JSON が docs/card.openapi.yaml のとおりではありません。 / The JSON isn't as docs/card.openapi.yaml says.",
	})
}

func (h *handler) problem(w http.ResponseWriter, r *http.Request, p problem) {
	h.answer(w, r, p.Status, "application/problem+json", p)
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, status int, kind string, document any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		h.Log.ErrorContext(r.Context(), "card api", "path", r.URL.Path, "error", err)
		status, kind = http.StatusInternalServerError, "application/problem+json"
		b.Reset()
		b.WriteString(`{"title":"Internal error","status":500,"code":"internal"}`)
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "no-store") // it holds a code, or what a code is worth
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a peer that went away
}
