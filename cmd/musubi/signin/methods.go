package signin

import (
	"net/http"
	"slices"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/password"
)

// order is how ways are shown: the card first, a broken glass last.
var order = []identity.MethodID{identity.MethodCard, identity.MethodPassword, identity.MethodInvitation, identity.MethodBreakGlass}

// isSecret reports whether a method is a form on the login host itself.
func isSecret(m identity.MethodID) bool { _, ok := secrets[m]; return ok }

var secrets = map[identity.MethodID]struct {
	title, about, button page.Label
	fields               []page.Field
}{
	identity.MethodPassword: {
		page.Label{JA: "パスワードで本人を確認", EN: "Prove your account by its password"},
		page.Label{
			JA: "管理者から渡されたパスワードを使います。使えるのはカードの初回登録のときだけで、渡された日から 14 日間有効です。",
			EN: "Use the password that your administrator gave you. It is good for the first use of a card alone, within 14 days.",
		},
		page.Label{JA: "確認してカードを登録する", EN: "Prove and register the card"},
		nameAndPassword,
	},
	identity.MethodInvitation: {
		page.Label{JA: "招待で本人を確認", EN: "Prove your account by an invitation"},
		page.Label{
			JA: "組織の最初の管理者 (または後任) の方へ。届いたリンクと、組織宛ての手紙にあるコードの両方を使います。",
			EN: "For an organization's first administrator, or a successor: the link that you were sent, and the code in the letter to your organization.",
		},
		page.Label{JA: "確認してカードを登録する", EN: "Prove and register the card"},
		[]page.Field{
			{
				Name: invitation.FieldPath, Type: "text", Autocomplete: "off", Max: 512, Label: page.Label{JA: "招待のリンク", EN: "Link of the invitation"},
				Hint: &page.Hint{For: invitation.FieldPath, Text: page.Label{JA: "リンクから開いたときは、入力済みです。", EN: "Filled in when you came by the link."}},
			},
			{
				Name: invitation.FieldCode, Type: "text", Autocomplete: "one-time-code", Max: 32, Label: page.Label{JA: "手紙のコード", EN: "Code from the letter"},
				Hint: &page.Hint{For: invitation.FieldCode, Text: page.Label{JA: "例: 7K2M-9QXD-4RTB。大文字と小文字、ハイフンの有無は問いません。", EN: "As in 7K2M-9QXD-4RTB; case and hyphens don't matter."}},
			},
		},
	},
	identity.MethodBreakGlass: {
		page.Label{JA: "封印された非常用アカウント", EN: "Sealed break-glass account"},
		page.Label{
			JA: "カードが使えない非常時に、運営機関のシステム管理者だけが使います。使うと、ほかのシステム管理者全員に通知されます。",
			EN: "For the operating agency's system administrators in an emergency. All the others are told of its use.",
		},
		page.Label{JA: "封印を解いてログインする", EN: "Break the seal and log in"},
		nameAndPassword,
	},
}

var nameAndPassword = []page.Field{
	{Name: password.FieldName, Type: "email", Autocomplete: "username", Max: 254, Label: page.Label{JA: "メールアドレス", EN: "E-mail address"}},
	{
		Name: password.FieldPassword, Type: "password", Autocomplete: "current-password", Max: password.MaxBytes, Label: page.Label{JA: "パスワード", EN: "Password"},
		Hint: &page.Hint{For: password.FieldPassword, Text: page.Label{JA: "貼り付けもできます。", EN: "You may paste it."}},
	},
}

var cardWay = page.Way{
	ID: string(identity.MethodCard), Title: page.Label{JA: "マイナンバーカード", EN: "My Number Card"},
	About: page.Label{
		JA: "利用者証明用電子証明書 (数字 4 桁の暗証番号) で本人を確認します。",
		EN: "By the certificate for user authentication: the PIN of four digits.",
	},
	Steps: []page.Label{
		{JA: "カードをリーダーに置きます。", EN: "Put the card on the reader."},
		{JA: "下のボタンを押し、証明書を選びます。", EN: "Press the button and choose the certificate."},
		{JA: "暗証番号を入力します。3 回続けて間違えるとカードがロックされます。", EN: "Enter the PIN. Three wrong ones in a row lock the card."},
	},
	Button: page.Label{JA: "カードで本人確認をする", EN: "Use the card"},
}

// methods shows the ways to prove oneself.
func (s *Site) methods(w http.ResponseWriter, r *http.Request, n login.Next) {
	body := page.MethodsBody{Path: loginPath(n.Request.ID), Form: n.Form, For: s.wanted(r.Context(), n.Request), Linking: n.Linking}
	ways := slices.Clone(n.Methods)
	slices.SortStableFunc(ways, func(a, b identity.MethodID) int { return rank(a) - rank(b) })
	for _, m := range ways {
		body.Ways = append(body.Ways, s.way(m))
	}
	title := page.Label{JA: "ログイン", EN: "Log in"}
	if n.Linking {
		title = page.Label{JA: "カードの登録", EN: "Register the card"}
	}
	s.show(w, r, page.Sheet{Name: page.Methods, Status: status(n), Title: title, Body: body, Until: n.Request.ExpiresAt, Alert: alert(n)})
}

func rank(m identity.MethodID) int {
	if i := slices.Index(order, m); i >= 0 {
		return i
	}
	return len(order)
}

func (s *Site) way(m identity.MethodID) page.Way {
	if f, ok := secrets[m]; ok {
		return page.Way{ID: string(m), Title: f.title, About: f.about, Button: page.Label{JA: "この方法で進む", EN: "Use this"}, Page: true}
	}
	if m == identity.MethodCard {
		way := cardWay
		if s.cfg.CardVia != nil {
			way.Warn = &page.Label{
				JA: "実演用の環境です。カードの代わりに、試験用カードを選ぶページが開きます。", EN: "This is a demonstration: a page that plays the card opens in its place.",
			}
		}
		return way
	}
	return page.Way{ID: string(m), Title: page.Label{JA: string(m)}, Button: page.Label{JA: "この方法で進む", EN: "Use this"}}
}

// secretForm shows the form of a method where the login offers it; ok is false where it doesn't.
func (s *Site) secretForm(w http.ResponseWriter, r *http.Request, n login.Next, m identity.MethodID) (ok bool) {
	f, known := secrets[m]
	if !known || !slices.Contains(n.Methods, m) {
		return false
	}
	body := page.SecretBody{Path: loginPath(n.Request.ID), Form: n.Form, ID: string(m), About: f.about, Button: f.button, Fields: slices.Clone(f.fields)}
	for i := range body.Fields {
		switch name := body.Fields[i].Name; name {
		case password.FieldName, invitation.FieldPath: // what was typed stays; secrets don't go back
			body.Fields[i].Value = r.PostForm.Get(name)
		}
		if c, err := r.Cookie(invitationCookie); err == nil && body.Fields[i].Name == invitation.FieldPath && body.Fields[i].Value == "" && len(c.Value) <= 64 {
			body.Fields[i].Value = c.Value
		}
	}
	s.show(w, r, page.Sheet{Name: page.Secret, Status: status(n), Title: f.title, Body: body, Until: n.Request.ExpiresAt, Alert: alert(n)})
	return true
}
