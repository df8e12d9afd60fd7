package wire

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Refusal is an answer that says no. Calls below /rest/servicedeskapi and calls of the platform have a shape each.
type Refusal struct {
	Status  int
	Message string
	I18nKey string
	Fields  map[string]string // of the platform: what is wrong with which field
}

// Refuse makes a refusal.
func Refuse(status int, i18nKey, message string) *Refusal {
	return &Refusal{Status: status, Message: message, I18nKey: i18nKey}
}

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

// IsDesk says whether a request is for /rest/servicedeskapi.
func IsDesk(r *http.Request) bool { return strings.Contains(r.URL.Path, "/rest/servicedeskapi") }

// WriteRefusal answers with x in the shape of the request's API.
func WriteRefusal(w http.ResponseWriter, r *http.Request, x *Refusal) {
	if IsDesk(r) {
		WriteJSON(w, x.Status, deskError{x.Message, i18nMessage{x.I18nKey, []string{}}})
		return
	}
	e := platformError{[]string{}, map[string]string{}}
	if x.Message != "" {
		e.ErrorMessages = append(e.ErrorMessages, x.Message)
	}
	maps.Copy(e.Errors, x.Fields)
	WriteJSON(w, x.Status, e)
}

// WriteJSON answers with doc.
func WriteJSON(w http.ResponseWriter, status int, doc any) {
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

// maxBody bounds a request's body; not the vendor's number.
const maxBody = 1 << 20

// maxAccountIDs bounds the people of one call. The vendor publishes no number; 50 is the size of its pages.
const maxAccountIDs = 50

// MaxName bounds names, as the vendor documents for organizations.
const MaxName = 200

// ReadBody reads a JSON body of at most 1 MiB.
func ReadBody(c *site.Call, into any) *Refusal {
	err := site.DecodeBody(c.R, maxBody, into, "application/json")
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, site.ErrMediaType):
		return Refuse(http.StatusUnsupportedMediaType, "sd.rest.media.type", "Content-Type must be application/json.")
	case errors.Is(err, site.ErrTooLarge):
		return Refuse(http.StatusRequestEntityTooLarge, "sd.rest.too.large", "The request is too large.")
	case errors.As(err, &wrong):
		return BadRequest("Field " + Clip(wrong.Field) + " must not be a " + wrong.Value + ".")
	}
	return BadRequest("The request body is not valid JSON.")
}

// BadRequest refuses with 400.
func BadRequest(message string) *Refusal {
	return Refuse(http.StatusBadRequest, "sd.rest.bad.request", message)
}

// Unavailable answers a journal that can't be written: nothing was done.
func Unavailable(err error) *Refusal {
	if err == nil {
		return nil
	}
	return Refuse(http.StatusServiceUnavailable, "sandbox.journal", "The change could not be stored: "+err.Error())
}

// Clip shortens what a caller sent, for a message.
func Clip(text string) string {
	r := []rune(text)
	if len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}

// accountIDs are the body of calls that name people.
type accountIDs struct {
	AccountIDs []string `json:"accountIds"`
	Usernames  []string `json:"usernames"`
}

// ReadAccountIDs reads the body of a call that names people.
func ReadAccountIDs(c *site.Call) ([]string, *Refusal) {
	var b accountIDs
	if no := ReadBody(c, &b); no != nil {
		return nil, no
	}
	switch {
	case len(b.Usernames) > 0:
		return nil, BadRequest("usernames is no longer available; use accountIds.")
	case len(b.AccountIDs) == 0:
		return nil, BadRequest("accountIds must name at least one account.")
	case len(b.AccountIDs) > maxAccountIDs:
		return nil, BadRequest("accountIds names more than 50 accounts.")
	}
	return b.AccountIDs, nil
}

// Finish answers 204, or with what was refused.
func Finish(c *site.Call, no *Refusal) {
	if no != nil {
		WriteRefusal(c.W, c.R, no)
		return
	}
	c.W.WriteHeader(http.StatusNoContent)
}
