package dated

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// MailQueue is the queue of the notices that are mailed.
const MailQueue = "notice_mail"

// MailArgs is the job that mails a notice to the system administrators. Who that is, is read when it is sent.
type MailArgs NoticeArgs

// Kind implements jobs.Args.
func (MailArgs) Kind() string { return "directory.notice_mail.v1" }

// Key implements jobs.Args.
func (a MailArgs) Key() string { return a.ID }

// mailOptions: a relay that is away for a day is waited for.
func mailOptions() jobs.KindOptions {
	return jobs.KindOptions{Queue: MailQueue, Priority: 3, MaxAttempts: 100, Timeout: 30 * time.Second, Backoff: jobs.Exponential(10*time.Second, 15*time.Minute)}
}

// Roster finds the system administrators. Implemented by directory.Store.
type Roster interface {
	Organizations(ctx context.Context, scope policies.Scope, filter directory.OrgFilter) ([]identity.Organization, error)
	People(ctx context.Context, scope policies.Scope, filter directory.PeopleFilter) ([]identity.Person, error)
}

// Mail sends notices as e-mail. The zero value sends none.
type Mail struct {
	Sender connectors.Sender // nil: no relay is configured
	Roster Roster
	Pages  func() string // address of the hub's pages, http://host:port; nil or "": nobody knows it
}

// send mails one notice, in one message, whose key is the notice's: the relay's side can tell a copy that went out twice.
func (m Mail) send(ctx context.Context, n identity.Notice) error {
	if m.Sender == nil {
		return nil
	}
	to, err := m.administrators(ctx)
	if err != nil || len(to) == 0 {
		return err
	}
	_, err = m.Sender.SendMessage(ctx, letter(n, to, m.page(n)))
	if connectors.KindOf(err) == connectors.KindInvalid {
		return jobs.Discard(err)
	}
	return err
}

// administrators are the system administrators in service, at most as many as a message may have recipients. There are none but in the
// operating agency.
func (m Mail) administrators(ctx context.Context) (to []connectors.Recipient, err error) {
	scope := policies.System(policies.TaskNotice)
	agencies, err := m.Roster.Organizations(ctx, scope, directory.OrgFilter{Kinds: []policies.OrgKind{policies.KindAgency}, Limit: directory.MaxPage})
	if err != nil {
		return nil, fmt.Errorf("find the operating agency: %w", err)
	}
	for _, agency := range agencies {
		filter := directory.PeopleFilter{Org: agency.ID, Limit: directory.MaxPage}
		for {
			page, err := m.Roster.People(ctx, scope, filter)
			if err != nil {
				return nil, fmt.Errorf("find the system administrators: %w", err)
			}
			for _, p := range page {
				if p.Active() && p.Role == policies.RoleSystemAdministrator && len(to) < connectors.MaxRecipients {
					to = append(to, connectors.Recipient{Address: p.Email})
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

// page is where the console shows what a notice is about, empty where it has no page.
func (m Mail) page(n identity.Notice) string {
	if m.Pages == nil || m.Pages() == "" {
		return ""
	}
	switch n.Kind {
	case identity.NoticePlan:
		return m.Pages() + "/plans/" + n.Object
	case identity.NoticeBreaker:
		return m.Pages() + "/breakers/" + n.Object
	case identity.NoticeVacancy:
		return m.Pages() + "/orgs/" + string(n.Org)
	}
	return ""
}

// letter writes a notice for people. It is pure, and names ids only.
func letter(n identity.Notice, to []connectors.Recipient, page string) connectors.Message {
	what, next := n.Kind, "musubi notices"
	switch n.Kind {
	case identity.NoticeVacancy:
		what = "管理者がいなくなった組織があります / An organization has too few administrators"
	case identity.NoticeBlocked:
		what, next = "発効できなかった異動があります / A transfer could not take effect", "musubi transfers show "+n.Object
	case identity.NoticeBreaker:
		what, next = "ブレーカーが作動し、変更を止めています / A breaker has tripped and holds a change", "musubi breakers show "+n.Object
	case identity.NoticeBreakGlass:
		what = "封印された非常用アカウントが使われました / Somebody logged in by a sealed break-glass account"
		next = "musubi sessions list " + n.Object
	case identity.NoticeMetadata:
		what, next = "ログイン先のメタデータの違いが、確認を待っています / A provider's metadata differs and waits to be looked at", "musubi rp metadata show "+n.Object
	case identity.NoticeMetadataFails:
		what, next = "ログイン先のメタデータを読めない日が続いています / A provider's metadata hasn't been read for days", "musubi rp metadata show "+n.Object
	case identity.NoticeExpires:
		what, next = "ログイン先の証明書またはメタデータの期限が近づいています / A provider's certificate or metadata ends soon", "musubi rp metadata show "+n.Object
	case identity.NoticeKeyEnds:
		what = "署名証明書の期限 (90・30・7 日前、または期限切れ) / A signing certificate of the hub ends, or has ended"
		next = "musubi keys readiness"
	case identity.NoticePlan:
		what, next = "計画が承認を待っています / A plan waits for approval", fmt.Sprintf("musubi plan %.12s", n.Object)
	}
	if page != "" {
		page = "画面 / page: " + page + "\n"
	}
	sum := sha256.Sum256([]byte(n.ID))
	return connectors.Message{
		Key: "notice-" + hex.EncodeToString(sum[:16]), To: to, Subject: "[結び] " + what,
		Text: fmt.Sprintf("%s\n\n日時 / at      %s\n組織 / org     %s\n対象 / object  %s\n内容 / detail  %s\n\n次 / next: %s --as FILE\n%s", what, jst.Minute(n.At), dash(string(n.Org)), dash(n.Object), dash(n.Detail), next, page),
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
