package notice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Queue is the queue of the mails.
const Queue = "notice"

// Queues lists the queues of this package.
func Queues() map[string]jobs.Queue { return map[string]jobs.Queue{Queue: {MaxWorkers: 1}} }

// MailArgs is the job that mails one notice. It carries ids only.
type MailArgs struct {
	ID     string         `json:"id"`
	At     int64          `json:"at"` // UTC, microseconds
	About  string         `json:"about"`
	Org    policies.OrgID `json:"org"`
	Object string         `json:"object"`
	Detail string         `json:"detail"`
}

// Kind implements jobs.Args.
func (MailArgs) Kind() string { return "notice.mail.v1" }

// Key implements jobs.Args: one mail per notice.
func (a MailArgs) Key() string { return a.ID }

// attempts and the wait between them reach over a day: a relay that is away for a night loses nothing.
func options() jobs.KindOptions {
	return jobs.KindOptions{Queue: Queue, Priority: 3, MaxAttempts: 60, Timeout: time.Minute, Backoff: jobs.Exponential(time.Second, 30*time.Minute)}
}

// Insert makes the job that mails n.
func Insert(n identity.Notice) jobs.Insert {
	return jobs.Insert{Args: MailArgs{ID: n.ID, At: n.At, About: n.Kind, Org: n.Org, Object: n.Object, Detail: n.Detail}}
}

// Declare tells w the kind of job of this package, for a process that inserts but doesn't work it.
func Declare(w *jobs.Workers) { jobs.Declare[MailArgs](w, options()) }

// Directory is where the administrators are found. Implemented by directory.Store.
type Directory interface {
	Organizations(ctx context.Context, scope policies.Scope, filter directory.OrgFilter) ([]identity.Organization, error)
	People(ctx context.Context, scope policies.Scope, filter directory.PeopleFilter) ([]identity.Person, error)
}

// Register registers the kind of job of this package. pages gives the address of the hub's pages, http://host:port, or "" where nobody
// knows it.
func Register(w *jobs.Workers, dir Directory, sender connectors.Sender, pages func() string) {
	m := mailer{dir: dir, sender: sender, pages: pages, scope: policies.System(policies.TaskNotice)}
	jobs.Register(w, options(), m.send)
}

type mailer struct {
	dir    Directory
	sender connectors.Sender
	pages  func() string
	scope  policies.Scope
}

// send mails one notice to every system administrator in service.
func (m mailer) send(ctx context.Context, job jobs.Job[MailArgs]) error {
	to, err := m.administrators(ctx)
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return jobs.Discard(errors.New("there is no system administrator with an e-mail address: the notice stands in `musubi notices`"))
	}
	message := Compose(job.Args, m.pages())
	message.To = to
	_, err = m.sender.SendMessage(ctx, message)
	if err == nil {
		return nil
	}
	if k := connectors.KindOf(err); k == connectors.KindInvalid || k == connectors.KindTooLarge {
		return jobs.Discard(err) // it would be refused again
	}
	return err
}

// administrators lists the system administrators of the operating agency who are in service, at most as many as a message takes.
func (m mailer) administrators(ctx context.Context) ([]connectors.Recipient, error) {
	agencies, err := m.dir.Organizations(ctx, m.scope, directory.OrgFilter{Kinds: []policies.OrgKind{policies.KindAgency}})
	if err != nil {
		return nil, err
	}
	var to []connectors.Recipient
	for _, agency := range agencies {
		filter := directory.PeopleFilter{Org: agency.ID, Limit: directory.MaxPage}
		for {
			page, err := m.dir.People(ctx, m.scope, filter)
			if err != nil {
				return nil, err
			}
			for _, p := range page {
				if p.Role == policies.RoleSystemAdministrator && p.Active() && p.Email != "" && len(to) < connectors.MaxRecipients {
					to = append(to, connectors.Recipient{Address: p.Email, Name: p.DisplayName()})
				}
			}
			if len(page) < filter.Limit {
				break
			}
			filter.After = page[len(page)-1].ID
		}
	}
	return to, nil
}

// Compose writes the mail of a notice, without its recipients. It is pure.
func Compose(a MailArgs, pages string) connectors.Message {
	about, what, command, page := words(a)
	sum := sha256.Sum256([]byte(a.ID))
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s\n%s\n", what[0], what[1])
	if a.Org != "" {
		line("組織 / organization: %s", a.Org)
	}
	if a.Object != "" {
		line("対象 / object: %s", a.Object)
	}
	if a.Detail != "" {
		line("内容 / detail: %s", a.Detail)
	}
	line("日時 / time: %s", jst.Minute(a.At))
	if pages != "" && page != "" {
		line("\n画面 / page: %s%s", pages, page)
	}
	if command != "" {
		line("\nコマンド / command: %s", command)
	}
	line("\n--\n結び Musubi\nこのメールは、システム管理者全員に送っています。 / Sent to every system administrator.")
	return connectors.Message{Key: "notice." + hex.EncodeToString(sum[:16]), Subject: "【結び】" + about, Text: b.String()}
}

// words says a notice in both languages, with the command that tells more and the page that shows it.
func words(a MailArgs) (about string, what [2]string, command, page string) {
	switch a.About {
	case identity.NoticePlan:
		return "計画が承認を待っています", [2]string{
			"計画が、作った人とは別のシステム管理者の承認を待っています。承認されるまで、どの SaaS も変わりません。",
			"A plan waits for the approval of another system administrator than its maker. Until then no SaaS changes.",
		}, fmt.Sprintf("musubi plan %.12s --as FILE", a.Object), "/plans/" + a.Object
	case identity.NoticeVacancy:
		return "管理者が足りない組織があります", [2]string{
			"組織の管理ユーザがいなくなりました。代わりの管理者を決めてください。", "An organization has too few administrators. Appoint one.",
		}, "musubi notices --as FILE", "/orgs/" + string(a.Org)
	case identity.NoticeBlocked:
		return "発効できない異動があります", [2]string{
			"異動が発令日に発効しませんでした。理由を確かめ、直すか取り消してください。", "A transfer could not take effect on its date. Read why, and correct or cancel it.",
		}, "musubi notices --as FILE", ""
	}
	return "お知らせがあります", [2]string{"ハブからのお知らせです: " + a.About, "A notice of the hub: " + a.About}, "musubi notices --as FILE", ""
}
