package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// maxForm bounds the body of a form: a reason, and what the form was bound to.
const maxForm = 8 << 10

// Forms. A form carries a token that only a page of this session could hold, bound to the path that it posts to and to what the page showed:
// "seen" names the state that the person decided on. Whoever posts it later, for another plan or a second time gets a refusal and not what
// was meant for then. The session's cookie is the key, so that nothing has to be kept and a new session makes all forms of the old one void.

// tokenOf is the token of a form of r's session that posts to path after seen was shown; empty where there is no session.
func (c *Console) tokenOf(r *http.Request, path, seen string) string {
	if c.cfg.Login == nil {
		return formToken(cookieOf(r), path, seen)
	}
	return session.FromRequest(r, session.CookieName).Derive(fmt.Sprintf("console form %d:%s%s", len(path), path, seen))
}

// formToken is tokenOf of a session that a ticket opened.
func formToken(cookie, path, seen string) string {
	mac := hmac.New(sha256.New, []byte(cookie))
	_, _ = fmt.Fprintf(mac, "musubi console form\x00%s\x00%s", path, seen)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// form is what a template needs to write one.
type form struct {
	Path, Seen, Token string
}

// formOf makes a form for the session of r.
func (c *Console) formOf(r *http.Request, path, seen string) form {
	return form{path, seen, c.tokenOf(r, path, seen)}
}

// conflict is a request that made sense once: what it is about has changed meanwhile, or doesn't allow it now.
type conflict struct {
	message
}

// Error implements error.
func (c conflict) Error() string { return c.EN }

// errForm says that a form's token isn't this session's for this path and state.
var errForm = errors.New("console: the form isn't of this session and page")

// submitted is a form as it came in.
type submitted struct {
	seen   string
	fields map[string]string
}

// field gives a field's text.
func (s submitted) field(name string) string { return s.fields[name] }

// submit makes a handler of a form's post, for who may do the one action. Nothing is read from the address; a field comes once.
func (c *Console) submit(do func(context.Context, http.ResponseWriter, *http.Request, viewer, submitted) error, needs policies.Action, more ...policies.Action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		// Who isn't signed in, or whose form is forged, attempted nothing: only then is the right to it asked, and a refusal recorded.
		_, _, err := c.authenticate(ctx, r)
		var in submitted
		if err == nil {
			in, err = c.readForm(r)
		}
		var v viewer
		if err == nil {
			v, err = c.look(ctx, r, needs, more...)
		}
		if err == nil {
			err = do(ctx, w, r, v, in)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

func (c *Console) readForm(r *http.Request) (submitted, error) {
	unreadable := badRequest{label{"送信された内容を読み取れません。", "The form can't be read."}}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		return submitted{}, unreadable
	}
	if err := r.ParseForm(); err != nil {
		return submitted{}, unreadable
	}
	in := submitted{fields: map[string]string{}}
	for name, values := range r.PostForm {
		if len(values) != 1 || strings.ContainsRune(values[0], 0) {
			return submitted{}, unreadable
		}
		in.fields[name] = values[0]
	}
	in.seen = in.fields["seen"]
	want := c.tokenOf(r, r.URL.Path, in.seen)
	if want == "" || !hmac.Equal([]byte(want), []byte(in.fields["token"])) {
		return submitted{}, errForm
	}
	return in, nil
}

// changedMeanwhile is the answer to a form whose state has gone.
func changedMeanwhile(back string) error {
	return conflict{message{
		label: label{"状態が変わりました", "It has changed meanwhile"},
		Say: label{
			"この画面を開いた後に、ほかの人かハブが状態を変えました。何も実行していません。今の状態を見て、もう一度判断してください。",
			"Somebody else, or the hub, has changed it since you opened the page. Nothing was done. Look at it as it is now and decide again.",
		},
		Back: back,
	}}
}

// refusal turns the engine's refusals into pages that say what to do.
func refusal(err error, back string) error {
	say := func(ja, en, sayJA, sayEN string) error {
		return conflict{message{label: label{ja, en}, Say: label{sayJA, sayEN}, Back: back}}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, provision.ErrOwnPlan):
		return say("自分の計画は承認できません", "Nobody approves a plan of their own", "別のシステム管理者に承認を頼んでください。", "Ask another system administrator to approve it.")
	case errors.Is(err, provision.ErrOtherPolicy):
		return say("方針が変わりました", "The policies have changed", "計画を作った後に方針が変わったため、この計画は承認できません。計画を作り直してください。", "The policies changed after this plan was made. Make a new plan.")
	case errors.Is(err, provision.ErrStarted):
		return say("承認の時期を過ぎています", "It was started before", "この計画はすでに適用を始めたか、終わっています。計画は一度だけ承認できます。", "This plan was started or has ended. A plan is approved once.")
	case errors.Is(err, provision.ErrExpired):
		return say("承認の期限が切れています", "The approval has expired", "別のシステム管理者が、もう一度承認してください。", "Another system administrator has to approve it again.")
	case errors.Is(err, provision.ErrNotApproved):
		return say("承認されていません", "It isn't approved", "別のシステム管理者の承認を受けてから適用してください。", "Another system administrator has to approve it first.")
	case errors.Is(err, provision.ErrBusy):
		return say("ほかの計画を適用しています", "Another plan is being applied", "終わるのを待つか、止めてから適用してください。", "Wait until it ends, or stop it.")
	case errors.Is(err, provision.ErrNotRunning):
		return say("適用していません", "It isn't being applied", "この計画は適用中ではないため、止めるものがありません。", "This plan isn't being applied: there is nothing to stop.")
	case errors.Is(err, access.ErrPersonEnded), errors.Is(err, access.ErrPostEnded):
		return fmt.Errorf("%w: %w", errSessionEnded, err)
	case errors.Is(err, identity.ErrRefused):
		return err
	}
	return err
}
