package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/atlassian"
	"github.com/musubi-hub/musubi/connectors/slack"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/provision"
)

// setting is one line of the table that everything here is made of.
type setting struct {
	key     string // "listen", "jira.email"
	def     string // empty: unset
	example string // what the example shows
	need    bool   // must be set where its section is there
	secret  bool   // names a file that holds a secret
	block   bool   // the secret has several lines: a key in PEM form
	path    bool   // names another file
	public  bool   // ... of certificates or rules, small, without which the hub doesn't start: a backup has it
	number  bool   // written without quotes in YAML
	choices []string
	check   func(value string) error
	ja, en  string
}

// section is a heading of the file.
type section struct{ key, ja, en string }

var sections = slices.Concat([]section{
	{"log", "記録", "Logs, on standard error."},
	{"trace", "分散トレース (OpenTelemetry)。設定しなければ送りません。個人情報は含みません。", "Traces (OpenTelemetry). Nothing is sent unless it is set; no personal data is in them."},
	{"keys", "署名鍵", "Signing keys."},
	{"audit", "監査記録", "The audit log."},
}, gateSections(), []section{
	{"atlassian", "Atlassian の組織: ライセンスを持つ利用者 (SCIM)。利用者のメールのドメインは、組織で確認済みである必要があります。", "Atlassian organization: licensed members, by SCIM. The address of every member must be on a domain that the organization has verified."},
	{"jira", "Jira Service Management のサイト: ポータルだけの利用者とその組織 (REST)。", "Jira Service Management site: portal-only customers and their organizations, by REST."},
	{"slack", "Slack: メッセージとチャンネル (Web API)、利用者とグループ (SCIM)。アプリケーションを一つ作り、そのボットトークンと署名シークレットを使います。", "Slack: messages and channels by the Web API, accounts and groups by SCIM. One application, its bot token and its signing secret."},
	{"mail", "メールの中継サーバ (SMTP)。", "Mail relay (SMTP)."},
	{"require", "製品に求めること。満たさない製品は、設定してあっても使いません。", "What a product must be. One that isn't is not used, though it is configured."},
	{"breakers", "ブレーカー: 失うものが多すぎる変更を、人が確かめるまで止めます。一つの値は「期間 最低数 割合」の並びで、期間の初めにあった数の割合か最低数の大きい方まで失えます (docs/breakers.md)。", "Breakers hold a change that would take too much away until a person has looked. Each value is a list of window, least number and share: the larger of that number and that share of what there was when the window began may be lost (docs/breakers.md)."},
	{"live", "名簿の変更からハブが自分で作る計画。小さなものは方針が承認し、ほかは人の承認を待ちます。", "Plans that the hub makes by itself from changes in the directory. Policy approves small ones; the others wait for a person."},
	{"prices", "利用席一つの月額 (円、税抜)。既定値は公表価格を目安にした仮定です。契約の額を書いてください。計画と musubi seats の費用の表示だけに使います。", "What one seat costs a month, in yen without tax. The defaults are assumptions in the order of magnitude of public price lists: write what your contract says. Only shown, by plans and by musubi seats."},
	{"functions", "どの機能をどの製品が担うか (調達仕様の機能番号)。", "Which product carries which function, by the numbers of the procurement document."},
})

// settings is the whole configuration, in the order of the example.
var settings = slices.Concat(
	[]setting{
		{
			key: "database", def: "sqlite:musubi.db", example: "postgres://musubi@db.example.jp/musubi?sslmode=verify-full", check: database,
			ja: "状態の保存先。sqlite のファイルはデータフォルダからの相対パスです。", en: "Where the hub keeps its state. An SQLite file is relative to the data folder.",
		},
		{
			key: "database_password_file", example: "secrets/database.password", secret: true,
			ja: "PostgreSQL のパスワードのファイル (一行、0600)。", en: "File of PostgreSQL's password: one line, mode 0600.",
		},
		{
			key: "listen", def: "127.0.0.1:8080", example: "127.0.0.1:8080", check: Loopback,
			ja: "監視の待ち受け (loopback だけ)。どの網にもログインがなければ、管理画面もここです。", en: "Probes, on loopback alone; the pages too where no network has a login.",
		},
		{
			key: "log.level", def: "warn", example: "info", choices: []string{"debug", "info", "warn", "error"},
			ja: "どこから書くか。", en: "The least that is written.",
		},
		{
			key: "log.format", def: "auto", example: "json", choices: []string{"auto", "json", "text"},
			ja: "auto は、serve では json、他では text です。", en: "auto: json when serving, text otherwise.",
		},
		{
			key: "trace.endpoint", example: "http://127.0.0.1:4318", check: webAddress,
			ja: "OTLP/HTTP の受け口。http は loopback だけです。", en: "An OTLP/HTTP collector. http is for loopback only.",
		},
		{
			key: "trace.header_file", example: "secrets/trace.header", secret: true,
			ja: "受け口が求める見出しのファイル (一行「名前: 値」、0600)。", en: `File of a header that the collector wants: one line, "Name: value", mode 0600.`,
		},
		{
			key: "trace.sample", def: "1", example: "0.1", number: true, check: share,
			ja: "残す割合 (0 から 1)。", en: "Share of traces that are kept, 0 to 1.",
		},
		{
			key: "keys.sealing_key_file", example: "secrets/sealing.key", path: true,
			ja: "署名鍵を暗号化する鍵のファイル (32 バイト、0600)。書かなければデータフォルダの keys/sealing.key を最初に作ります。データベースを共有するノードでは同じものを使い、データベースのバックアップとは別に控えます。",
			en: "File of the key under which signing keys are encrypted (32 bytes, mode 0600); without it keys/sealing.key of the data folder is made at the first start. Nodes on one database need the same file; keep a copy apart from the database's backups.",
		},
		{
			key: "audit.checkpoint_file", example: "/mnt/elsewhere/audit-checkpoint", path: true,
			ja: "署名済みチェックポイントをデータベースの外に書くファイル。書かなければデータフォルダの audit-checkpoint です。", en: "Where each signed checkpoint is written outside of the database; without it audit-checkpoint in the data folder.",
		},
	},
	gateSettings(),
	[]setting{
		{
			key: "atlassian.directory_id", example: "11111111-1111-4111-8111-111111111111", need: true,
			ja: "SCIM ディレクトリの ID。", en: "Id of the SCIM directory.",
		},
	},
	vendor("atlassian", atlassian.DefaultBaseURL, atlassian.DefaultBaseURL),
	[]setting{{
		key: "jira.email", example: "hub@example.go.jp", need: true, check: mail,
		ja: "トークンの持ち主。アクセスを取り消すため、サイト管理者である必要があります。", en: "Owner of the token: a site administrator, because revoking access needs one.",
	}},
	vendor("jira", "", "https://example.atlassian.net"),
	[]setting{
		{
			key: "jira.service_desk", def: "1", example: "1", check: digits,
			ja: "組織を結び付け、リクエストを作るサービスデスクの番号。", en: "Number of the service desk with which organizations are associated, and in which requests are made.",
		},
		{
			key: "jira.webhook_secret_file", example: "secrets/jira.webhook", secret: true,
			ja: "Webhook に署名させるシークレットのファイル (一行、16 文字以上、0600)。書かなければ Webhook を登録せず、届いても信用しません。",
			en: "File of the secret that webhooks are signed with: one line of 16 characters at least, mode 0600. Without it webhooks are neither registered nor believed.",
		},
		{
			key: "jira.search_lag", def: "30", example: "30", number: true, check: lag,
			ja: "書いたばかりのものを検索が見落としうる秒数。これより短い間の「見つからない」は信用しません。", en: "For how many seconds a search may miss what was just written; a search that finds nothing isn't believed sooner.",
		},
	},
	vendor("slack", slack.DefaultBaseURL, slack.DefaultBaseURL),
	[]setting{
		{
			key: "slack.signing_secret_file", example: "secrets/slack.signing", need: true, secret: true,
			ja: "アプリケーションの署名シークレットのファイル (一行、0600)。届くイベントはすべてこれで検証します。", en: "File of the application's signing secret: one line, mode 0600. Every event that comes in is verified with it.",
		},
		{
			key: "slack.scim_token_file", example: "secrets/slack.scim.token", secret: true,
			ja: "SCIM のトークンのファイル (組織の所有者、スコープ admin)。書かなければ利用者とグループは扱いません。", en: "File of the SCIM token: an organization owner's, with the scope admin. Without it accounts and groups aren't provisioned.",
		},
	},
	mailSettings,
	[]setting{
		{
			key: "require.ismap", def: "no", example: "yes", choices: []string{"yes", "no"},
			ja: "yes なら、ISMAP クラウドサービスリストに登録された製品だけを使います。", en: "yes: only products on the ISMAP cloud service list are used.",
		},
		{
			key: "require.data_region", example: "JP", check: regions,
			ja: "データの保管地域をこの中に限ります (コンマ区切り)。", en: "The data must be kept in one of these regions, separated by commas.",
		},
		{
			key: "require.lgwan", example: "direct, relay", check: listOf(string(connectors.ReachDirect), string(connectors.ReachRelay), string(connectors.ReachNo)),
			ja: "LGWAN からの到達方法をこの中に限ります (コンマ区切り)。", en: "The product must be reached from LGWAN in one of these ways, separated by commas.",
		},
		limits(breaker.LevelNation, breaker.LossAccounts, breaker.DefaultNationAccounts, "国全体で止めるアカウント。", "Accounts disabled in the whole nation."),
		limits(breaker.LevelNation, breaker.LossMemberships, breaker.DefaultNationMemberships, "国全体で失う所属。", "Memberships lost in the whole nation."),
		limits(breaker.LevelChange, breaker.LossAccounts, breaker.DefaultChangeAccounts, "一つの変更 (取り込み、計画、方針の改定) で止めるアカウント。割合は国全体に対するものです。", "Accounts disabled by one upstream change: an import, a plan, an edit of the policies. The share is of the nation."),
		limits(breaker.LevelChange, breaker.LossMemberships, breaker.DefaultChangeMemberships, "一つの変更で失う所属。", "Memberships lost by one upstream change."),
		limits(breaker.LevelProduct, breaker.LossAccounts, breaker.DefaultProductAccounts, "一つの SaaS で止めるアカウント。", "Accounts disabled in one SaaS."),
		limits(breaker.LevelProduct, breaker.LossMemberships, breaker.DefaultProductMemberships, "一つの SaaS で失う所属。", "Memberships lost in one SaaS."),
		limits(breaker.LevelOrganization, breaker.LossAccounts, breaker.DefaultOrganizationAccounts, "一つの組織で止めるアカウント。", "Accounts disabled in one organization."),
		limits(breaker.LevelOrganization, breaker.LossMemberships, breaker.DefaultOrganizationMemberships, "一つの組織で失う所属。", "Memberships lost in one organization."),
		{
			key: "breakers.announced", def: breaker.DefaultAnnounced, example: "24h", check: window,
			ja: "発効のどれだけ前に登録された異動を、予告されたもの (数えず、止めない) とするか。", en: "How long before its date a transfer must have been recorded to be neither counted nor held.",
		},
		{
			key: "live.plans", def: "yes", example: "yes", choices: []string{"yes", "no"},
			ja: "no なら、計画は人だけが作ります。", en: "no: only people make plans.",
		},
		{
			key: "live.quiet", def: "5", example: "5", number: true, check: pause,
			ja: "変更がこの秒数だけ続かなければ計画を作ります。", en: "A plan is made once nothing has changed for so many seconds.",
		},
		{
			key: "live.longest", def: "60", example: "60", number: true, check: pause,
			ja: "変更が続いていても、この秒数で計画を作ります。", en: "And after so many seconds at the latest.",
		},
		price("atlassian_licensed_member", policies.ProductAtlassian, policies.SeatLicensedMember, "Atlassian のライセンス利用者。", "A licensed member of Atlassian."),
		price("jira_portal_customer", policies.ProductJira, policies.SeatPortalCustomer, "Jira の窓口利用者。", "A portal customer of Jira."),
		price("slack_licensed_member", policies.ProductSlack, policies.SeatLicensedMember, "Slack のメンバー。", "A member of Slack."),
		price("slack_guest", policies.ProductSlack, policies.SeatGuest, "Slack のマルチチャンネルゲスト。メンバーと同じ料金です。", "A multi-channel guest of Slack, billed as a member."),
		{
			key: "functions.9", def: "jira", example: "jira", check: listOf("jira"),
			ja: "お問い合わせ。", en: "Inquiries.",
		},
		{
			key: "functions.10", def: "slack, jira, mail", example: "slack, jira, mail", check: listOf("slack", "jira", "mail"),
			ja: "異常時連絡等。先に書いたものから使います。", en: "Contact on an incident; the first is used first.",
		},
	},
)

// price is the setting of what a seat costs.
func price(key string, product policies.Product, seat policies.Seat, ja, en string) setting {
	def := strconv.Itoa(provision.DefaultPrices().Of(product, seat))
	return setting{key: "prices." + key, def: def, example: def, number: true, check: yen, ja: ja, en: en}
}

// limits is the setting of one breaker.
func limits(level breaker.Level, loss breaker.Loss, def, ja, en string) setting {
	return setting{
		key: "breakers." + string(level) + "_" + string(loss), def: def, example: def, ja: ja, en: en,
		check: func(value string) error {
			_, err := breaker.ParseLimits(level, loss, value)
			return err
		},
	}
}

func window(value string) error {
	_, err := breaker.ParseWindow(value)
	return err
}

// mailSettings connect the relay.
var mailSettings = slices.Concat(
	[]setting{
		{
			key: "mail.host", example: "relay.example.go.jp", need: true, check: short,
			ja: "中継サーバの名前。", en: "Name of the relay.",
		},
		{
			key: "mail.port", example: "587", number: true, check: port,
			ja: "ポート番号。書かなければ security により 587、465、25 です。", en: "Port; without it 587, 465 or 25 by security.",
		},
		{
			key: "mail.security", def: "starttls", example: "starttls", choices: []string{"starttls", "tls", "none"},
			ja: "接続の暗号化。none は、同じ機械か閉じた網の中継サーバだけに使います。", en: "How the connection is encrypted. none is for a relay on this machine or inside a closed network.",
		},
		{
			key: "mail.user", example: "musubi", check: short,
			ja: "SMTP AUTH の利用者名。", en: "User name of SMTP AUTH.",
		},
		{
			key: "mail.password_file", example: "secrets/mail.password", secret: true,
			ja: "SMTP AUTH のパスワードのファイル (一行、0600)。", en: "File of SMTP AUTH's password: one line, mode 0600.",
		},
		{
			key: "mail.helo", example: "hub.example.go.jp", check: short,
			ja: "名乗るホスト名。書かなければ from のドメインです。", en: "Host name that the hub gives; without it the domain of from.",
		},
		{
			key: "mail.from", example: "musubi@hub.example.go.jp", need: true, check: mail,
			ja: "差出人のアドレス。", en: "The sender's address.",
		},
		{
			key: "mail.from_name", example: "結び 連絡窓口", check: short,
			ja: "差出人の名前。", en: "The name beside it.",
		},
		{
			key: "mail.reply_to", example: "reply@hub.example.go.jp", check: mail,
			ja: "返信先。書かなければ from です。", en: "Where answers go; without it to from.",
		},
		{
			key: "mail.return_path", example: "bounce@hub.example.go.jp", check: mail,
			ja: "不達の通知先。書かなければ from です。", en: "Where bounces go; without it to from.",
		},
		{
			key: "mail.id_key_file", example: "secrets/mail.id-key", need: true, secret: true,
			ja: "Message-ID を作る鍵のファイル (一行、16 文字以上、0600)。変えると、返信を元のメールに結び付けられなくなります。", en: "File of the key under which Message-IDs are made: one line of 16 characters at least, mode 0600. Changing it cuts answers off from the mails that they answer.",
		},
		{
			key: "mail.html", def: "no", example: "yes", choices: []string{"yes", "no"},
			ja: "yes なら、本文の後に HTML 版も付けます。", en: "yes: an HTML form follows the plain text.",
		},
		{
			key: "mail.rate", def: "10", example: "10", number: true, check: scale,
			ja: "一秒あたりの通数の上限 (中継サーバの運用者との取り決めどおりに)。", en: "Messages a second at most, as agreed with the relay's operator.",
		},
	},
	place("mail"),
	network("mail", false),
)

// vendor gives the settings that every SaaS has.
func vendor(name, baseURL, example string) []setting {
	key := func(s string) string { return name + "." + s }
	return slices.Concat([]setting{
		{
			key: key("base_url"), def: baseURL, example: example, need: baseURL == "", check: webAddress,
			ja: "接続先。", en: "Where it is reached.",
		},
		{
			key: key("token_file"), example: "secrets/" + name + ".token", need: true, secret: true,
			ja: "API トークンのファイル (一行、0600)。このファイルからの相対パスです。", en: "File of the API token: one line, mode 0600; relative to this file.",
		},
		{
			key: key("token_expires"), example: `2027-10-01`, check: date,
			ja: "トークンの期限。Atlassian では長くて一年、Slack では失効させない限りありません。", en: "When the token expires. Atlassian's live a year at most, Slack's until somebody revokes them.",
		},
	}, place(name), []setting{
		{
			key: key("quota_scale"), def: "1", example: "1", number: true, check: scale,
			ja: "利用量制限の倍率。代役 (sandbox) だけで使います。", en: "The vendor's quotas times this; for a sandbox only.",
		},
	}, network(name, true))
}

// place gives the settings that say where a product is and what it is registered as.
func place(name string) []setting {
	key := func(s string) string { return name + "." + s }
	return []setting{
		{
			key: key("data_region"), example: "JP", check: short,
			ja: "データの保管地域 (契約どおりに)。", en: "Where the vendor keeps the data, as agreed with it.",
		},
		{
			key: key("ismap"), example: "registered", choices: []string{"registered", "not registered"},
			ja: "ISMAP クラウドサービスリストへの登録。", en: "Whether the service is on the ISMAP cloud service list.",
		},
		{
			key: key("lgwan"), def: string(connectors.ReachNo), example: string(connectors.ReachNo),
			choices: []string{string(connectors.ReachDirect), string(connectors.ReachRelay), string(connectors.ReachNo)},
			ja:      "LGWAN から使えるか。", en: "Whether it can be reached from LGWAN.",
		},
	}
}

// network gives the settings of the way to a product's host.
func network(name string, web bool) []setting {
	key := func(s string) string { return name + "." + s }
	list := []setting{
		{
			key: key("ca_file"), example: "relay-ca.pem", path: true, public: true,
			ja: "この接続先だけで信頼する認証局の証明書 (PEM)。LGWAN の中継装置など。", en: "Authorities trusted for this host beside the system's, PEM: an LGWAN relay's, for instance.",
		},
		{
			key: key("client_cert_file"), example: "relay-client.pem", path: true, public: true,
			ja: "中継装置に示すこちらの証明書 (PEM)。", en: "Our certificate for a relay that asks for one, PEM.",
		},
		{
			key: key("client_key_file"), example: "secrets/relay-client.key", secret: true, block: true,
			ja: "その秘密鍵 (PEM、0600)。", en: "Its key: PEM, mode 0600.",
		},
		{
			key: key("tls_min"), def: "1.2", example: "1.3", choices: []string{"1.2", "1.3"},
			ja: "TLS の最低版。", en: "The least version of TLS.",
		},
	}
	if !web {
		return list
	}
	return append([]setting{{
		key: key("proxy"), example: "https://relay.example.lg.jp:8443", check: proxy,
		ja: "経由するプロキシ。direct なら経由しません。書かなければ環境変数 HTTPS_PROXY に従います。", en: "Proxy on the way; direct: none. Without it the environment's HTTPS_PROXY holds.",
	}}, list...)
}

func find(key string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

func isSection(key string) bool {
	return slices.ContainsFunc(sections, func(s section) bool { return s.key == key })
}

// env is the setting's environment variable.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func (s setting) section() string {
	name, _, ok := strings.Cut(s.key, ".")
	if !ok {
		return ""
	}
	return name
}
