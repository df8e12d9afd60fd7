package oidcop

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/policies"
)

const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// challengeForm is a SHA-256 in base64url; verifierForm is RFC 7636, section 4.1.
var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	verifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
)

// facts are what is kept of an authorization request until it is answered.
type facts struct {
	Redirect  string   `json:"redirect_uri"`
	Form      bool     `json:"form,omitempty"` // response_mode=form_post
	State     string   `json:"state,omitempty"`
	Nonce     string   `json:"nonce,omitempty"`
	Challenge string   `json:"challenge"`
	Scope     []string `json:"scope"`
}

// checkRedirect finds where a request may be answered. Until this is known nothing is sent to an address that the request names.
func checkRedirect(in params, p party.Party, face party.Face) (facts, *fault) {
	uri := in["redirect_uri"]
	if uri == "" {
		return facts{}, invalidRequest("redirect_missing", "redirect_uri is needed")
	}
	if !p.Redirects(face, uri) {
		return facts{}, invalidRequest("redirect_unregistered", "redirect_uri isn't registered, octet by octet")
	}
	return facts{Redirect: uri, Form: in["response_mode"] == "form_post", State: in["state"]}, nil
}

// checkAuthorize judges the rest of an authorization request and says what to ask of the login.
func checkAuthorize(in params, p party.Party, f facts) (facts, login.Ask, *fault) {
	ask := login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: p.ID, Required: p.Least}
	if len(f.State) > maxShort {
		f.State = "" // it can't be given back
		return f, ask, invalidRequest("state_long", "state is too long")
	}
	for name, code := range map[string]string{"request": "request_not_supported", "request_uri": "request_uri_not_supported", "registration": "registration_not_supported"} {
		if in[name] != "" {
			return f, ask, &fault{http.StatusBadRequest, code, name + "_unsupported", "push the request instead (RFC 9126)", nil}
		}
	}
	if in["response_type"] != "code" {
		return f, ask, &fault{http.StatusBadRequest, "unsupported_response_type", "response_type", "only response_type=code is served", nil}
	}
	if mode := in["response_mode"]; mode != "" && mode != "query" && mode != "form_post" {
		return f, ask, invalidRequest("response_mode", "response_mode is query or form_post")
	}
	// RFC 7636, section 4.3: without a method it would be plain.
	if in["code_challenge_method"] != "S256" || !challengeForm.MatchString(in["code_challenge"]) {
		reason := "pkce_malformed"
		switch {
		case in["code_challenge"] == "":
			reason = "pkce_missing"
		case in["code_challenge_method"] != "S256":
			reason = "pkce_method"
		}
		return f, ask, invalidRequest(reason, "code_challenge with code_challenge_method=S256 is needed")
	}
	f.Challenge = in["code_challenge"]
	if f.Nonce = in["nonce"]; len(f.Nonce) > maxNonce {
		return f, ask, invalidRequest("nonce_long", "nonce is too long")
	}
	scope, fl := checkScope(in["scope"], p)
	if fl != nil {
		return f, ask, fl
	}
	f.Scope = scope
	if fl := checkPrompt(in, &ask); fl != nil {
		return f, ask, fl
	}
	var err error
	ask.Facts, err = json.Marshal(f)
	if err != nil {
		return f, ask, broken(err)
	}
	return f, ask, nil
}

// checkScope gives the scope values that the party may have, sorted. What there isn't, or what it may not have, is left out (Core, section
// 3.1.2.1; RFC 6749, section 3.3): the answer says what it got.
func checkScope(text string, p party.Party) ([]string, *fault) {
	asked := strings.Fields(text)
	if !slices.Contains(asked, "openid") {
		return nil, &fault{http.StatusBadRequest, "invalid_scope", "scope_openid", "the scope openid is needed", nil}
	}
	var out []string
	for _, s := range party.Scopes() {
		if slices.Contains(asked, s) && (s == "openid" || slices.Contains(p.Scopes, s)) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out, nil
}

func checkPrompt(in params, ask *login.Ask) *fault {
	prompts := strings.Fields(in["prompt"])
	for _, s := range prompts {
		switch s {
		case "none":
			ask.Passive = true
		case "login":
			ask.Force = true
		case "select_account":
			ask.Choose = true
		case "consent": // policy decides what is released; the person is asked nothing
		default:
			return invalidRequest("prompt", "prompt has an unknown value")
		}
	}
	if ask.Passive && len(prompts) > 1 {
		return invalidRequest("prompt", "prompt=none stands alone")
	}
	if text := in["max_age"]; text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return invalidRequest("max_age", "max_age is a number of seconds")
		}
		ask.MaxAge, ask.HasMaxAge = time.Duration(n)*time.Second, true
	}
	// acr_values is in order of preference: what must be reached is the lowest that would do.
	lowest := policies.AssuranceNone
	for _, s := range strings.Fields(in["acr_values"]) {
		if a, ok := policies.AssuranceOf(s); ok && (lowest == policies.AssuranceNone || a < lowest) {
			lowest = a
		}
	}
	ask.Required = max(ask.Required, lowest)
	return nil
}

// authorize serves the authorization end point.
func (c *call) authorize() {
	const action = "oidc.authorize"
	in, f := c.sent()
	if f != nil {
		c.page("", action, f)
		return
	}
	p, face, f := c.known(in["client_id"])
	if f != nil {
		if f.status == http.StatusUnauthorized {
			f.status = http.StatusBadRequest // a page, not a question for a password
		}
		c.page(p.ID, action, f)
		return
	}
	if uri, ok := strings.CutPrefix(in["request_uri"], pushedPrefix); ok {
		if in, f = c.pushed(p, uri); f != nil {
			c.page(p.ID, action, f)
			return
		}
	} else if p.PAR {
		c.page(p.ID, action, invalidRequest("par_required", "push the request first (RFC 9126)"))
		return
	}
	fs, f := checkRedirect(in, p, face)
	if f != nil {
		c.page(p.ID, action, f)
		return
	}
	fs, ask, f := checkAuthorize(in, p, fs)
	if f == nil {
		ask.Network = c.network
		ask.Person, f = c.hinted(in["id_token_hint"], p)
	}
	if f != nil {
		c.back(p, fs, f)
		return
	}
	c.p.opt.Start(c.w, c.r, ask)
}

// back tells a refusal to the relying party, through the browser.
func (c *call) back(p party.Party, fs facts, f *fault) {
	text := f.text
	if incident := c.record(p.ID, "oidc.authorize", f); incident != "" {
		text += "; incident " + incident
	}
	a := answerTo(fs, c.issuer, [][2]string{{"error", f.code}, {"error_description", text}})
	if a.Form != nil {
		c.p.opt.Pages.Form(c.w, c.r, a)
		return
	}
	http.Redirect(c.w, c.r, a.Location, http.StatusSeeOther)
}

// answerTo makes the answer at the party's redirect URI, with iss (RFC 9207) and the party's state.
func answerTo(fs facts, issuer string, values [][2]string) login.Answer {
	values = append(values, [2]string{"iss", issuer})
	if fs.State != "" {
		values = append(values, [2]string{"state", fs.State})
	}
	if fs.Form {
		return login.Answer{Location: fs.Redirect, Form: values}
	}
	// The registered query stays as it is, octet by octet: what is ours comes after it.
	var b strings.Builder
	b.WriteString(fs.Redirect)
	sep := "?"
	if strings.Contains(fs.Redirect, "?") {
		sep = "&"
	}
	for _, v := range values {
		b.WriteString(sep + url.QueryEscape(v[0]) + "=" + url.QueryEscape(v[1]))
		sep = "&"
	}
	return login.Answer{Location: b.String()}
}

// hinted says whom id_token_hint names; empty without a hint.
func (c *call) hinted(text string, p party.Party) (policies.PersonID, *fault) {
	if text == "" {
		return "", nil
	}
	cl, err := c.hint(text)
	switch {
	case errors.Is(err, errHint):
		return "", invalidRequest("hint_invalid", errHint.Error())
	case err != nil:
		return "", broken(err)
	case cl.Audience[0] != string(p.ID):
		return "", invalidRequest("hint_of_another", "id_token_hint is another relying party's")
	}
	person, err := c.p.opt.Subjects.Person(c.r.Context(), c.p.opt.DB.Reader(), ppid.Sector(p.Sector), cl.Subject)
	if errors.Is(err, identity.ErrNotFound) {
		return "", &fault{http.StatusBadRequest, "login_required", "hint_unknown", "the person isn't known any more", nil}
	}
	if err != nil {
		return "", broken(err)
	}
	return person, nil
}

// push serves pushed authorization requests (RFC 9126).
func (c *call) push() {
	const action = "oidc.push"
	in, f := c.form()
	if f != nil {
		c.refuse("", action, f)
		return
	}
	p, face, f := c.authenticate(in)
	if f != nil {
		c.refuse(p.ID, action, f)
		return
	}
	if in["request_uri"] != "" {
		c.refuse(p.ID, action, invalidRequest("request_uri_pushed", "request_uri can't be pushed (RFC 9126, section 2.1)"))
		return
	}
	in["client_id"] = string(p.ID)
	delete(in, "client_assertion")
	delete(in, "client_assertion_type")
	fs, f := checkRedirect(in, p, face)
	if f == nil {
		_, _, f = checkAuthorize(in, p, fs)
	}
	if f == nil {
		_, f = c.hinted(in["id_token_hint"], p)
	}
	if f != nil {
		c.refuse(p.ID, action, f)
		return
	}
	kept, err := json.Marshal(in)
	name, err2 := c.p.secret()
	if err := errors.Join(err, err2); err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO oidc_pushed (hash, party, network, params, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			hashOf(name), string(p.ID), string(c.network), string(kept), c.after(pushedLife))
		return err
	})
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	c.answer(http.StatusCreated, map[string]any{"request_uri": pushedPrefix + name, "expires_in": int(pushedLife.Seconds())})
}

// pushed takes a pushed request, once. What stood beside it in the address counts for nothing (RFC 9126, section 4).
func (c *call) pushed(p party.Party, name string) (params, *fault) {
	var kept, owner, network string
	var expires int64
	err := c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `DELETE FROM oidc_pushed WHERE hash = $1 AND party = $2 RETURNING params, party, network, expires_at`, hashOf(name), string(p.ID)).
			Scan(&kept, &owner, &network, &expires)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, invalidRequest("pushed_unknown", "request_uri is unknown, was used, or is another relying party's")
	case err != nil:
		return nil, broken(err)
	case network != string(c.network):
		return nil, invalidRequest("pushed_network", "request_uri was pushed in another network")
	case c.at >= expires:
		return nil, invalidRequest("pushed_expired", "request_uri has expired")
	}
	var in params
	if err := json.Unmarshal([]byte(kept), &in); err != nil {
		return nil, broken(err)
	}
	return in, nil
}
