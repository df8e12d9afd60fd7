package boot

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/atlassian"
	"github.com/musubi-hub/musubi/connectors/jira"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/slack"
	"github.com/musubi-hub/musubi/policies"
)

// Product is one connector of this program as the configuration leaves it.
type Product struct {
	Name       string
	Configured bool
	Unmet      []string // why it isn't used although it is configured
	Facts      connectors.Description
	Abilities  []connectors.Ability // of one that is used
	Functions  []Function           // that it carries
	Credential string               // file that holds it; empty: none
	Token      Expiry
}

// Function is a function of the workspace with its place among the products that carry it, 1 for the first.
type Function struct {
	Number string `json:"number"` // of the procurement document
	JA     string `json:"ja"`
	EN     string `json:"en"`
	Place  int    `json:"place"`
}

// refusedProduct is a configured product that doesn't meet what is required.
type refusedProduct struct {
	facts connectors.Description
	unmet []string
}

// Products lists every connector that this program has, in a fixed order.
func (h *Hub) Products() []Product {
	cfg := h.Config
	list := []Product{
		{Name: atlassian.Name, Configured: cfg.Atlassian != nil},
		{Name: jira.Name, Configured: cfg.Jira != nil},
		{Name: slack.Name, Configured: cfg.Slack != nil},
		{Name: mail.Name, Configured: cfg.Mail != nil},
	}
	now := h.Now()
	for i := range list {
		p := &list[i]
		p.Functions = functionsOf(cfg.Functions, p.Name)
		switch {
		case p.Name == atlassian.Name && p.Configured:
			p.Credential, p.Token = cfg.Atlassian.TokenFile, ExpiryOf(cfg.Atlassian.TokenExpires, atlassianTokenLife, now)
		case p.Name == jira.Name && p.Configured:
			p.Credential, p.Token = cfg.Jira.TokenFile, ExpiryOf(cfg.Jira.TokenExpires, atlassianTokenLife, now)
		case p.Name == slack.Name && p.Configured:
			p.Credential, p.Token = cfg.Slack.TokenFile, ExpiryOf(cfg.Slack.TokenExpires, slackTokenLife, now)
		case p.Name == mail.Name && p.Configured:
			p.Credential = cfg.Mail.PasswordFile
		}
		if opened, ok := h.Open[policies.Product(p.Name)]; ok {
			p.Facts, p.Abilities = opened.Description, opened.Abilities()
		} else if r, ok := h.refused[p.Name]; ok {
			p.Facts, p.Unmet = r.facts, r.unmet
		}
	}
	return list
}

// FunctionState is a function with the products that are to carry it and those that can.
type FunctionState struct {
	Number string   `json:"number"`
	JA     string   `json:"ja"`
	EN     string   `json:"en"`
	By     []string `json:"by"`   // in the order in which they are used
	Used   []string `json:"used"` // those of them that are open; none: nobody carries the function
}

// Functions lists the functions that connectors carry.
func (h *Hub) Functions() []FunctionState {
	list := carried(h.Config.Functions)
	for i := range list {
		f := &list[i]
		f.Used = []string{}
		for _, name := range f.By {
			if _, ok := h.Open[policies.Product(name)]; ok {
				f.Used = append(f.Used, name)
			}
		}
	}
	return list
}

// carried names the functions by the procurement document.
func carried(f config.Functions) []FunctionState {
	return []FunctionState{
		{Number: "9", JA: "お問い合わせ", EN: "inquiries", By: f.Inquiry},
		{Number: "10", JA: "異常時連絡等", EN: "contact on an incident", By: f.Incident},
	}
}

func functionsOf(f config.Functions, product string) []Function {
	var out []Function
	for _, x := range carried(f) {
		if i := slices.Index(x.By, product); i >= 0 {
			out = append(out, Function{x.Number, x.JA, x.EN, i + 1})
		}
	}
	return out
}

// Expiry is what is known of a token's end.
type Expiry struct {
	Date   string // YYYY-MM-DD in Japan; empty: not known
	Days   int    // until that date; 0 or less: it has ended
	Phase  Phase
	Remark string // English; empty: nothing to say
}

// Phase says how near a token's end is.
type Phase string

// The phases of a token's life.
const (
	PhaseNone    Phase = ""        // there is no token
	PhaseUnknown Phase = "unknown" // nobody has said when it ends
	PhaseLasting Phase = "lasting" // it doesn't end by itself
	PhaseValid   Phase = "valid"
	PhaseSoon    Phase = "soon" // within 30 days
	PhaseEnded   Phase = "ended"
	PhaseDoubt   Phase = "doubtful" // further away than a token lives
)

// warnings are the days before a token's end on which people are warned.
var warnings = []int{30, 14, 7, 1, 0}

// How long a vendor's tokens live at most, in days; 0: they don't end by themselves.
const (
	atlassianTokenLife = 366
	slackTokenLife     = 0
)

var jst = time.FixedZone("JST", 9*60*60)

// ExpiryOf says what the configured date means at now of a token that lives for life days at most (0: until somebody ends it). The
// token counts as ended from the beginning of that day in Japan.
func ExpiryOf(date string, life int, now time.Time) Expiry {
	if date == "" && life == 0 {
		return Expiry{Phase: PhaseLasting}
	}
	if date == "" {
		return Expiry{Phase: PhaseUnknown, Remark: "set token_expires: Atlassian's tokens live a year at most, and nobody is warned otherwise"}
	}
	end, err := time.ParseInLocation(time.DateOnly, date, jst)
	if err != nil { // the configuration was checked
		return Expiry{Phase: PhaseUnknown, Remark: "token_expires isn't a date"}
	}
	today := now.In(jst)
	midnight := time.Date(today.Year(), today.Month(), today.Day(), 0, 0, 0, 0, jst)
	e := Expiry{Date: date, Days: int(end.Sub(midnight).Hours() / 24), Phase: PhaseValid}
	switch {
	case e.Days <= 0:
		e.Phase, e.Remark = PhaseEnded, "the token has ended: make a new one, write it to its file and set token_expires"
	case e.Days <= warnings[0]:
		e.Phase, e.Remark = PhaseSoon, fmt.Sprintf("the token ends in %d days: make a new one, write it to its file and set token_expires", e.Days)
	case life > 0 && e.Days > life:
		e.Phase, e.Remark = PhaseDoubt, "token_expires is more than a year away: Atlassian's tokens live a year at most, so the date can't be right"
	}
	return e
}

// due says whether people are warned now of a token that ends in days, when they were last told with before days left. before is
// negative where they were never told.
func due(days, before int) bool {
	for _, w := range warnings {
		if days <= w && (before < 0 || before > w) {
			return true
		}
	}
	return false
}

// TokenWatch warns of tokens that are about to end: when it first looks, and then 30, 14, 7 and 1 days before, and at the end.
type TokenWatch struct {
	log  *slog.Logger
	told map[string]int // days left when last told
}

// NewTokenWatch makes a watch that has told nobody anything.
func NewTokenWatch(log *slog.Logger) *TokenWatch {
	return &TokenWatch{log: log, told: map[string]int{}}
}

// Look warns of what is due.
func (w *TokenWatch) Look(products []Product) {
	for _, p := range products {
		if p.Token.Phase != PhaseSoon && p.Token.Phase != PhaseEnded && p.Token.Phase != PhaseDoubt {
			continue
		}
		before, told := w.told[p.Name]
		if !told {
			before = -1
		}
		days := max(p.Token.Days, 0)
		if p.Token.Phase == PhaseDoubt && told || p.Token.Phase != PhaseDoubt && !due(days, before) {
			continue
		}
		w.told[p.Name] = days
		w.log.Warn("token", "product", p.Name, "expires", p.Token.Date, "days", p.Token.Days, "file", p.Credential, "remark", p.Token.Remark)
	}
}
