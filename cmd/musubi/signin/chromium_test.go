//go:build interop

package signin_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
)

const scripts = "../../../deploy/interop"

// tlsServer serves a host of the world beside the hub.
func tlsServer(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{webPair()}}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// player is the page that plays the card: it opens the card host with the certificate of whichever card is chosen, and leads the browser on to where that
// leads. "none" leads the browser itself there, which has no card.
func player(t *testing.T, to func() *house) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, which := r.URL.Query().Get("to"), r.URL.Query().Get("card")
		switch which {
		case "":
			_, _ = fmt.Fprint(w, "<!DOCTYPE html><title>card</title>")
			for _, c := range []string{"0", "1", "2", "3", "none"} {
				_, _ = fmt.Fprintf(w, `<p><a href="?card=%s&amp;to=%s">%s</a></p>`, c, html.EscapeString(url.QueryEscape(at)), c)
			}
		case "none":
			http.Redirect(w, r, at, http.StatusSeeOther)
		default:
			b := to().browser(cards()[which[0]-'0'])
			s := b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)))
			http.Redirect(w, r, s.to(), http.StatusSeeOther)
		}
	})
}

func TestPagesInChromium(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil && os.Getenv("CHROMIUM") == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("Chromium is not installed: bash deploy/ci/setup.sh installs it")
		}
		t.Skip("Chromium is not installed: bash deploy/ci/setup.sh installs it, or set CHROMIUM to its path")
	}
	var h *house
	var relying, elsewhere string
	app := tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slo/wiki", "/slo/chat", "/slo/board":
			h.out(w, r)
			return
		case "/acs": // as services do that greet people elsewhere than where they are answered
			http.Redirect(w, r, elsewhere+"/landed", http.StatusSeeOther)
			return
		case "/service":
			form := h.samlForm()
			_, _ = fmt.Fprintf(w, `<!DOCTYPE html><html lang=en><title>app</title><form method="post" action="%s/saml/sso"><input type="hidden" name="SAMLRequest" value="%s">`+
				`<input type="hidden" name="RelayState" value="%s"><button>log in</button></form>`, h.login, form.Get("SAMLRequest"), form.Get("RelayState"))
			return
		}
		_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html lang=en><title>app</title><body>app %s %s code %t", r.Method, r.URL.Path, r.FormValue("code") != "")
	}))
	relying = "https://app.localhost:" + app
	elsewhere = "https://sandbox.localhost:" + tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "landed") }))
	sandbox := "https://sandbox.localhost:" + tlsServer(t, player(t, func() *house { return h }))
	h = one(t, func(c *signin.Config) {
		c.CardVia = func(at string) string { return sandbox + "/?to=" + url.QueryEscape(at) }
		c.Services = func(context.Context, access.Actor, session.Session) ([]page.Service, error) {
			return []page.Service{
				{Name: page.Label{JA: "文書 (Confluence)"}, Link: h.login + "/saml/start?party=wiki"},
				{Name: page.Label{JA: "お問い合わせ窓口 (Jira Service Management)"}},
				{Name: page.Label{JA: "災害時の連絡に使うサービス、正式な名称が一行に収まらないほど長いもの"}, Link: h.login + "/saml/start?party=slack"},
			}, nil
		}
		c.Notice = "実演用の環境です。実在の人のカードは使えません。"
	}, relying+"/callback", elsewhere)
	h.linked(1, logintest.TwoPosts)
	h.linked(2, logintest.Vendor)
	folder := os.Getenv("SCREENSHOTS")
	if folder != "" {
		folder = must(filepath.Abs(folder))
	}
	var enters []string
	for _, o := range outs {
		enters = append(enters, h.enters(o.id))
	}
	given := must(json.Marshal(map[string]any{
		"enters": enters,
		"login":  h.login, "card": h.card, "authorize": h.authorize("app"), "closed": h.authorize("closed"), "service": relying + "/service", "fresh": h.authorize("app", "prompt", "login"), "post": h.authorize("app", "response_mode", "form_post"),
		"logout":   h.login + "/oidc/logout?client_id=app&post_logout_redirect_uri=" + url.QueryEscape(relying+"/bye"),
		"password": h.newPassword(logintest.Local, logintest.CityA), "callback": relying + "/callback", "folder": folder,
		"origins": []string{h.card, sandbox, relying, elsewhere},
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "node", filepath.Join(scripts, "signin.mjs"), string(given))
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("signin.mjs: %v\n%s", err, stderr.String())
	}
	var seen struct {
		Pages []struct {
			Name, Title, Language, URL, Text string
			Violations                       []struct {
				ID, Impact, Help string
				Nodes            []string
			}
			Foreign, Complaints []string
			Overflow, Bytes     int
		}
		Ends struct {
			FirstUse, FormPost, Posts, Bye, Refused, Back, Beyond, Tab, Kept, Itself, Before string
			Frames                                                                           int
		}
		Loaded, Answered struct{ Median, Worst float64 }
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatal(err)
	}
	if len(seen.Pages) < 24 {
		t.Errorf("only %d pages were seen", len(seen.Pages))
	}
	largest := 0
	for _, p := range seen.Pages {
		for _, v := range p.Violations {
			t.Errorf("%s: %s (%s): %s at %q", p.Name, v.ID, v.Impact, v.Help, v.Nodes)
		}
		for _, origin := range p.Foreign {
			t.Errorf("%s asks %s for something", p.Name, origin)
		}
		for _, complaint := range p.Complaints {
			t.Errorf("%s: the browser complains: %s", p.Name, complaint)
		}
		if p.Language != "ja" || p.Title == "" {
			t.Errorf("%s: language %q, title %q", p.Name, p.Language, p.Title)
		}
		if p.Overflow > 0 {
			t.Errorf("%s is %d pixels wider than a window of 320", p.Name, p.Overflow)
		}
		if p.Bytes > maxPage || p.Bytes == 0 {
			t.Errorf("%s has %d bytes", p.Name, p.Bytes)
		}
		largest = max(largest, p.Bytes)
	}
	if !strings.HasPrefix(seen.Ends.FirstUse, relying+"/callback?code=") {
		t.Errorf("first use ended at %s", seen.Ends.FirstUse)
	}
	if seen.Ends.FormPost != "app POST /callback code true" {
		t.Errorf("the form ended at %q", seen.Ends.FormPost)
	}
	if seen.Ends.Beyond != "landed" {
		t.Errorf("the form of a service that leads on ended at %q", seen.Ends.Beyond)
	}
	if seen.Ends.Itself != "landed" || strings.HasPrefix(seen.Ends.Before, "/login/") {
		t.Errorf("an answer goes by itself to %q; before it stands %s", seen.Ends.Itself, seen.Ends.Before)
	}
	if seen.Ends.Kept != "bye" {
		t.Errorf("the way through the services stopped at %q", seen.Ends.Kept)
	}
	if !strings.HasPrefix(seen.Ends.Tab, relying+"/callback?code=") {
		t.Errorf("the login of another tab ended at %s", seen.Ends.Tab)
	}
	if !strings.Contains(seen.Ends.Posts, "as city-b") || seen.Ends.Frames != 1 || !strings.HasPrefix(seen.Ends.Bye, relying+"/bye") ||
		!strings.Contains(seen.Ends.Refused, "error=access_denied") || !strings.HasPrefix(seen.Ends.Back, h.login+"/login/") {
		t.Errorf("%+v", seen.Ends)
	}
	t.Logf("%d pages, the largest of %d bytes; DOMContentLoaded of the login page at 4x CPU throttle: median %.0f ms, worst of ten %.0f ms",
		len(seen.Pages), largest, seen.Loaded.Median, seen.Loaded.Worst)
	t.Logf("a SAML answer, from the service's button to DOMContentLoaded: median %.0f ms, worst of ten %.0f ms", seen.Answered.Median, seen.Answered.Worst)
}
