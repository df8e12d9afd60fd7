package page

import (
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/password"
)

// Sentence says what happened and what to do.
type Sentence struct{ What, Do Label }

// What to do, where it is the same for several reasons.
var (
	again = Label{
		"利用したいサービスを、このブラウザで開き直してください。",
		"Open the service again, in this browser.",
	}
	retry  = Label{"もう一度お試しください。", "Please try again."}
	admin  = Label{"所属する組織の管理者に、下の番号を伝えて相談してください。", "Ask your organization's administrator, and give the number below."}
	system = Label{
		"しばらく待ってから、もう一度お試しください。続くときは、所属する組織の管理者に、下の番号を伝えてください。",
		"Wait a little and try again. If it goes on, give your organization's administrator the number below.",
	}
	town = Label{
		"お住まいの市区町村の窓口で、電子証明書の手続きをしてください。その間の利用は、所属する組織の管理者に相談してください。",
		"Have the certificate renewed at the counter of the municipality where you live. Until then, ask your organization's administrator.",
	}
	authCert = Label{
		"マイナンバーカードの「利用者証明用電子証明書」(数字 4 桁の暗証番号) を選んでください。署名用 (6 文字以上の暗証番号) では入れません。",
		"Choose your card's certificate for user authentication (the PIN of four digits), not the one for signatures.",
	}
	operator = Label{
		"サービスの管理者に、下の番号を伝えてください。あなたの操作に問題はありません。",
		"Give the service's administrator the number below. You did nothing wrong.",
	}
)

var general = Sentence{Label{"この操作は受け付けられませんでした。", "This couldn't be accepted."}, system}

var reasons = map[login.Reason]Sentence{
	login.ReasonUnknown: {Label{"このログインは見つかりません。", "There is no such login."}, again},
	login.ReasonExpired: {Label{"ログインの制限時間 (15 分) を過ぎました。", "The login took longer than its 15 minutes."}, again},
	login.ReasonAnswered: {
		Label{"このログインはすでに終わっています。", "This login has ended already."},
		Label{"「戻る」で前の画面を開いたか、ボタンを 2 回押した可能性があります。サービスを開き直すと、続きから利用できます。", "You may have gone back, or pressed a button twice. Open the service again to go on."},
	},
	login.ReasonBrowser: {
		Label{"このログインは、別のブラウザか別の端末で始まったものです。", "Another browser or another device began this login."},
		Label{"人から送られたアドレスのときは、開かずに閉じてください。自分で始めたときは、サービスをこのブラウザで開き直してください。Cookie を使わない設定のときは、許可してください。", "If somebody sent you the address, close this page. If you began it yourself, open the service again in this browser, and allow cookies."},
	},
	login.ReasonCSRF: {
		Label{"この操作は、正しい画面から送られたものではありません。", "This didn't come from one of our own pages."},
		Label{"何も実行していません。ほかのサイトから来たときは、この画面を閉じてください。", "Nothing was done. If another site led you here, close this page."},
	},
	login.ReasonNetwork: {
		Label{"このログインは、別のネットワークで始まったものです。", "This login began in another network."},
		Label{"ログインの途中でネットワークを切り替えず、今のネットワークからサービスを開き直してください。", "Don't change the network during a login; open the service again from this one."},
	},
	login.ReasonTicket: {
		Label{"この手順は使用済みか、期限が切れています。", "This step was used before, or has expired."},
		Label{"ログインの画面に戻り、もう一度選んでください。", "Go back to the login page and choose again."},
	},
	login.ReasonMethod: {
		Label{"このネットワークでは、この方法でログインできません。", "This way to log in isn't offered in this network."},
		Label{"ほかの方法か、ほかのネットワークからお試しください。", "Use another way, or another network."},
	},
	login.ReasonRejected: {Label{"本人確認ができませんでした。", "We couldn't confirm who you are."}, retry},
	login.ReasonTries:    {Label{"一つのログインで試せる回数 (20 回) を超えました。", "That was more than the 20 tries of one login."}, again},
	login.ReasonPerson:   {Label{"在職の登録が終わっているため、ログインできません。", "Your service is recorded as ended, so you can't log in."}, admin},
	login.ReasonOtherPerson: {
		Label{"サービスが求めている人と、本人確認をした人が違います。", "The service asked for somebody else than you."},
		Label{"正しいカードを使うか、サービスからログアウトして、開き直してください。", "Use the right card, or log out of the service and open it again."},
	},
	login.ReasonLink: {
		Label{"このカードはほかの人のもの、またはあなたには別のカードが登録されています。", "This card belongs to somebody else, or you have another card registered."},
		Label{"カードを替えたときは、所属する組織の管理者に「マイナンバーカードの認証解除」を頼んでください。", "If you have a new card, ask your organization's administrator to release the old one (認証解除)."},
	},
	login.ReasonAssurance: {
		Label{"このネットワークにある方法では、サービスが求める確かさの本人確認ができません。", "No way of this network is sure enough for what the service asks."},
		Label{"マイナンバーカードが使えるネットワークからお試しください。", "Use a network where the My Number Card can be used."},
	},
	login.ReasonPost:   {Label{"選んだ所属での登録がありません。", "You don't hold the post that you chose."}, admin},
	login.ReasonPolicy: {Label{"あなたの所属と役割では、このサービスを利用できません。", "Your organization and role don't give access to this service."}, Label{"利用が必要なときは、所属する組織の管理者に、下の番号を伝えて相談してください。利用できるネットワークが決まっているサービスもあります。", "If you need it, ask your organization's administrator, and give the number below. Some services open in certain networks alone."}},
	login.ReasonLogin:  {Label{"ログインが必要です。", "You have to log in."}, again},
	login.ReasonInteraction: {
		Label{"続けるには、画面での確認が必要です。", "Something has to be asked of you first."}, again,
	},
	login.ReasonParty: {
		Label{"ログインの途中で、このサービスの登録が変わりました。", "The registration of this service changed during your login."},
		Label{"サービスを開き直してください。続くときは、下の番号をヘルプデスクに伝えてください。", "Open the service again. If this goes on, tell the help desk the number below."},
	},
	login.ReasonCancelled: {Label{"ログインを取り消しました。", "The login was cancelled."}, Label{"利用するときは、もう一度ログインしてください。", "Log in again when you need it."}},
}

// Reason says what a login's refusal means; a reason that isn't known gets a sentence that is true of all.
func Reason(r login.Reason, code string) Sentence {
	if code != "" {
		if s, ok := rejection(code); ok {
			return s
		}
	}
	if s, ok := reasons[r]; ok {
		return s
	}
	return general
}

// Codes of methods that aren't about a certificate's own content.
var rejections = map[string]Sentence{
	password.CodeWrong: {
		Label{"名前またはパスワードが違います。", "The name or the password is wrong."},
		Label{"大文字と小文字、かな入力に注意して、もう一度入力してください。忘れたときは、所属する組織の管理者に「パスワードのリセット」を頼んでください。", "Mind upper and lower case and try again. If you have forgotten it, ask your organization's administrator for a new one."},
	},
	password.CodeThrottled: {
		Label{"間違ったパスワードが続いたため、受け付けを遅くしています。", "There were too many wrong passwords; tries are slowed down."},
		Label{"2 分ほど待ってから、もう一度入力してください。アカウントは止まっていません。", "Wait two minutes and try again. The account isn't locked."},
	},
	invitation.CodeInvalid: {
		Label{"この招待は使えません。", "This invitation doesn't work."},
		Label{"期限 (30 日) が切れたか、使用済みか、新しい招待に替わっています。リンクが途中で切れていないか確かめ、運営機関に新しい招待を頼んでください。", "It has expired (30 days), was used, or a newer one has taken its place. Check that the link is complete, or ask the operating agency for a new one."},
	},
	invitation.CodeWrong: {
		Label{"手紙のコードが違います。", "The code from the letter is wrong."},
		Label{"手紙を見て、もう一度入力してください。5 回間違えると、招待は使えなくなります。", "Look at the letter and try again. After five wrong codes the invitation is void."},
	},
	"credential_released": {Label{"このカードの登録は解除されました。", "This card was released."}, admin},

	"certificate_missing": {
		Label{"カードの電子証明書を受け取れませんでした。", "No certificate of a card was received."},
		Label{"カードをリーダーに置き、ログインの画面からもう一度始めて、証明書を選び、暗証番号を入力してください。証明書を選ぶ画面が出ないときは、ブラウザをすべて閉じてから開き直してください。", "Put the card on the reader, begin again at the login page, choose the certificate and enter the PIN. If the browser doesn't ask for a certificate, close all its windows and open it again."},
	},
	"certificate_policy_unknown": {Label{"ログインに使えない種類の電子証明書です。", "This kind of certificate can't be used to log in."}, authCert},
	"certificate_too_large":      {Label{"受け取った電子証明書が大きすぎます。", "The certificate that was sent is too large."}, authCert},
	"client_cert_forged":         {Label{"証明書を名乗る見出しが、信頼できない所から送られました。", "Something that isn't trusted sent a header in the name of a card."}, admin},
	"client_cert_malformed":      {Label{"中継装置から届いた証明書を読み取れません。", "The certificate that the proxy passed on can't be read."}, system},
	"client_cert_repeated":       {Label{"中継装置から証明書が重ねて届きました。", "The proxy passed on more than one certificate."}, system},
	"connection_used": {
		Label{"この接続では、カードをすでに一度使っています。", "This connection has been used for a card before."},
		Label{"ログインの画面に戻り、もう一度カードを選んでください。", "Go back to the login page and choose the card again."},
	},
	"network_not_offered": {Label{"このネットワークでは、カードを使えません。", "Cards can't be used in this network."}, admin},
	"other_host":          {Label{"カードを読み取るアドレスが違います。", "The card was presented at another address than it should be."}, again},
	"response_malformed":  {Label{"カードの署名を読み取れません。", "The card's signature can't be read."}, retry},
	"tls_missing":         {Label{"暗号化されていない接続では、カードを使えません。", "A card needs an encrypted connection."}, system},
	"tls_resumed": {
		Label{"以前の接続の続きでは、カードを確認できません。", "A resumed connection proves no card."},
		Label{"ログインの画面に戻り、もう一度カードを選んでください。", "Go back to the login page and choose the card again."},
	},
}

// certificates are the codes of the certificate core, under the names that the card's method gives them.
var certificates = func() map[string]cert.Code {
	all := map[string]cert.Code{}
	for c := range cert.Codes() {
		all[mynumber.CodeOf(c)] = c
	}
	return all
}()

func rejection(code string) (Sentence, bool) {
	if s, ok := rejections[code]; ok {
		return s, true
	}
	c, ok := certificates[code]
	if !ok {
		return Sentence{}, false
	}
	return Sentence{Label{c.Japanese(), c.English()}, remedy(c)}, true
}

// remedy says what the holder of a card does about a verdict.
func remedy(c cert.Code) Label {
	switch c {
	case cert.Revoked, cert.OnHold, cert.Expired:
		return town
	case cert.NotYetValid:
		return Label{"有効期間が始まってから、もう一度お試しください。", "Try again when its validity has begun."}
	case cert.WrongTree, cert.PolicyWrong, cert.KeyUsageWrong, cert.PurposeWrong, cert.LeafWrong, cert.LeafIsCA, cert.NoPath, cert.HostWrong:
		return authCert
	case cert.RevocationUnknown, cert.RevocationStale, cert.RevocationBad, cert.AnchorUnusable:
		return system
	case cert.ChallengeForged, cert.ChallengeUnknown, cert.ChallengeParty, cert.ChallengePurpose, cert.ChallengeExpired, cert.ChallengeEarly,
		cert.ChallengeRedeemed, cert.ChallengeMalformed:
		return Label{"ログインの画面に戻り、もう一度カードを選んでください。", "Go back to the login page and choose the card again."}
	}
	return admin
}

// places are the reasons for which a request is served nowhere.
var places = map[network.Reason]Sentence{
	network.ReasonHost:     {Label{"このアドレスでは、サービスを提供していません。", "Nothing is served at this address."}, Label{"アドレスを確かめてください。", "Check the address."}},
	network.ReasonOther:    {Label{"このアドレスは、別のネットワークのものです。", "This address belongs to another network."}, Label{"お使いのネットワークのアドレスから開いてください。", "Use the address of the network that you are in."}},
	network.ReasonSNI:      {Label{"接続先とアドレスが一致しません。", "The connection was made for another address."}, Label{"ブラウザをすべて閉じてから、開き直してください。", "Close all windows of the browser and open it again."}},
	network.ReasonPlain:    {Label{"暗号化されていない接続です。", "The connection isn't encrypted."}, Label{"https:// で始まるアドレスで開いてください。", "Use the address that begins with https://."}},
	network.ReasonProxy:    {Label{"この経路からは利用できません。", "This can't be reached in this way."}, admin},
	network.ReasonListener: {Label{"この入口は設定されていません。", "This entrance isn't configured."}, admin},
}

// Place says why a request is served nowhere.
func Place(r network.Reason) Sentence {
	if s, ok := places[r]; ok {
		return s
	}
	return general
}

var (
	formOld = Sentence{
		Label{"このフォームは使えません。", "This form doesn't work any more."},
		Label{"何も実行していません。画面を開き直してから、もう一度操作してください。", "Nothing was done. Open the page again and repeat."},
	}
	partyWrong = Sentence{Label{"サービスからのログインの要求に誤りがあります。", "The service asked for a login in a way that is wrong."}, operator}
	partyLate  = Sentence{Label{"サービスからのログインの要求が古くなっています。", "The service's request for a login is too old."}, again}
	linkOld    = Sentence{
		Label{"このリンクは期限が切れたか、別のログイン状態のものです。", "This link has expired, or belongs to another session."},
		Label{"ハブの画面を開き直して、もう一度サービスを選んでください。", "Open the hub's page again and choose the service once more."},
	}
	partyElsewhere = Sentence{
		Label{"サービスが求めた戻り先は、登録されていません。", "The service asks to be answered at an address that isn't registered."}, operator,
	}
	logoutWrong = Sentence{Label{"サービスからのログアウトの要求に誤りがあります。", "The service asked for a logout in a way that is wrong."}, operator}
	logoutOther = Sentence{
		Label{"サービスは、いまこのブラウザでログインしている人とは別のログインを終えようとしました。", "A service asked to end another login than the one in this browser."},
		Label{"何も終えていません。このブラウザのログインを終えるには、ハブの画面からログアウトしてください。", "Nothing has ended. To end the login of this browser, log out at the hub."},
	}
	logoutLate = Sentence{
		Label{"サービスからのログアウトの返事は、もう受け付けられません。", "A service's answer about a logout came too late, or once more."},
		Label{"この返事では何も変わりません。サービスにログインが残っているかは、そのサービスの画面で確かめてください。", "It changes nothing. Whether the service still holds you logged in, its own page says."},
	}
	broken = Sentence{Label{"ハブの中で問題が起きました。", "Something went wrong inside the hub."}, system}
)

// parties are the reasons of the OpenID and SAML providers that reach a page. The rest are the service's mistakes, which nobody at a browser can mend.
var parties = map[string]Sentence{
	"csrf":                         formOld,
	"internal":                     broken,
	"pushed_unknown":               partyLate,
	"pushed_expired":               partyLate,
	"pushed_network":               reasons[login.ReasonNetwork],
	"request_expired":              partyLate,
	"request_replayed":             reasons[login.ReasonAnswered],
	"waiting_unknown":              partyLate,
	"waiting_browser":              reasons[login.ReasonBrowser],
	"link_expired":                 linkOld,
	"link_session":                 linkOld,
	"hint_of_another":              logoutWrong,
	"logout_party_missing":         logoutWrong,
	"logout_redirect_unregistered": logoutWrong,
	"session_of_another":           logoutOther,
	"answer_unasked":               logoutLate,
	"answer_late":                  logoutLate,
	"redirect_unregistered":        partyElsewhere,
	"consumer_unregistered":        partyElsewhere,
}

// Party says why an OpenID or SAML request can't be answered to its relying party.
func Party(reason string) Sentence {
	if s, ok := parties[reason]; ok {
		return s
	}
	return partyWrong
}

// Form is the sentence about a form of another session.
func Form() Sentence { return formOld }

// Broken is the sentence about what failed inside.
func Broken() Sentence { return broken }
