package cardapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
)

// The paths, below which nothing else lives.
const (
	Prefix        = "/api/"
	ChallengePath = "/api/challenge"
	ResponsePath  = "/api/response"
)

// The schemas of the two answers.
const (
	ChallengeSchema = "musubi.card.challenge.v1"
	ResponseSchema  = "musubi.card.response.v1"
)

// maxBody bounds a posted document: a certificate of 16 KiB in base64, and the rest.
const maxBody = 32 << 10

// Tickets is what knows tickets: login.Dispatcher.
type Tickets interface {
	Attempt(ctx context.Context, v login.Visit, m identity.MethodID, ticket string) (login.Attempt, *login.Refusal, error)
	Prove(ctx context.Context, v login.Visit, ticket string, r *http.Request) (location string, _ *login.Refusal, err error)
}

// Challenger makes challenges: mynumber.Method.
type Challenger interface {
	Challenge(ctx context.Context, a login.Attempt) (cert.Challenge, error)
}

// Config of the handler. Everything is required.
type Config struct {
	Tickets Tickets
	Method  Challenger
	Schemes []pkix.Scheme // that the profile takes from a holder's key
	// Visit says from which network a request comes and from whom, or that it is served nowhere.
	Visit func(*http.Request) (login.Visit, bool)
	Log   *slog.Logger
}

type handler struct {
	Config
	cross *http.CrossOriginProtection
}

// New makes the handler of everything below Prefix.
func New(c Config) (http.Handler, error) {
	if c.Tickets == nil || c.Method == nil || len(c.Schemes) == 0 || c.Visit == nil || c.Log == nil {
		return nil, errors.New("cardapi: a handler that lacks a part")
	}
	h := &handler{c, http.NewCrossOriginProtection()}
	mux := http.NewServeMux()
	mux.HandleFunc(ChallengePath, post(h, h.challenge))
	mux.HandleFunc(ResponsePath, post(h, h.response))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.problem(w, r, problem{Status: http.StatusNotFound, Code: "unknown_path", Title: "このようなパスはありません。 / There is no such path."})
	})
	return mux, nil
}

// asked is the body of /api/challenge.
type asked struct {
	Ticket string `json:"ticket"`
}

// challenge is the answer: what to sign, and what it says, so that whoever signs can look at it.
type challenge struct {
	Schema       string        `json:"schema"`
	Message      []byte        `json:"message"` // the octets to sign
	Nonce        []byte        `json:"nonce"`
	RelyingParty string        `json:"relying_party"`
	Purpose      string        `json:"purpose"`
	Issued       time.Time     `json:"issued"`
	Expires      time.Time     `json:"expires"`
	Schemes      []pkix.Scheme `json:"schemes"`
}

func (h *handler) challenge(w http.ResponseWriter, r *http.Request, v login.Visit, in asked) {
	a, refusal, err := h.Tickets.Attempt(r.Context(), v, identity.MethodCard, in.Ticket)
	if refusal != nil || err != nil {
		h.refuse(w, r, refusal, err)
		return
	}
	c, err := h.Method.Challenge(r.Context(), a)
	if errors.Is(err, mynumber.ErrTooMany) {
		h.problem(w, r, problem{
			Status: http.StatusTooManyRequests, Code: "too_many_challenges",
			Title: "この手続きでは、これ以上の署名要求を出せません。ログインをやり直してください。 / No more challenges for this ticket: begin the login again.",
		})
		return
	}
	if err != nil {
		h.refuse(w, r, nil, err)
		return
	}
	message, err := c.Message()
	if err != nil {
		h.refuse(w, r, nil, err)
		return
	}
	h.answer(w, r, http.StatusOK, "application/json", challenge{
		ChallengeSchema, message, c.Nonce, c.RelyingParty, c.Purpose, c.Issued.UTC(), c.Expires.UTC(), h.Schemes,
	})
}

// signed is the body of /api/response.
type signed struct {
	Ticket      string `json:"ticket"`
	Nonce       []byte `json:"nonce"`
	Certificate []byte `json:"certificate"` // DER
	Scheme      string `json:"scheme"`
	Signature   []byte `json:"signature"`
}

// response is the answer: the browser that began goes there.
type response struct {
	Schema   string `json:"schema"`
	Location string `json:"location"`
}

func (h *handler) response(w http.ResponseWriter, r *http.Request, v login.Visit, in signed) {
	if len(in.Signature) == 0 { // without it the method would look at the connection instead
		h.malformed(w, r, "signature")
		return
	}
	// The method reads a posted form, whatever brought it.
	enc := base64.StdEncoding.EncodeToString
	form := url.Values{
		mynumber.FieldNonce: {enc(in.Nonce)}, mynumber.FieldCertificate: {enc(in.Certificate)}, mynumber.FieldScheme: {in.Scheme},
		mynumber.FieldSignature: {enc(in.Signature)},
	}
	brought := r.Clone(r.Context())
	brought.Body, brought.ContentLength, brought.Form, brought.PostForm, brought.MultipartForm = http.NoBody, 0, form, form, nil
	location, refusal, err := h.Tickets.Prove(r.Context(), v, in.Ticket, brought)
	if refusal != nil || err != nil {
		h.refuse(w, r, refusal, err)
		return
	}
	h.answer(w, r, http.StatusOK, "application/json", response{ResponseSchema, location})
}

// post reads a posted document and hands it on.
func post[T any](h *handler, do func(http.ResponseWriter, *http.Request, login.Visit, T)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := h.Visit(r)
		switch {
		case !ok:
			h.problem(w, r, problem{
				Status: http.StatusMisdirectedRequest, Code: "other_host", Title: "このホストでは提供していません。 / This isn't served on this host.",
			})
			return
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			h.problem(w, r, problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Title: "POST で送ってください。 / Send it by POST."})
			return
		case h.cross.Check(r) != nil:
			h.problem(w, r, problem{
				Status: http.StatusForbidden, Code: "other_origin", Title: "ほかのサイトのページからは使えません。 / A page of another site can't use this.",
			})
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			h.problem(w, r, problem{
				Status: http.StatusUnsupportedMediaType, Code: "not_json", Title: "Content-Type: application/json で送ってください。 / Send Content-Type: application/json.",
			})
			return
		}
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			h.problem(w, r, problem{
				Status: http.StatusRequestEntityTooLarge, Code: "too_large", Title: "大きすぎます。32 KiB までです。 / Too large: at most 32 KiB are read.",
			})
			return
		case err != nil:
			h.malformed(w, r, "")
			return
		}
		var in T
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			h.malformed(w, r, fieldOf(err))
			return
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			h.malformed(w, r, "")
			return
		}
		do(w, r, v, in)
	}
}

// fieldOf names the field that a decoder complains of, where it does.
func fieldOf(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return kind.Field
	}
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
		return strings.TrimSuffix(name, `"`)
	}
	return ""
}
