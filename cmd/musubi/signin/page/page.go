package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/jst"
)

//go:embed templates/*.html static/*
var files embed.FS

// Label is a text in both languages, Japanese first. An empty EN is left out.
type Label struct{ JA, EN string }

// Name picks a page's template.
type Name string

// The pages.
const (
	Methods   Name = "methods"   // one way to prove oneself is to be chosen
	Secret    Name = "secret"    // a form: password, sealed account, invitation
	Posts     Name = "posts"     // the post to act in is to be chosen
	Go        Name = "go"        // the browser goes on by itself
	Answer    Name = "answer"    // a form to a relying party, which goes by itself; without script by its button
	Message   Name = "message"   // a few sentences, and a way on
	Confirm   Name = "confirm"   // a question with one button
	LoggedOut Name = "loggedout" // the end, with hidden frames
	Leaving   Name = "leaving"   // the way to the next service that only this browser can log out of
	Sessions  Name = "sessions"  // one's own sessions
	Services  Name = "services"  // what one may enter
)

func names() []Name {
	return []Name{Methods, Secret, Posts, Go, Answer, Message, Confirm, LoggedOut, Leaving, Sessions, Services}
}

// Visitor is who is logged in, as the head of the page says it.
type Visitor struct{ Name, Org, Token string }

// Sheet is a page to be shown.
type Sheet struct {
	Name   Name
	Status int
	Title  Label
	Body   any // the page's own

	Network Label     // its name, shown in the foot; may be empty
	Until   int64     // when what the page offers ends: UTC, microseconds; 0: nothing ends
	Visitor *Visitor  // nil for none
	Alert   *Alert    // what was refused just now; the page goes on below it
	FormTo  []string  // where forms may be posted and led on to, as sources of CSP; empty: 'self'
	Frames  []string  // addresses that the page loads in hidden frames
	Onward  string    // the browser goes there by itself, at once
	Origin  bool      // the form's target looks at its Origin, which browsers give only with a referrer policy that allows it
	at      time.Time // when the page was made
	notice  string
	style   template.CSS
	script  template.JS // Answer's alone
}

// Alert is a refusal within a page.
type Alert struct {
	Sentence
	Incident string
}

// Renderer shows pages. It is safe for concurrent use.
type Renderer struct {
	pages  map[Name]*template.Template
	style  template.CSS
	hash   string // of the style, as CSP wants it
	script template.JS
	run    string // the script's hash
	notice string
	now    func() time.Time
	log    *slog.Logger
}

// New parses the pages. notice is shown on each of them and may be empty.
func New(notice string, now func() time.Time, log *slog.Logger) (*Renderer, error) {
	style, err := files.ReadFile("static/signin.css")
	if err != nil {
		return nil, fmt.Errorf("signin: %w", err)
	}
	script, err := files.ReadFile("static/onward.js")
	if err != nil {
		return nil, fmt.Errorf("signin: %w", err)
	}
	p := &Renderer{
		pages: map[Name]*template.Template{}, style: template.CSS(style), script: template.JS(script), //nolint:gosec // G203: our own files
		hash: hash(style), run: hash(script), notice: notice, now: now, log: log,
	}
	functions := template.FuncMap{"jst": Moment, "clock": clock, "span": span}
	for _, n := range names() {
		p.pages[n], err = template.New("layout.html").Funcs(functions).Option("missingkey=error").
			ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+string(n)+".html")
		if err != nil {
			return nil, fmt.Errorf("signin: %w", err)
		}
	}
	return p, nil
}

// hash writes the hash of a style or script as CSP wants it.
func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Moment writes microseconds of UTC as staff read them.
func Moment(at int64) string {
	if at == 0 {
		return "—"
	}
	return time.UnixMicro(at).In(jst.Zone).Format("2006年1月2日 15:04 JST")
}

func clock(at int64) string { return time.UnixMicro(at).In(jst.Zone).Format("15:04") }

// span writes a time in hours, or in minutes where it isn't whole hours or is a short one.
func span(d time.Duration) Label {
	if d%time.Hour == 0 && d > time.Hour {
		return Label{fmt.Sprintf("%d 時間", d/time.Hour), fmt.Sprintf("%d hours", d/time.Hour)}
	}
	return Label{fmt.Sprintf("%d 分", d/time.Minute), fmt.Sprintf("%d minutes", d/time.Minute)}
}

// The fields of Sheet that templates read.
func (s Sheet) At() int64           { return s.at.UnixMicro() }
func (s Sheet) Notice() string      { return s.notice }
func (s Sheet) Style() template.CSS { return s.style }
func (s Sheet) Script() template.JS { return s.script }

// Left is how many minutes are left until Until, rounded down.
func (s Sheet) Left() int64 { return max(0, (s.Until-s.at.UnixMicro())/time.Minute.Microseconds()) }

// Show writes a page, whole or not at all.
func (p *Renderer) Show(w http.ResponseWriter, r *http.Request, s Sheet) {
	s.at, s.notice, s.style = p.now(), p.notice, p.style
	if s.Name == Answer {
		s.script = p.script
	}
	if s.Onward != "" && !Web(s.Onward) {
		p.log.ErrorContext(r.Context(), "signin: a page would lead to what is no web address", "page", s.Name)
		s.Onward = ""
	}
	var b bytes.Buffer
	t, ok := p.pages[s.Name]
	err := fmt.Errorf("there is no page %q", s.Name)
	if ok {
		err = t.Execute(&b, s)
	}
	if err != nil {
		p.log.ErrorContext(r.Context(), "signin: a page can't be shown", "page", s.Name, "error", err)
		http.Error(w, "画面を作れませんでした。 / The page can't be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy(s))
	if s.Origin {
		h.Set("Referrer-Policy", "same-origin")
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", "ja, en")
	w.WriteHeader(s.Status)
	_, _ = w.Write(b.Bytes()) // the reader has gone
}

// Strict is the policy of what is no page of ours.
const Strict = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// policy is the Content-Security-Policy of a page.
func (p *Renderer) policy(s Sheet) string {
	to := "'self'"
	if len(s.FormTo) > 0 {
		to = strings.Join(s.FormTo, " ")
	}
	policy := "default-src 'none'; style-src " + p.hash + "; img-src data:; base-uri 'none'; form-action " + to + "; frame-ancestors 'none'"
	if s.script != "" {
		policy += "; script-src " + p.run
	}
	if len(s.Frames) > 0 {
		sources := make([]string, 0, len(s.Frames))
		for _, f := range s.Frames {
			sources = append(sources, source(f))
		}
		policy += "; frame-src " + strings.Join(sources, " ")
	}
	return policy
}

// source writes an address as a source of CSP: origin and path; a query can't be said there.
func source(address string) string {
	u, err := url.Parse(address)
	if err != nil || !Web(address) {
		return "'none'"
	}
	path := strings.NewReplacer(";", "%3B", ",", "%2C").Replace(u.EscapedPath())
	return u.Scheme + "://" + u.Host + path
}

// Source writes an address's origin as a source of CSP; empty where it has none.
func Source(address string) string {
	u, err := url.Parse(address)
	if err != nil || !Web(address) {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Web reports whether an address is one that a page may lead to: https, or http on this machine, as native applications register it (RFC 8252, 7.3).
func Web(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(u.Host, "\"';, ") || strings.ContainsAny(address, "\\\r\n\t ") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
}
