package sandbox

import (
	"net/http"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// problem says why somebody isn't let in and what to do, Japanese first.
type problem struct {
	What, WhatEN, Do, DoEN string
	Reason, Code, Incident string
	Again, Other, Home     bool // links: log in again, as somebody else, to the first page
}

// told is what is said about a kind of refusal.
type told struct {
	title, titleEN string
	problem
}

var (
	beginAgain = told{
		"ログインをやり直してください", "Begin the login again",
		problem{
			What: "このログインは、このブラウザーで始めたものではないか、時間切れか、すでに使われました。", WhatEN: "This login wasn't begun in this browser, is too old, or was used already.",
			Do: "もう一度ログインしてください。自分で始めていない場合は、リンクを開いたページを閉じてください。", DoEN: "Log in again. If you didn't begin a login, close the page that led you here.", Again: true,
		},
	}
	untrusted = told{
		"ログイン先の応答を確認できませんでした", "The login service's answer can't be trusted",
		problem{
			What: "応答が求めたものと一致しないため、ログインしていません。", WhatEN: "The answer isn't the one that was asked for. You are not logged in.",
			Do: "もう一度ログインしてください。続く場合は、下の記号を管理者に伝えてください。", DoEN: "Log in again. If it goes on, tell your administrator the code below.", Again: true,
		},
	}
	unavailable = told{
		"ログイン先を利用できません", "The login service is not available",
		problem{
			What: "ログイン先に接続できないか、応答が正しくありません。", WhatEN: "The login service can't be reached, or doesn't answer properly.",
			Do: "しばらくしてからもう一度ログインしてください。", DoEN: "Log in again in a while.", Again: true,
		},
	}
)

// wrongKey is what is said where the one certificate that was entered isn't that of the key which signed.
var wrongKey = told{
	"ログイン先の証明書が合いません", "The login service's certificate doesn't fit",
	problem{
		What: "応答の署名が、このサービスに入れてある証明書と一致しないか、証明書の期限が切れています。", WhatEN: "The answer isn't signed by the key whose certificate was entered here, or that certificate has expired.",
		Do: "このサービスの管理者に、ログイン先の新しい証明書を入れるよう伝えてください。", DoEN: "Ask this service's administrator to enter the login service's new certificate.", Again: true,
	},
}

var toldOf = map[relying.Reason]told{
	visitor.StateUnknown: beginAgain, visitor.OtherBrowser: beginAgain, visitor.Unauthenticated: beginAgain, visitor.FormForeign: {
		"操作を受け付けませんでした", "The action wasn't taken",
		problem{
			What: "この操作は、このサイトの今のページから送られたものではありません。", WhatEN: "It wasn't sent by a current page of this site.",
			Do: "ページを開き直して、もう一度操作してください。", DoEN: "Open the page again and repeat it.", Home: true,
		},
	},
	visitor.ProviderUnreachable: unavailable, relying.UserinfoRefused: unavailable,
	visitor.NoAccount: {
		"アカウントがありません", "No account here",
		problem{
			What: "このサービスに、あなたのアカウントがありません。ハブがまだ作成していないか、利用が認められていません。", WhatEN: "The hub has not provisioned you here, or you may not use this service.",
			Do: "所属する組織の管理者に連絡してください。", DoEN: "Ask the administrator of your organization.", Other: true,
		},
	},
	visitor.AccountInactive: {
		"アカウントは停止されています", "This account is deactivated",
		problem{
			What: "このサービスのあなたのアカウントは停止されているか、期限が過ぎています。", WhatEN: "Your account here is deactivated, or its time is over.",
			Do: "所属する組織の管理者に連絡してください。", DoEN: "Ask the administrator of your organization.", Other: true,
		},
	},
	visitor.AccountLinked: {
		"別の利用者のアカウントです", "This account belongs to somebody else",
		problem{
			What: "同じメールアドレスのアカウントは、すでに別の利用者と結び付いています。", WhatEN: "The account with your e-mail address is tied to another identity.",
			Do: "このサービスの管理者に連絡してください。結び付きは管理者が解除できます。", DoEN: "Ask this service's administrator, who can undo the tie.", Other: true,
		},
	},
	visitor.NoEmail: {
		"メールアドレスが渡されませんでした", "No e-mail address was given",
		problem{
			What: "初めてのログインではメールアドレスでアカウントを探しますが、ログイン先がメールアドレスを渡しませんでした。", WhatEN: "A first login finds the account by the e-mail address, and the login service gave none.",
			Do: "所属する組織の管理者に連絡してください。", DoEN: "Ask the administrator of your organization.", Other: true,
		},
	},
	visitor.AssuranceTooLow: {
		"より確かな本人確認が必要です", "A stronger proof of identity is needed",
		problem{
			What: "このサービスが求める強さの本人確認が行われていません。", WhatEN: "You were not identified as strongly as this service requires.",
			Do: "マイナンバーカードなど、より確かな方法でログインしてください。", DoEN: "Log in by a stronger method, such as your card.", Other: true,
		},
	},
	visitor.SessionEnded: {
		"ログインは終了しています", "The login has ended",
		problem{
			What: "ログインの途中で、ログイン先がこのセッションを終了しました。", WhatEN: "The login service ended this session while the login was under way.",
			Do: "もう一度ログインしてください。", DoEN: "Log in again.", Again: true,
		},
	},
	samlsp.NotConfigured: {
		"ログイン先が設定されていません", "No login service is configured",
		problem{
			What: "このサービスの管理者が、ログイン先 (ハブ) の証明書をまだ入れていません。", WhatEN: "This service's administrator hasn't entered the login service's certificate yet.",
			Do: "このサービスの管理者に連絡してください。", DoEN: "Ask this service's administrator.", Again: true,
		},
	},
	samlsp.SignatureInvalid: wrongKey, samlsp.CertificateOver: wrongKey,
	samlsp.EmailChanged: {
		"メールアドレスが変わっています", "Your e-mail address has changed",
		problem{
			What: "ログイン先が伝えたメールアドレスが、このサービスのアカウントのものと違います。", WhatEN: "The address that the login service told isn't that of your account here.",
			Do: "所属する組織の管理者に連絡してください。アカウントのアドレスが直ると、ログインできます。", DoEN: "Ask the administrator of your organization. You can log in when the account has been changed too.", Other: true,
		},
	},
	samlsp.AttributeMissing: {
		"必要な情報が渡されませんでした", "Something about you is missing",
		problem{
			What: "このサービスが必要とする属性を、ログイン先が伝えませんでした。", WhatEN: "The login service didn't tell an attribute that this service requires.",
			Do: "下の記号を、このサービスの管理者に伝えてください。", DoEN: "Tell this service's administrator the code below.", Other: true,
		},
	},
	samlsp.Unsolicited: beginAgain, samlsp.RelayState: beginAgain, samlsp.Replayed: beginAgain, samlsp.InResponseTo: beginAgain, samlsp.Expired: beginAgain,
	visitor.Internal: {
		"処理できませんでした", "It couldn't be done",
		problem{What: "このサイトの内部の問題です。", WhatEN: "This site failed.", Do: "しばらくしてからもう一度ログインしてください。", DoEN: "Log in again in a while.", Again: true},
	},
}

// notPermitted is the provider's no.
var notPermitted = told{
	"ログインは認められませんでした", "The login was not permitted",
	problem{
		What: "ログイン先が、このサービスの利用を認めなかったか、操作が取り消されました。", WhatEN: "The login service doesn't permit you to use this service, or the login was cancelled.",
		Do: "問い合わせ番号を添えて、所属する組織の管理者に連絡してください。", DoEN: "Ask the administrator of your organization, and give the incident number.", Again: true, Other: true,
	},
}

// toldOfCode is what the provider's own refusals say (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6; SAML 2.0 Core,
// section 3.2.2.2).
var toldOfCode = map[string]told{
	"access_denied": notPermitted, "RequestDenied": notPermitted, "AuthnFailed": notPermitted,
	"Responder":               unavailable,
	"login_required":          beginAgain,
	"interaction_required":    beginAgain,
	"temporarily_unavailable": unavailable,
	"server_error":            unavailable,
}

var refusedByProvider = told{
	"ログイン先が要求を断りました", "The login service refused the request",
	problem{
		What: "このサイトの登録か設定が、ログイン先と合っていません。", WhatEN: "This site isn't registered or configured as the login service expects.",
		Do: "下の記号と問い合わせ番号を、このサービスの管理者に伝えてください。", DoEN: "Tell this service's administrator the code and the incident number below.", Again: true,
	},
}

// missingView is the page for what isn't there.
var missingView = customerView{
	Title: "見つかりません", TitleEN: "Not found",
	Problem: problem{
		What: "ページがないか、あなたには表示されません。", WhatEN: "There is no such page, or you don't have access to it.",
		Do: "アドレスを確かめてください。", DoEN: "Check the address.", Home: true,
	},
}

// unreadableView is the page for a form that is too large or broken.
var unreadableView = customerView{
	Title: "送信内容を読めません", TitleEN: "The form can't be read",
	Problem: problem{
		What: "送信内容が大きすぎるか、壊れています。", WhatEN: "What was sent is too large, or broken.",
		Do: "ブラウザーの「戻る」で戻り、短くして送り直してください。", DoEN: "Go back in the browser, make it shorter and send it again.", Home: true,
	},
}

// problemOf chooses what is said of a refusal.
func problemOf(no visitor.Refusal) told {
	t, ok := toldOf[no.Reason]
	switch {
	case no.Reason == visitor.ProviderError || no.Reason == relying.CodeRefused:
		if t, ok = toldOfCode[no.Code]; !ok {
			t = refusedByProvider
		}
	case !ok:
		t = untrusted
	}
	t.Reason, t.Incident = string(no.Reason), no.Incident
	if no.Code != "" {
		t.Code = strings.TrimSpace(no.Code)
	}
	return t
}

// Refused shows why somebody isn't let in.
func (x *customerSite) Refused(w http.ResponseWriter, r *http.Request, no visitor.Refusal) {
	t := problemOf(no)
	page := customerView{Title: t.title, TitleEN: t.titleEN, Problem: t.problem}
	if session, ok := x.party.Current(r); ok { // somebody is logged in already: a form was refused, or another login
		x.greet(&page, session)
	}
	x.write(w, no.Status, "customer-problem", page)
}

// LoggedOut ends a logout.
func (x *customerSite) LoggedOut(w http.ResponseWriter, _ *http.Request, how visitor.Leaving) {
	x.write(w, http.StatusOK, "customer-out", customerView{Title: "ログアウトしました", TitleEN: "Logged out", Leaving: how})
}
