package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// How much the pages of records show.
const (
	maxRecords = 100
	maxLogouts = 200
	maxNumber  = 100 // characters of what is searched for
)

// recordsBody is a search in the audit log by a number that somebody was shown.
type recordsBody struct {
	Number string
	Asked  bool
	Rows   []recordRow
	Full   bool
}

type recordRow struct {
	audit.Row
	State  badge
	Who    who
	Org    orgRef
	Detail string
	Why    string // in a person's words
}

// accountsMenu fills in which parts of the menu the viewer has. A hint is enough: the pages ask for themselves.
func (c *Console) accountsMenu(ctx context.Context, v viewer, m *menu) error {
	if c.cfg.Accounts == nil {
		return nil
	}
	for action, shown := range map[policies.Action]*bool{policies.ActionAuditRead: &m.Records, policies.ActionJobsRead: &m.Logouts} {
		hint, err := c.cfg.Resolver.Hint(ctx, v.actor, action, nil, policies.Context{})
		if err != nil {
			return err
		}
		*shown = hint.Everywhere()
	}
	m.Logouts = m.Logouts && c.cfg.Accounts.Logouts != nil
	return nil
}

// recordsPage finds an incident by its number, and what happened to a session or a person by theirs.
func (c *Console) recordsPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	number := strings.TrimSpace(r.URL.Query().Get("number"))
	if !utf8.ValidString(number) || utf8.RuneCountInString(number) > maxNumber || strings.ContainsRune(number, 0) {
		return badRequest{label{"番号は 100 文字までの文字で入れてください。", "A number has at most 100 characters of text."}}
	}
	scope, err := c.cfg.Resolver.Scope(ctx, v.actor, policies.ActionAuditRead, nil, policies.Context{})
	if err != nil {
		return err
	}
	body := recordsBody{Number: number, Asked: number != ""}
	if body.Asked {
		found, err := c.findRecords(ctx, scope, number)
		if err != nil {
			return err
		}
		if body.Rows, err = c.recordRows(ctx, v, found); err != nil {
			return err
		}
		body.Full = len(found) == maxRecords
	}
	return c.show(w, r, v, c.pages.records, frame{label: label{"記録を探す", "Find a record"}, Section: "records", Body: body})
}

func (c *Console) findRecords(ctx context.Context, scope policies.Scope, number string) ([]audit.Row, error) {
	for _, filter := range []audit.Filter{{ID: strings.ToUpper(number)}, {ID: number}, {Object: number, Limit: maxRecords}, {Actor: number, Limit: maxRecords}} {
		found, err := audit.Find(ctx, c.cfg.DB.Reader(), scope, filter)
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

func (c *Console) recordRows(ctx context.Context, v viewer, found []audit.Row) ([]recordRow, error) {
	people := persons{console: c, scope: v.people, known: map[policies.PersonID]who{}}
	names := orgNames{console: c, scope: v.orgs}
	var out []recordRow
	for _, row := range found {
		line := recordRow{Row: row, State: outcomeBadge(row.Outcome), Who: who{ID: policies.PersonID(row.Actor)}, Org: orgRef{row.Org, string(row.Org)}}
		o, err := names.find(ctx, row.Org)
		if err != nil {
			return nil, err
		}
		if o != nil {
			line.Org.Name = o.Name
		}
		if row.ActorKind == audit.ActorPerson {
			if line.Who, err = people.find(ctx, policies.PersonID(row.Actor)); err != nil {
				return nil, err
			}
		}
		line.Why, _ = row.Personal["reason"].(string)
		if len(row.Detail) > 0 {
			text, err := json.Marshal(row.Detail) // keys in order
			if err != nil {
				return nil, fmt.Errorf("a record's detail: %w", err)
			}
			line.Detail = string(text)
		}
		out = append(out, line)
	}
	return out, nil
}

func outcomeBadge(o audit.Outcome) badge {
	switch o {
	case audit.Done:
		return badge{label{"実行", "done"}, "success"}
	case audit.Allowed:
		return badge{label{"許可", "allowed"}, "info"}
	case audit.Refused:
		return badge{label{"拒否", "refused"}, "warning"}
	}
	return badge{label{string(o), ""}, ""}
}

// logoutsBody is the logouts that relying parties haven't taken. Unproven are those of which nobody knows: no way to tell them, or no proof.
type logoutsBody struct {
	Failed, Unproven, Pending []logoutRow
	Full                      bool
}

type logoutRow struct {
	logout.Receipt
	Network label
	Why     label
}

// logoutsPage shows which relying parties may still hold a session that has ended.
func (c *Console) logoutsPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if c.cfg.Accounts.Logouts == nil {
		return identity.ErrNotFound
	}
	scope, err := c.cfg.Resolver.Scope(ctx, v.actor, policies.ActionJobsRead, nil, policies.Context{})
	if err != nil {
		return err
	}
	if !scope.All() { // a session belongs to no organization's own list
		return fmt.Errorf("see logouts: %w", identity.ErrRefused)
	}
	var body logoutsBody
	for _, part := range []struct {
		states []logout.State
		into   *[]logoutRow
	}{
		{[]logout.State{logout.Failed}, &body.Failed},
		{[]logout.State{logout.Untold, logout.Unconfirmed}, &body.Unproven},
		{[]logout.State{logout.Pending}, &body.Pending},
	} {
		list, err := c.cfg.Accounts.Logouts(ctx, part.states, maxLogouts)
		if err != nil {
			return err
		}
		body.Full = body.Full || len(list) == maxLogouts
		for _, l := range list {
			*part.into = append(*part.into, logoutRow{l, networkLabel(l.Network), logoutWhy(l)})
		}
	}
	return c.show(w, r, v, c.pages.logouts, frame{label: label{"ログアウトの通知", "Logouts told to services"}, Section: "logouts", Body: body})
}

// logoutWhys are the reasons in a person's words, where they need no number.
var logoutWhys = map[string]label{
	"":                {"まだ送っていません", "not sent yet"},
	"unreachable":     {"つながりません", "unreachable"},
	"given_up":        {"1 日続けて届かず、取りやめました", "given up after a day"},
	"party_removed":   {"連携先の登録がありません", "the relying party was removed"},
	"address_removed": {"通知先のアドレスがありません", "its address was removed"},
	"no_endpoint":     {"連携先に、ログアウトを受け付ける窓口がありません", "it has no logout end point"},
	"no_browser":      {"本人のブラウザを通してだけ知らせられますが、通りませんでした", "only the person's browser could tell it, and didn't come by"},
	"unanswered":      {"ブラウザを通して知らせましたが、返事がありません", "told by the browser, and no answer came"},
	"answer_unsigned": {"返事に署名がなく、証拠になりません", "its answer isn't signed, so it proves nothing"},
	"answer_invalid":  {"返事が正しくありません (署名・宛先・番号のどれか)", "its answer is wrong: signature, addressee or number"},
}

func logoutWhy(l logout.Receipt) label {
	status := ""
	if l.Protocol != logout.SAML || l.Why == "status" {
		status = " (HTTP " + num(l.Status) + ")"
	}
	switch l.Why {
	case "refused":
		return label{"相手が受け付けません" + status, "refused"}
	case "status":
		return label{"相手がエラーを返しました" + status, "answered with an error"}
	}
	if why, ok := logoutWhys[l.Why]; ok {
		return why
	}
	return label{l.Why, ""}
}
