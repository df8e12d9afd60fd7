package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/jst"
)

//go:embed templates/*.html static/*
var files embed.FS

// asset is a file of the pages' own. Its path holds its hash, so that a browser may keep it.
type asset struct {
	kind    string
	content []byte
}

// ServeHTTP implements http.Handler.
func (a asset) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.content) // the reader has gone
}

const (
	styleFile = "console.css"
	iconFile  = "icon.svg"
)

func loadAssets() (map[string]asset, error) {
	assets := map[string]asset{}
	for name, kind := range map[string]string{styleFile: "text/css; charset=utf-8", iconFile: "image/svg+xml"} {
		content, err := files.ReadFile("static/" + name)
		if err != nil {
			return nil, err
		}
		assets[assetPath(name, content)] = asset{kind, content}
	}
	return assets, nil
}

func assetPath(name string, content []byte) string {
	sum := sha256.Sum256(content)
	stem, extension, _ := strings.Cut(name, ".")
	return "/assets/" + stem + "." + hex.EncodeToString(sum[:8]) + "." + extension
}

// pages are the parsed templates, one for each page, with the layout around it.
type pages struct {
	overview, orgs, org, plan, progress, quarantine, breakers, breaker, tries, try, story, open, message *template.Template
	person, act, done, records, logouts, prove                                                           *template.Template
}

func parsePages() (pages, error) {
	paths := map[string]string{}
	for _, name := range []string{styleFile, iconFile} {
		content, err := files.ReadFile("static/" + name)
		if err != nil {
			return pages{}, err
		}
		paths[name] = assetPath(name, content)
	}
	functions := template.FuncMap{
		"num": num, "jst": moment, "day": day, "asset": func(name string) string { return paths[name] },
		"short":   func(hash string) string { return hash[:min(12, len(hash))] },
		"bar":     func(done, total int, name label) bar { return bar{done, total, name} },
		"yen":     yen,
		"success": func(ja, en string) badge { return badge{label{ja, en}, "success"} },
		"less":    func(n, by int) int { return n - by },
		"label":   func(text string) label { return label{JA: text} },
		"trouble": func(n int) badge {
			return badge{label{"要確認 " + num(n), ""}, "warning"}
		},
	}
	var p pages
	for _, t := range []struct {
		into *(*template.Template)
		name string
	}{
		{&p.overview, "overview"},
		{&p.orgs, "orgs"},
		{&p.org, "org"},
		{&p.plan, "plan"},
		{&p.progress, "progress"},
		{&p.quarantine, "quarantine"},
		{&p.breakers, "breakers"},
		{&p.breaker, "breaker"},
		{&p.tries, "tries"},
		{&p.try, "try"},
		{&p.story, "story"},
		{&p.open, "open"},
		{&p.message, "message"},
		{&p.person, "person"},
		{&p.act, "act"},
		{&p.done, "done"},
		{&p.records, "records"},
		{&p.logouts, "logouts"},
		{&p.prove, "prove"},
	} {
		parsed, err := template.New("layout.html").Funcs(functions).Option("missingkey=error").
			ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+t.name+".html")
		if err != nil {
			return pages{}, err
		}
		*t.into = parsed
	}
	return p, nil
}

// bar is a progress bar with its text.
type bar struct {
	Done, Total int
	Name        label
}

// Percent is how much is done, rounded down: 100 only where nothing is left.
func (b bar) Percent() int {
	if b.Total <= 0 {
		return 0
	}
	return min(b.Done*100/b.Total, 100)
}

// frame is what the layout shows around a page.
type frame struct {
	label             // the page's heading
	Notice  string    // from the configuration
	At      time.Time // when the page was made
	Visitor *visitor  // nil before somebody has opened the console
	Section string    // part of the menu: "overview", "orgs"
	Crumbs  []crumb   // the way to the page
	Refresh *refresh  // nil: the page doesn't load itself again
	Menu    menu      // which parts there are
	Body    any       // the page's own
}

type crumb struct {
	label
	Path string
}

// visitor is who looks, as the head of the page says it.
type visitor struct {
	Name    string
	Org     string
	Role    label
	Scope   label       // empty: not known here
	Network label       // empty: nobody logged in
	Links   []crumb     // own sessions, another post
	Logout  *LogoutForm // nil: the console's own
}

func (c *Console) visitorOf(r *http.Request, v viewer) *visitor {
	whole := label{"すべての組織", "every organization"}
	switch {
	case v.people.All():
	case v.people.Denied():
		whole = label{"組織の基本情報のみ", "organizations only"}
	default:
		whole = label{v.actor.Org.Name + "の職員", "people of one organization"}
	}
	out := &visitor{Name: v.actor.Person.DisplayName(), Org: v.actor.Org.Name, Role: roleLabel(v.actor.Person.Role), Scope: whole}
	c.cfg.Login.describe(r, v.visit, out)
	return out
}

// visitorAt is who looks at a page that no scope was minted for; nil where nobody has logged in.
func (c *Console) visitorAt(r *http.Request) *visitor {
	if c.cfg.Login == nil {
		return nil
	}
	actor, visit, err := c.authenticate(r.Context(), r)
	if err != nil {
		return nil
	}
	out := &visitor{Name: actor.Person.DisplayName(), Org: actor.Org.Name, Role: roleLabel(actor.Person.Role)}
	c.cfg.Login.describe(r, visit, out)
	return out
}

// menu is which parts of the console the visitor has.
type menu struct{ Trials, Breakers, Quarantine, Records, Logouts bool }

// render writes a page, whole or not at all.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, page *template.Template, f frame) {
	f.Notice, f.At = c.cfg.Notice, c.cfg.Now()
	var b bytes.Buffer
	if err := page.Execute(&b, f); err != nil {
		c.cfg.Logger.ErrorContext(r.Context(), "console: page can't be shown", "page", r.Pattern, "error", err)
		http.Error(w, "画面を作れませんでした。記録を確認してください。 / The page can't be shown; see the log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader has gone
}

// show renders a page for a viewer.
func (c *Console) show(w http.ResponseWriter, r *http.Request, v viewer, page *template.Template, f frame) error {
	f.Visitor = c.visitorOf(r, v)
	if err := c.accountsMenu(r.Context(), v, &f.Menu); err != nil {
		return err
	}
	f.Menu.Quarantine = v.seesPlans()
	f.Menu.Breakers = c.cfg.Breakers != nil && v.mayReadPlans()
	f.Menu.Trials = c.cfg.Trials != nil && v.mayReadPlans()
	c.render(w, r, http.StatusOK, page, f)
	return nil
}

// messageBody is a page of a few sentences.
type messageBody struct {
	message
	Incident string // the number of the audit row that tells what happened; empty: there is none
}

// message shows a page of a few sentences.
func (c *Console) message(w http.ResponseWriter, r *http.Request, status int, m message) {
	c.messageOf(w, r, status, m, "")
}

func (c *Console) messageOf(w http.ResponseWriter, r *http.Request, status int, m message, incident string) {
	c.render(w, r, status, c.pages.message, frame{label: m.label, Visitor: c.visitorAt(r), Body: messageBody{m, incident}})
}

// refused shows that something was refused, with the number to name to an administrator.
func (c *Console) refused(w http.ResponseWriter, r *http.Request, m message, incident string) {
	c.messageOf(w, r, http.StatusForbidden, m, incident)
}

// num writes a number with a comma between thousands.
func num(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// yen writes a change of cost with its sign.
func yen(n int) string {
	if n > 0 {
		return "+" + num(n) + " 円"
	}
	return num(n) + " 円"
}

// day writes the day of microseconds of UTC as staff read it.
func day(at int64) string { return time.UnixMicro(at).In(jst.Zone).Format("2006年1月2日") }

// moment writes a time as staff read it: a time.Time, or microseconds of UTC. The zero time is a dash.
func moment(at any) (string, error) {
	var t time.Time
	switch at := at.(type) {
	case time.Time:
		t = at
	case int64:
		if at != 0 {
			t = time.UnixMicro(at)
		}
	default:
		return "", fmt.Errorf("%T is no time", at)
	}
	if t.IsZero() {
		return "—", nil
	}
	return t.In(jst.Zone).Format("2006年1月2日 15:04 JST"), nil
}
