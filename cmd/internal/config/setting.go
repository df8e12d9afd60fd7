package config

import (
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/atlassian"
	"github.com/musubi-hub/musubi/connectors/slack"
)

// setting is one line of the table that everything here is made of.
type setting struct {
	key     string // "listen", "jira.email"
	def     string // empty: unset
	example string // what the example shows
	need    bool   // must be set where its section is there
	secret  bool   // names a file that holds a secret
	path    bool   // names another file
	number  bool   // written without quotes in YAML
	choices []string
	check   func(value string) error
	ja, en  string
}

// section is a heading of the file.
type section struct{ key, ja, en string }

var sections = []section{
	{"log", "記録", "Logs, on standard error."},
	{"trace", "分散トレース (OpenTelemetry)。設定しなければ送りません。個人情報は含みません。", "Traces (OpenTelemetry). Nothing is sent unless it is set; no personal data is in them."},
	{"keys", "署名鍵", "Signing keys."},
	{"audit", "監査記録", "The audit log."},
	{"atlassian", "Atlassian の組織: ライセンスを持つ利用者 (SCIM)。利用者のメールのドメインは、組織で確認済みである必要があります。", "Atlassian organization: licensed members, by SCIM. The address of every member must be on a domain that the organization has verified."},
	{"jira", "Jira Service Management のサイト: ポータルだけの利用者とその組織 (REST)。", "Jira Service Management site: portal-only customers and their organizations, by REST."},
	{"slack", "Slack: メッセージとチャンネル (Web API)、利用者とグループ (SCIM)。アプリケーションを一つ作り、そのボットトークンと署名シークレットを使います。", "Slack: messages and channels by the Web API, accounts and groups by SCIM. One application, its bot token and its signing secret."},
}

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
			ja: "管理画面と監視の待ち受け。ログイン機能ができるまで loopback だけです。", en: "Pages and probes. Until login exists only a loopback address is accepted.",
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
	[]setting{{
		key: "jira.service_desk", def: "1", example: "1", check: digits,
		ja: "組織を結び付けるサービスデスクの番号。", en: "Number of the service desk with which organizations are associated.",
	}},
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
)

// vendor gives the settings that every SaaS has.
func vendor(name, baseURL, example string) []setting {
	key := func(s string) string { return name + "." + s }
	return []setting{
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
			ja: "トークンの期限。Atlassian では長くて一年です。", en: "When the token expires. Atlassian's live a year at most.",
		},
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
		{
			key: key("quota_scale"), def: "1", example: "1", number: true, check: scale,
			ja: "利用量制限の倍率。代役 (sandbox) だけで使います。", en: "The vendor's quotas times this; for a sandbox only.",
		},
	}
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
