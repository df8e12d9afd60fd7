package card

import (
	"bytes"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Path is where the page is; everything of it is there or below.
const Path = "/card"

// maxForm bounds a posted form, in octets.
const maxForm = 8 << 10

// Card is a test card.
type Card struct {
	ID             string
	Whose          string // "札幌市 見本 花子"
	About, AboutEN string
	PIN            string // four digits
	TLS            tls.Certificate
}

// Options of a player.
type Options struct {
	Cards        []Card
	CardOrigins  []string // of the hub's card hosts: "https://card.localhost:8443"
	CardPath     string   // where a card host takes cards
	LoginOrigins []string // of the hub's login hosts: where an answer may lead
	// Dial gives what goes to a card host with a card's certificate. It trusts the hosts' certificate and follows no redirect by itself.
	Dial func(tls.Certificate) http.RoundTripper
	Dir  string // where wrong PINs are kept; "": in memory
}

// Player serves the page. It is safe for concurrent use.
type Player struct {
	opt   Options
	cards map[string]Card
	tries *tries
	pages map[string]*template.Template
	style []byte
	cross *http.CrossOriginProtection
	hint  string // the PIN of all cards, where they share one
}

//go:embed page
var files embed.FS

var isPIN = regexp.MustCompile(`^[0-9]{4}$`).MatchString

// New makes a player.
func New(o Options) (*Player, error) {
	if len(o.Cards) == 0 || len(o.CardOrigins) == 0 || len(o.LoginOrigins) == 0 || o.Dial == nil || !strings.HasPrefix(o.CardPath, "/") {
		return nil, errors.New("sandbox card: a player without cards, hosts, path or transport")
	}
	for _, origin := range append(append([]string{}, o.CardOrigins...), o.LoginOrigins...) {
		if err := checkOrigin(origin); err != nil {
			return nil, err
		}
	}
	p := &Player{opt: o, cards: map[string]Card{}, pages: map[string]*template.Template{}, cross: http.NewCrossOriginProtection(), hint: o.Cards[0].PIN}
	for _, c := range o.Cards {
		if _, twice := p.cards[c.ID]; twice || c.ID == "" || !isPIN(c.PIN) || len(c.TLS.Certificate) == 0 {
			return nil, fmt.Errorf("sandbox card: card %q: an id of its own, a PIN of four digits and a certificate", c.ID)
		}
		p.cards[c.ID] = c
		if c.PIN != p.hint {
			p.hint = ""
		}
	}
	for _, name := range []string{"choose", "message", "go"} {
		t, err := template.ParseFS(files, "page/layout.html", "page/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("sandbox card: %w", err)
		}
		p.pages[name] = t
	}
	var err error
	if p.style, err = files.ReadFile("page/card.css"); err != nil {
		return nil, fmt.Errorf("sandbox card: %w", err)
	}
	if p.tries, err = openTries(o.Dir); err != nil {
		return nil, err
	}
	return p, nil
}

const contentSecurityPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP routes the page.
func (p *Player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	allow := "GET, HEAD"
	switch {
	case r.URL.Path == Path+"/card.css" && reads(r):
		h.Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(p.style)
		return
	case r.URL.Path == Path && reads(r):
		p.choose(w, r)
		return
	case r.URL.Path == Path && r.Method == http.MethodPost:
		p.posted(w, r, p.use)
		return
	case r.URL.Path == Path+"/unlock" && r.Method == http.MethodPost:
		p.posted(w, r, p.unlock)
		return
	case r.URL.Path == Path:
		allow = "GET, HEAD, POST"
	case r.URL.Path == Path+"/unlock":
		allow = "POST"
	case r.URL.Path != Path+"/card.css":
		p.message(w, http.StatusNotFound, view{Title: "ページが見つかりません", TitleEN: "Page not found"})
		return
	}
	h.Set("Allow", allow)
	p.message(w, http.StatusMethodNotAllowed, view{Title: "この方法では使えません", TitleEN: "Method not allowed"})
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// view is what the pages get.
type view struct {
	Title, TitleEN string
	Demo           bool
	To             string // where the card is presented; "": the page was opened by itself
	Host           string
	Cards          []row
	Chosen         string
	Hint           string // the PIN
	Wrong          bool   // the PIN was wrong
	Left           int    // tries that the chosen card has
	Missing        string // "card" or "pin" of a form
	Lines          []line
	Links          []link
	Reason         string
}

type row struct {
	Card
	Left   int
	Locked bool
}

func (p *Player) rows() []row {
	out := make([]row, 0, len(p.opt.Cards))
	for _, c := range p.opt.Cards {
		left := p.tries.left(c.ID)
		out = append(out, row{c, left, left == 0})
	}
	return out
}

// choose shows the cards.
func (p *Player) choose(w http.ResponseWriter, r *http.Request) {
	v := view{}
	to, err := p.opt.target(r.URL.Query().Get("to"))
	switch {
	case err == nil:
		v.To = to.String()
	case !errors.Is(err, errNoTarget):
		p.wrongTarget(w, err)
		return
	}
	p.show(w, http.StatusOK, v)
}

// show renders the choice.
func (p *Player) show(w http.ResponseWriter, status int, v view) {
	v.Title, v.TitleEN, v.Cards, v.Hint = "試験カードを選ぶ", "Choose a test card", p.rows(), p.hint
	if u, err := url.Parse(v.To); err == nil {
		v.Host = u.Host
	}
	p.render(w, status, "choose", v)
}

func (p *Player) wrongTarget(w http.ResponseWriter, why error) {
	p.message(w, http.StatusBadRequest, view{
		Title: "このアドレスにはカードを出しません", TitleEN: "No card is presented there",
		Lines: []line{
			{"カードを出す先は、このデモの結びのカード用ホストだけです。ログインの画面からやり直してください。", ""},
			{"Cards are presented to this demonstration's card host alone. Begin again at the login page.", "en"},
		},
		Reason: why.Error(),
	})
}

// posted reads a form of ours and hands it on.
func (p *Player) posted(w http.ResponseWriter, r *http.Request, do func(http.ResponseWriter, *http.Request)) {
	if p.cross.Check(r) != nil {
		p.message(w, http.StatusForbidden, view{Title: "ほかのサイトからは使えません", TitleEN: "Another site can't use this"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.message(w, http.StatusBadRequest, view{Title: "送られた内容を読めません", TitleEN: "The form can't be read"})
		return
	}
	do(w, r)
}

// use tries the PIN, presents the card, and leads the browser on.
func (p *Player) use(w http.ResponseWriter, r *http.Request) {
	to, err := p.opt.target(r.PostFormValue("to"))
	if err != nil {
		p.wrongTarget(w, err)
		return
	}
	v := view{To: to.String(), Chosen: r.PostFormValue("card")}
	c, ok := p.cards[v.Chosen]
	pin := r.PostFormValue("pin")
	switch {
	case !ok:
		v.Missing, v.Chosen = "card", ""
		p.show(w, http.StatusUnprocessableEntity, v)
		return
	case !isPIN(pin): // a reader sends nothing else to a card: it costs no try
		v.Missing = "pin"
		p.show(w, http.StatusUnprocessableEntity, v)
		return
	}
	right, err := p.tries.verify(c.ID, c.PIN, pin)
	if err != nil {
		p.message(w, http.StatusInternalServerError, view{Title: "試行回数を記録できません", TitleEN: "The tries can't be kept", Reason: err.Error()})
		return
	}
	if !right {
		v.Wrong, v.Left = true, p.tries.left(c.ID)
		p.show(w, http.StatusForbidden, v)
		return
	}
	out, err := p.present(r.Context(), c, to)
	switch {
	case err != nil:
		p.message(w, http.StatusBadGateway, view{
			Title: "カードを提示できませんでした", TitleEN: "The card could not be presented", Reason: err.Error(),
			Lines: []line{
				{"結びが動いているかを確かめ、ログインの画面からやり直してください。", ""}, {"See whether the hub is running, and begin again at the login page.", "en"},
			},
		})
	case out.Location != "":
		// A page, no redirect: a browser holds a form's redirects to form-action, all the way to the SaaS.
		v.Links = []link{{Address: out.Location}}
		v.Title, v.TitleEN = "ログインの画面へ戻ります", "Going back to the login page"
		p.render(w, http.StatusOK, "go", v)
	default:
		p.message(w, http.StatusForbidden, view{
			Title: "結びの答え", TitleEN: "What the hub answered", Lines: out.Lines, Links: out.Links, Reason: fmt.Sprintf("%s (%d)", to.Host, out.Status),
		})
	}
}

// unlock is what the municipality's counter does.
func (p *Player) unlock(w http.ResponseWriter, r *http.Request) {
	c, ok := p.cards[r.PostFormValue("card")]
	if !ok {
		p.message(w, http.StatusNotFound, view{Title: "そのカードはありません", TitleEN: "There is no such card"})
		return
	}
	if err := p.tries.reset(c.ID); err != nil {
		p.message(w, http.StatusInternalServerError, view{Title: "試行回数を記録できません", TitleEN: "The tries can't be kept", Reason: err.Error()})
		return
	}
	back := url.URL{Path: Path}
	if to, err := p.opt.target(r.PostFormValue("to")); err == nil {
		back.RawQuery = url.Values{"to": {to.String()}}.Encode()
	}
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

func (p *Player) message(w http.ResponseWriter, status int, v view) {
	p.render(w, status, "message", v)
}

func (p *Player) render(w http.ResponseWriter, status int, name string, v view) {
	var out bytes.Buffer
	if err := p.pages[name].ExecuteTemplate(&out, "layout", v); err != nil {
		http.Error(w, "sandbox card: page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // a browser that went away
}
