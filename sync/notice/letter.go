package notice

import (
	"strings"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// text is what a mail says, in one language.
type text struct {
	subject string
	what    []string // what happened, and what it means
	do      []string // what the person does now
}

// both is a text in Japanese and English.
type both struct{ ja, en text }

// texts holds a mail for each kind.
var texts = map[Kind]both{
	CardLinked: {
		text{
			"マイナンバーカードを登録しました",
			[]string{"あなたの職員アカウントに、マイナンバーカードが登録されました。これからは、このカードでログインします。"},
			[]string{"登録した覚えがない場合は、直ちに所属組織の管理者へ連絡し、カードの認証解除を頼んでください。"},
		},
		text{
			"a My Number Card was linked to your account",
			[]string{"A My Number Card was linked to your account. From now on this card logs you in."},
			[]string{"If you didn't do this, tell your organization's administrator at once and ask for the card to be released."},
		},
	},
	CardReleased: {
		text{
			"マイナンバーカードの登録が解除されました",
			[]string{
				"管理者が、あなたの職員アカウントからマイナンバーカードの登録を解除しました（認証解除）。",
				"開いていたログインはすべて終了しました。解除されたカードではログインできません。",
			},
			[]string{
				"もう一度カードを登録するには、管理者から新しいパスワードか招待を受け取ってください。",
				"心当たりがない場合は、所属組織の管理者へ連絡してください。",
			},
		},
		text{
			"your My Number Card was released",
			[]string{
				"An administrator has released the My Number Card from your account.",
				"All your sessions have ended, and the card doesn't log you in any more.",
			},
			[]string{
				"To link a card again, ask your administrator for a new password or an invitation.",
				"If you don't know why this happened, ask your organization's administrator.",
			},
		},
	},
	PasswordReset: {
		text{
			"パスワードがリセットされました",
			[]string{
				"管理者が、カードを登録するためのパスワードを新しくしました。前のパスワードは使えません。開いていたログインはすべて終了しました。",
				"新しいパスワードはこのメールには書かれていません。管理者から直接受け取ってください。14 日間有効です。",
			},
			[]string{"パスワードのリセットを頼んでいない場合は、所属組織の管理者へ連絡してください。"},
		},
		text{
			"your password was reset",
			[]string{
				"An administrator has made a new password for linking your card. The one before doesn't work any more, and all your sessions have ended.",
				"The new password isn't in this mail: you get it from your administrator in person. It works for 14 days.",
			},
			[]string{"If you didn't ask for this, tell your organization's administrator."},
		},
	},
	Sealed: {
		text{
			"非常用アカウントが封印されました",
			[]string{
				"別のシステム管理者が、あなたの非常用アカウントのパスワードを作り、封印しました。1 年間有効です。",
				"このパスワードは封筒に入れて保管し、カードでログインできない非常時にだけ開きます。開くと、システム管理者全員に知らされます。",
			},
			[]string{"心当たりがない場合は、ほかのシステム管理者へ連絡してください。"},
		},
		text{
			"a break-glass account was sealed for you",
			[]string{
				"Another system administrator has made and sealed the password of your break-glass account. It works for a year.",
				"It lies in an envelope for emergencies in which no card logs in. All system administrators are told when it is used.",
			},
			[]string{"If you don't know why, ask another system administrator."},
		},
	},
	Unsealed: {
		text{
			"非常用アカウントが廃止されました",
			[]string{"あなたの非常用アカウントの封印されたパスワードは無効になりました。封筒は細断してください。"},
			[]string{"心当たりがない場合は、ほかのシステム管理者へ連絡してください。"},
		},
		text{
			"your break-glass account was taken away",
			[]string{"The sealed password of your break-glass account doesn't work any more. Shred the envelope."},
			[]string{"If you don't know why, ask another system administrator."},
		},
	},
	SessionsEnded: {
		text{
			"ログインが管理者により終了されました",
			[]string{"管理者が、あなたの開いていたログインをすべて終了しました。各サービスからもログアウトします。"},
			[]string{"もう一度ログインすると、続けて使えます。心当たりがない場合は、所属組織の管理者へ連絡してください。"},
		},
		text{
			"an administrator ended your sessions",
			[]string{"An administrator has ended all your sessions. You are being logged out of the services too."},
			[]string{"Log in again to go on. If you don't know why this happened, ask your organization's administrator."},
		},
	},
	Invited: {
		text{
			"管理者として招待されました",
			[]string{
				"あなたは、所属組織の管理者として結びに招待されました。次の 2 つがそろうと、マイナンバーカードを登録できます。",
				"  1. このメールのリンク（1 回だけ使えます）",
				"  2. 所属組織あてに郵送される手紙に書かれたコード",
			},
			[]string{
				"手紙が届いたら、使っているネットワークのリンクを開き、マイナンバーカードを読み取り、手紙のコードを入力してください。",
				"このメールを転送しないでください。心当たりがない場合は、リンクを開かず、所属組織へ確認してください。",
			},
		},
		text{
			"you are invited as an administrator",
			[]string{
				"You are invited as an administrator of your organization. Two things together let you link your My Number Card:",
				"  1. the link in this mail, which works once",
				"  2. the code in a letter that comes to your organization by post",
			},
			[]string{
				"When the letter is there, open the link of the network that you use, put your card on the reader and type the code.",
				"Don't forward this mail. If you don't expect it, don't open the link, and ask your organization.",
			},
		},
	},
}

// networkNames are what staff call the networks.
var networkNames = map[policies.Network]string{
	policies.NetworkInternet: "インターネット / Internet", policies.NetworkLGWAN: "LGWAN", policies.NetworkGovernment: "政府ネットワーク / Government network",
}

// letter writes a notice for its person. It is pure.
func letter(n Notice, p identity.Person, org identity.Organization, links []Link) connectors.Message {
	t := texts[n.Kind]
	var b strings.Builder
	line := func(parts ...string) {
		for _, s := range parts {
			b.WriteString(s)
		}
		b.WriteByte('\n')
	}
	lines := func(all []string) {
		for _, s := range all {
			line(s)
		}
	}
	name := strings.TrimSpace(p.FamilyName + " " + p.GivenName)
	line(org.Name)
	line(name, " 様")
	line()
	lines(t.ja.what)
	line()
	line("日時: ", jst.Minute(n.At), "（日本時間）")
	if n.ExpiresAt > 0 {
		line("期限: ", jst.Minute(n.ExpiresAt), "（日本時間）")
	}
	line("照会番号: ", n.ID)
	for _, l := range links {
		line()
		line("リンク / link (", networkNames[l.Network], "):")
		line(l.Address)
	}
	line()
	lines(t.ja.do)
	line(neverJA(len(links) > 0))
	line()
	line("----")
	lines(t.en.what)
	line()
	line("At: ", jst.Minute(n.At), " JST")
	if n.ExpiresAt > 0 {
		line("Until: ", jst.Minute(n.ExpiresAt), " JST")
	}
	line("Reference: ", n.ID)
	line()
	lines(t.en.do)
	line(neverEN(len(links) > 0))
	return connectors.Message{
		Key: "person-notice-" + n.ID, To: []connectors.Recipient{{Address: p.Email, Name: name}},
		Subject: "[結び] " + t.ja.subject + " / " + t.en.subject, Text: b.String(),
	}
}

func neverJA(links bool) string {
	if links {
		return "結びは、メールでパスワードや暗証番号を尋ねません。"
	}
	return "結びは、メールでパスワードや暗証番号を尋ねません。このメールにリンクはありません。"
}

func neverEN(links bool) string {
	if links {
		return "Musubi never asks for passwords or PINs by mail."
	}
	return "Musubi never asks for passwords or PINs by mail. There is no link in this mail."
}
