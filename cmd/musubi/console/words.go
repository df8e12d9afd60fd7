package console

import (
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// label is a text in both languages, Japanese first. An empty EN is left out.
type label struct{ JA, EN string }

// badge is a state with its tone: "success", "warning", "error", "info" or "" for none. The words alone say it all; the colour only helps.
type badge struct {
	label
	Tone string
}

// message is a page of a few sentences: what is the matter, and what to do.
type message struct {
	label
	Say     label
	Command string // to copy; may be empty
	Back    string // path to go on from; may be empty
}

const openCommand = "musubi open --as FILE"

var (
	messageNoSession = message{
		label{"管理画面は閉じています", "The console is closed"},
		label{"一回限りのアドレスから開いてください。次のコマンドがアドレスを表示します。", "Open it by a one-time address. This command prints one:"},
		openCommand, "",
	}
	messageSessionEnded = message{
		label{"接続の期限が切れました", "Your session has ended"},
		label{
			"1 時間操作がないとき、開いてから 8 時間たったとき、または権限が取り消されたときに終了します。続けるには、次のコマンドで新しいアドレスを表示してください。",
			"A session ends after an hour without a request, after eight hours, or when the right to it is withdrawn. To go on, print a new address:",
		},
		openCommand, "",
	}
	messageLogin = message{
		label{"ログインしていません", "You aren't logged in"},
		label{"ログインの期限が切れたか、終了しています。もう一度ログインしてください。", "Your login has ended. Please log in again."},
		"", "/",
	}
	messageTicketUnknown = message{
		label{"このアドレスは使えません", "This address doesn't work"},
		label{"アドレスが途中で切れていないか確かめてください。新しいアドレスは次のコマンドで表示できます。", "Check that the address is complete. This command prints a new one:"},
		openCommand, "",
	}
	messageTicketUsed = message{
		label{"このアドレスは使用済みです", "This address was used before"},
		label{
			"アドレスは一回だけ使えます。自分で使った覚えがないときは、システム管理者に知らせて資格情報を取り消してください。新しいアドレスは次のコマンドで表示できます。",
			"An address works once. If it wasn't you who used it, tell a system administrator and have your credential revoked. This command prints a new address:",
		},
		openCommand, "",
	}
	messageTicketExpired = message{
		label{"このアドレスは期限切れです", "This address has expired"},
		label{"アドレスは 10 分間だけ使えます。新しいアドレスは次のコマンドで表示できます。", "An address works for ten minutes. This command prints a new one:"},
		openCommand, "",
	}
	messageClosed = message{
		label{"ログアウトしました", "You have signed out"},
		label{"もう一度開くには、次のコマンドで新しいアドレスを表示してください。", "To open it again, print a new address:"},
		openCommand, "",
	}
	messageNotFound = message{
		label{"見つかりません", "Not found"},
		label{"このページはないか、あなたの権限では見られません。", "There is no such page, or you may not see it."},
		"", "",
	}
	messageRefused = message{
		label{"見る権限がありません", "You may not see this"},
		label{"この内容を見る権限が方針で認められていません。必要なときは、システム管理者に相談してください。兼務しているときは、ほかの職で見られることがあります。", "The policies don't let you see this. If you need it, ask a system administrator. If you hold several posts, another one may let you."},
		"", "",
	}
	messageMethod = message{
		label{"この操作はできません", "This can't be done here"},
		label{"このアドレスは、この方法では使えません。前の画面に戻り、ボタンかリンクから操作してください。", "This address doesn't take such a request. Go back and use the page's own buttons and links."},
		"", "",
	}
	messageCrossSite = message{
		label{"ほかのサイトからの操作を拒否しました", "A request from another site was refused"},
		label{"操作は、この管理画面の中から行ってください。", "Please do this from within the console."},
		"", "",
	}
	messageForm = message{
		label{"このフォームは使えません", "This form doesn't work any more"},
		label{
			"別の接続で開いた画面か、古い画面から送られました。何も実行していません。画面を開き直してから、もう一度操作してください。",
			"It came from a page of another session, or from an old one. Nothing was done. Open the page again and repeat.",
		},
		"", "/",
	}
	messageHost = message{
		label{"このホスト名では応答しません", "Not served under this host name"},
		label{"管理画面は、この端末の localhost または 127.0.0.1 だけで開けます。", "The console opens on this machine only, at localhost or 127.0.0.1."},
		"", "",
	}
	messageBusy = message{
		label{"時間内に表示できませんでした", "This took too long"},
		label{"ハブが混み合っています。少し待ってから、もう一度開いてください。", "The hub is busy. Wait a little and open the page again."},
		"", "",
	}
	messageFailed = message{
		label{"表示できませんでした", "The page can't be shown"},
		label{"ハブの中で問題が起きました。原因はハブの記録 (ログ) にあります。", "Something went wrong inside the hub. Its log says what."},
		"", "",
	}
)

func kindLabel(k policies.OrgKind) label {
	switch k {
	case policies.KindAgency:
		return label{"運営庁", "Operating agency"}
	case policies.KindMinistry:
		return label{"関連府省庁", "Ministry"}
	case policies.KindPrefecture:
		return label{"都道府県", "Prefecture"}
	case policies.KindMunicipality:
		return label{"市区町村", "Municipality"}
	case policies.KindWard:
		return label{"行政区", "Ward"}
	case policies.KindIncorporated:
		return label{"独立行政法人", "Incorporated agency"}
	case policies.KindUnion:
		return label{"広域連合", "Wide-area union"}
	case policies.KindInsurer:
		return label{"医療保険者", "Insurer"}
	case policies.KindContractor:
		return label{"事業者", "Contractor"}
	case policies.KindMiddleware:
		return label{"環境ミドル事業者", "Middleware operator"}
	}
	return label{string(k), ""}
}

// numberLabel is what the number of an organization is called.
func numberLabel(o identity.Organization) label {
	switch len(o.ID) {
	case code.LocalGovernmentDigits:
		return label{"全国地方公共団体コード", "Local government code"}
	case code.InsurerDigits:
		return label{"保険者番号", "Insurer number"}
	}
	return label{"法人番号", "Corporate number"}
}

func onboardingLabel(s identity.Onboarding) label {
	switch s {
	case identity.OnboardingListed:
		return label{"未着手", "Listed"}
	case identity.OnboardingInvited:
		return label{"招待済み", "First administrator invited"}
	case identity.OnboardingConfirmed:
		return label{"管理者確認済み", "First administrator confirmed"}
	case identity.OnboardingLinked:
		return label{"接続済み", "Linked"}
	case identity.OnboardingLive:
		return label{"利用中", "Live"}
	}
	return label{string(s), ""}
}

// kindsLabel is kindLabel of many.
func kindsLabel(k policies.OrgKind) label {
	l := kindLabel(k)
	switch k {
	case policies.KindAgency:
		l.EN = "Operating agencies"
	case policies.KindMinistry:
		l.EN = "Ministries"
	case policies.KindPrefecture:
		l.EN = "Prefectures"
	case policies.KindMunicipality:
		l.EN = "Municipalities"
	case policies.KindWard:
		l.EN = "Wards"
	case policies.KindIncorporated:
		l.EN = "Incorporated agencies"
	case policies.KindUnion:
		l.EN = "Wide-area unions"
	case policies.KindInsurer:
		l.EN = "Insurers"
	case policies.KindContractor:
		l.EN = "Contractors"
	case policies.KindMiddleware:
		l.EN = "Middleware operators"
	}
	return l
}

func roleLabel(r policies.Role) label {
	switch r {
	case policies.RoleSystemAdministrator:
		return label{"システム管理者", "System administrator"}
	case policies.RoleAdministrator:
		return label{"管理ユーザ", "Administrator"}
	case policies.RoleGeneral:
		return label{"一般ユーザ", "General user"}
	}
	return label{string(r), ""}
}

func productLabel(p policies.Product) label {
	switch p {
	case policies.ProductAtlassian:
		return label{"Atlassian 組織", "Atlassian organization"}
	case policies.ProductJira:
		return label{"Jira Service Management", ""}
	case policies.ProductSlack:
		return label{"Slack 組織", "Slack organization"}
	case policies.ProductMail:
		return label{"メール", "Mail"}
	}
	return label{string(p), ""}
}

// seatKind says which seats a product has.
func seatKind(p policies.Product) label {
	switch p {
	case policies.ProductAtlassian:
		return seatLabel(policies.SeatLicensedMember)
	case policies.ProductJira:
		return seatLabel(policies.SeatPortalCustomer)
	case policies.ProductSlack:
		return label{"メンバーとゲスト", "Members and guests"}
	case policies.ProductMail:
		return seatLabel(policies.SeatContact)
	}
	return label{}
}

func seatLabel(s policies.Seat) label {
	switch s {
	case policies.SeatLicensedMember:
		return label{"ライセンス利用者", "Licensed member"}
	case policies.SeatPortalCustomer:
		return label{"ポータル利用者", "Portal customer"}
	case policies.SeatGuest:
		return label{"ゲスト", "Guest"}
	case policies.SeatContact:
		return label{"連絡先", "Contact"}
	case policies.SeatNone:
		return label{"なし", "None"}
	}
	return label{string(s), ""}
}

func accountBadge(seat provision.PersonSeat) badge {
	switch {
	case seat.Leaving:
		return badge{label{"終了処理中", "being ended"}, "warning"}
	case seat.State == provision.StateActive:
		return badge{label{"利用中", "active"}, "success"}
	case seat.State == provision.StateDisabled:
		return badge{label{"停止済み", "disabled"}, ""}
	case seat.State == provision.StateCreating:
		return badge{label{"未確認", "not confirmed"}, "warning"} // being made, or refused: the plan's page tells
	}
	return badge{label{string(seat.State), ""}, ""}
}

// planBadge tells a plan's state. expired: its approval was never used in time.
func planBadge(s provision.PlanState, expired bool) badge {
	switch s {
	case provision.PlanMade:
		return badge{label{"承認待ち", "awaiting approval"}, "warning"}
	case provision.PlanApproved:
		if expired {
			return badge{label{"承認の期限切れ", "approval expired"}, "warning"}
		}
		return badge{label{"承認済み", "approved"}, "info"}
	case provision.PlanStaging:
		return badge{label{"適用の準備中", "being prepared"}, "info"}
	case provision.PlanRunning:
		return badge{label{"適用中", "being applied"}, "info"}
	case provision.PlanDone:
		return badge{label{"完了", "done"}, "success"}
	case provision.PlanCancelled:
		return badge{label{"中止", "cancelled"}, ""}
	}
	return badge{label{string(s), ""}, ""}
}

func opLabel(k provision.OpKind) label {
	switch k {
	case provision.OpGroup, provision.OpKind(provision.ObjectGroup):
		return label{"組織のグループ", "Group"}
	case provision.OpAccount, provision.OpKind(provision.ObjectAccount):
		return label{"アカウント", "Account"}
	case provision.OpDisable:
		return label{"アカウントの停止", "Ending an account"}
	case provision.OpAdd:
		return label{"グループへの追加", "Joining a group"}
	case provision.OpRemove:
		return label{"グループからの削除", "Leaving a group"}
	case provision.OpKind(provision.ObjectMembers):
		return label{"グループの所属", "Membership"}
	case provision.OpRelease:
		return label{"離職者の処理", "Leaver"}
	}
	return label{string(k), ""}
}

// remedy says what a person does about an operation that ended without effect.
func remedy(t provision.Trouble) label {
	if t.State != string(provision.OutcomeQuarantined) {
		return label{
			"計画の後に対象が変わったか、前提がそろいませんでした。まだ必要なら、新しい計画 (musubi plan) に現れます。",
			"It changed after the plan was made, or something it needs was missing. If it is still wanted, a new plan (musubi plan) has it.",
		}
	}
	switch t.Op.Kind {
	case provision.OpAccount:
		return label{
			"SaaS がこのアカウントを受け付けませんでした。職員の情報 (メールのドメインなど) か SaaS の設定を直してから、musubi plan で計画を作り直してください。",
			"The SaaS refuses this account. Correct the person's record (the e-mail domain, say) or the SaaS's settings, then plan again with musubi plan.",
		}
	case provision.OpDisable, provision.OpRelease:
		return label{
			"アカウントが残っています。すぐに SaaS の画面で停止し、接続の権限を確かめてから、musubi plan で計画を作り直してください。",
			"The account is still there. End it in the product at once, check the connector's permission, then plan again with musubi plan.",
		}
	}
	return label{
		"SaaS の画面でこのグループを確かめ、接続の権限を直してから、musubi plan で計画を作り直してください。",
		"Look at this group in the product, correct the connector's permission, then plan again with musubi plan.",
	}
}

// waitingBadge says why work waits, from the kind of the last failure as connectors.Kind names it.
func waitingBadge(failure string) badge {
	switch failure {
	case connectors.KindThrottled.String():
		return badge{label{"流量枠の回復を待っています", "waiting for quota"}, "info"}
	case connectors.KindAuth.String():
		return badge{label{"認証できません", "credential refused"}, "error"}
	case connectors.KindUnavailable.String(), connectors.KindAmbiguous.String():
		return badge{label{"応答を待っています", "waiting for an answer"}, "warning"}
	}
	return badge{label{"再試行しています", "trying again"}, "warning"}
}

func ismapBadge(state string) badge {
	switch state {
	case "registered":
		return badge{label{"登録あり", "registered"}, "success"}
	case "not registered":
		return badge{label{"登録なし", "not registered"}, "warning"}
	}
	return badge{label{"未確認", "unknown"}, ""}
}

// tokenBadge says how near a token's end is. 30 days is when the hub begins to warn.
func tokenBadge(date string, days int) badge {
	switch {
	case date == "":
		return badge{label{"期限が未設定", "end not known"}, "warning"}
	case days <= 0:
		return badge{label{"期限切れ", "ended"}, "error"}
	case days <= 30:
		return badge{label{"あと " + num(days) + " 日", "ends in " + num(days) + " days"}, "warning"}
	}
	return badge{label{"あと " + num(days) + " 日", "ends in " + num(days) + " days"}, "success"}
}

func reachBadge(r connectors.Reach) badge {
	switch r {
	case connectors.ReachDirect:
		return badge{label{"直接つながる", "direct"}, "success"}
	case connectors.ReachRelay:
		return badge{label{"中継でつながる", "by relay"}, "info"}
	}
	return badge{label{"つながらない", "not reachable"}, ""}
}

func regionLabel(region string) label {
	switch strings.ToLower(region) {
	case "", "unknown":
		return label{"未確認", "unknown"}
	case "jp", "japan":
		return label{"日本国内", "Japan"}
	}
	return label{region, ""}
}

// rate writes a number of requests a second without needless digits.
func rate(perSecond float64) string {
	if perSecond >= 10 && perSecond < 1e15 {
		return num(int(perSecond + 0.5))
	}
	return strconv.FormatFloat(perSecond, 'g', 3, 64)
}
