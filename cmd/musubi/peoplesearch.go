package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/search"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

func newPeopleSearch(e *env) *cobra.Command {
	var q search.Query
	cmd := &cobra.Command{
		Use: "search WORD...", Short: "連絡先を探す / find contacts",
		Long: `氏名 (漢字、かな、カナ、ローマ字)、部署、役職、担当業務、組織名、電話番号、メールアドレスの始まりで探します。語を並べると、すべてに合う人だけになります。
字体の違い (髙・高、﨑・崎、邊・邉・辺など)、かなの種類、全角・半角、長音は区別しません。だれを探せるかは方針が決めます (contact.read)。
Finds by the beginning of words: name (kanji, kana, Latin letters), section, title, duties, organization, telephone, e-mail address.
Several words narrow. Variant characters, kinds of kana, widths and long vowels make no difference. Policies say who finds whom.`,
		Example: "  musubi people search さとう --as hanako.cred\n  musubi people search 札幌 情報政策課 --as hanako.cred\n  musubi people search satou 011-000 --json --as hanako.cred",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Text = strings.Join(args, " ")
			if q.Limit < 1 || q.Limit > search.MaxPage {
				return boot.Usage(fmt.Errorf("--limit %d: give 1 to %d", q.Limit, search.MaxPage))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.searchPeople(ctx, h, q) })
		},
	}
	cmd.Flags().IntVar(&q.Limit, "limit", search.DefaultPage, "length of a page")
	cmd.Flags().StringVar(&q.After, "after", "", "go on after the page before, with the value that it printed")
	return cmd
}

// contactRow is a contact in --json answers.
type contactRow struct {
	ID         policies.PersonID `json:"id"`
	Org        policies.OrgID    `json:"org"`
	OrgName    string            `json:"org_name"`
	FamilyName string            `json:"family_name"`
	GivenName  string            `json:"given_name"`
	FamilyKana string            `json:"family_kana"`
	GivenKana  string            `json:"given_kana"`
	Section    string            `json:"section,omitempty"`
	Title      string            `json:"title,omitempty"`
	Duties     string            `json:"duties,omitempty"`
	Phone      string            `json:"phone,omitempty"`
	Extension  string            `json:"extension,omitempty"`
	Fax        string            `json:"fax,omitempty"`
	Email      string            `json:"email"`
	Absent     bool              `json:"absent"`
	BackOn     string            `json:"back_on,omitempty"` // day in JST, where the person is absent and it is known
}

// contactsDocument is the --json answer of people search. After is the next page's --after; empty: this is the last one.
type contactsDocument struct {
	Contacts []contactRow `json:"contacts"`
	Total    int          `json:"total"`
	After    string       `json:"after,omitempty"`
}

// contactScope mints the actor's scope for finding contacts, which goes by the kinds of all organizations.
func (e *env) contactScope(ctx context.Context, h *boot.Hub) (policies.Scope, error) {
	seen, actor, err := e.scope(ctx, h, policies.ActionOrgRead)
	if err != nil {
		return policies.Scope{}, err
	}
	var orgs []policies.Organization
	filter := directory.OrgFilter{At: h.Now().UnixMicro(), Limit: directory.MaxPage}
	for {
		list, err := h.Directory.Organizations(ctx, seen, filter)
		if err != nil {
			return policies.Scope{}, err
		}
		for _, o := range list {
			orgs = append(orgs, o.Policy())
		}
		if len(list) < filter.Limit {
			return h.Resolver.Scope(ctx, actor, policies.ActionContactRead, orgs, policies.Context{})
		}
		filter.After = list[len(list)-1].ID
	}
}

func (e *env) searchPeople(ctx context.Context, h *boot.Hub, q search.Query) error {
	scope, err := e.contactScope(ctx, h)
	if err != nil {
		return err
	}
	index, err := search.Open(ctx, h.Directory, policies.System(policies.TaskSearch), h.Now)
	if err != nil {
		return err
	}
	page, err := index.Search(scope, q)
	if errors.Is(err, search.ErrCursor) {
		return boot.Usage(err)
	}
	if err != nil {
		return err
	}
	doc := contactsDocument{Contacts: []contactRow{}, Total: page.Total, After: page.Next}
	for _, c := range page.Contacts {
		row := contactRow{
			ID: c.ID, Org: c.Org, OrgName: c.OrgName, FamilyName: c.FamilyName, GivenName: c.GivenName, FamilyKana: c.FamilyKana, GivenKana: c.GivenKana,
			Section: c.Section, Title: c.Title, Duties: c.Duties, Phone: c.Phone, Extension: c.Extension, Fax: c.Fax, Email: c.Email, Absent: c.Absent,
		}
		if c.Absent {
			row.BackOn = jst.Date(c.AbsentUntil)
		}
		doc.Contacts = append(doc.Contacts, row)
	}
	if e.json {
		return e.printJSON("musubi.contacts.v1", doc)
	}
	if len(doc.Contacts) == 0 {
		say(e.stdout, "見つかりませんでした。語を短くするか、減らしてください。 / Nobody was found: try shorter words, or fewer.")
		return nil
	}
	t := newColumns("氏名 / NAME", "組織 / ORG", "部署 / SECTION", "役職 / TITLE", "電話 / PHONE", "内線 / EXT", "メール / E-MAIL", "")
	for _, c := range doc.Contacts {
		away := ""
		if c.Absent {
			away = strings.TrimSpace("不在 / absent " + c.BackOn)
		}
		t.row(identity.Person{FamilyName: c.FamilyName, GivenName: c.GivenName}.DisplayName(), c.OrgName, c.Section, c.Title, c.Phone, c.Extension, c.Email, away)
	}
	t.print(e.stdout)
	say(e.stdout, "%s 人 / people", group(doc.Total))
	if doc.After != "" {
		say(e.stdout, "次のページ / next page: --after %s", doc.After)
	}
	return nil
}
