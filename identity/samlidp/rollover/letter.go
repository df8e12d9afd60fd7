package rollover

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// Text is a text in both languages.
type Text struct {
	JA string `json:"ja"`
	EN string `json:"en"`
}

// reasons are the reasons for people.
var reasons = map[Reason]Text{
	ReasonAccepted:    {"新しい鍵の署名を受け入れた", "it took what the next key signed"},
	ReasonTold:        {"新しい証明書を登録したと管理者が確認", "an administrator says that the certificate was entered"},
	ReasonSwitched:    {"この相手には、もう新しい鍵で署名している", "the next key signs towards it already"},
	ReasonFetched:     {"新しい鍵の載ったメタデータを取得済み", "it fetched metadata with the next key"},
	ReasonAutomatic:   {"OpenID Connect: 知らない鍵を見ると自分で取りに来る", "OpenID Connect: it fetches keys that it doesn't know"},
	ReasonHeld:        {"新しい鍵を試して失敗し、元に戻した", "the next key was tried, failed, and was taken back"},
	ReasonSettling:    {"新しい鍵を取得して間もない (6 時間待つ)", "it fetched the next key less than 6 hours ago"},
	ReasonStale:       {"新しい鍵を取得したが、7 日以上取りに来ていない", "it fetched the next key, but hasn't come back for 7 days"},
	ReasonOlder:       {"最後に取得したメタデータに新しい鍵がない", "what it fetched last is without the next key"},
	ReasonByHand:      {"証明書は手で登録する相手で、登録の連絡がない", "certificates are entered by hand there, and nobody said that it was done"},
	ReasonOneHeld:     {"証明書を一つしか持てない相手: 双方で同時に替える", "it holds one certificate: both sides have to change at the same time"},
	ReasonNeverBefore: {"専用のメタデータのアドレスから一度も取得していない", "it has never fetched metadata at its own address"},
}

// Text says the reason to people.
func (r Reason) Text() Text { return reasons[r] }

// Place is what a provider needs in one network.
type Place struct {
	Network  policies.Network
	EntityID string // ours
	Metadata string // the provider's own address of our metadata
}

// Letter is what an organization is told about its providers that aren't ready.
type Letter struct {
	Org         string // the organization's name; empty: not known
	Standings   []Standing
	Places      map[policies.RelyingPartyID][]Place
	Certificate []byte // DER, of the key that signs from now on or next
	Before      []byte // DER, of the key that it replaces; may be empty
	Emergency   bool   // the key before was lost or stolen, and the new one signs already
	From        string // who writes: a section, and how it is reached
	By          int64  // UTC, microseconds: when it has to be done
	At          int64  // UTC, microseconds: the letter's date
}

// maxFrom bounds who writes, in bytes.
const maxFrom = 300

// Text writes the letter, Japanese first: plain text, UTF-8, with the certificate in it.
func (l Letter) Text() (string, error) {
	cert, err := x509.ParseCertificate(l.Certificate)
	if err != nil {
		return "", fmt.Errorf("rollover: the certificate of the letter: %w", err)
	}
	if len(l.Standings) == 0 || strings.TrimSpace(l.From) == "" || len(l.From) > maxFrom || strings.ContainsAny(l.From, "\r\n") {
		return "", errors.New("rollover: a letter needs providers that it is about, and one line of at most 300 bytes that says who writes it")
	}
	w := &writer{}
	l.japanese(w, cert)
	w.line("%s", strings.Repeat("-", 72))
	l.english(w, cert)
	w.line("%s", strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate}))))
	return w.String(), nil
}

type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (l Letter) japanese(w *writer, cert *x509.Certificate) {
	subject := "シングルサインオン (SAML) の署名証明書の更新のお願い"
	if l.Emergency {
		subject = "【至急】シングルサインオン (SAML) の署名証明書を、いま入れ替えてください"
	}
	w.line("%s", subject)
	w.line("日付: %s", dayJA(l.At))
	w.line("宛先: %s", orElse(l.Org, "(所管の組織が登録されていません)"))
	w.line("差出人: %s\n", l.From)
	w.line("1. 何が変わるか")
	if l.Emergency {
		w.line("   ハブの署名鍵が失われたか、盗まれたおそれがあります。古い鍵の使用をやめ、新しい鍵で署名しています。")
		w.line("   古い証明書を信じている間、第三者が職員になりすませるおそれがあります。")
	} else {
		w.line("   ハブが SAML の応答に付ける署名の鍵を、新しいものに替えます。次の接続先の準備がまだ確認できていません。")
	}
	w.line("2. いつまでに")
	if l.Emergency {
		w.line("   いますぐ。新しい証明書を登録するまで、次の接続先にはログインできません。")
	} else {
		w.line("   %s までに。", dayJA(l.By))
	}
	w.line("3. していただくこと")
	for _, s := range l.Standings {
		w.line("   ■ %s (%s)%s", s.Name, s.ID, contact(s.Contact, "連絡先"))
		if !l.Emergency { // then it doesn't matter why
			w.line("     現在: %s", s.Reason.Text().JA)
		}
		for _, step := range l.steps(s) {
			w.line("     - %s", step.JA)
		}
		for _, p := range l.Places[s.ID] {
			w.line("     %s: 専用メタデータ %s", p.Network, p.Metadata)
			w.line("       (エンティティ ID %s は変わりません)", p.EntityID)
		}
	}
	w.line("4. 新しい証明書 (この手紙の末尾に PEM 形式)")
	w.line("   SHA-256 フィンガープリント: %s", fingerprint(l.Certificate))
	w.line("   有効期間: %s から %s まで", dayJA(cert.NotBefore.UnixMicro()), dayJA(cert.NotAfter.UnixMicro()))
	if len(l.Before) > 0 {
		w.line("   替わる証明書の SHA-256: %s", fingerprint(l.Before))
	}
	w.line("   登録の前に、このフィンガープリントを電話など別の経路で差出人に確かめてください。")
	w.line("5. 行わないとどうなるか")
	if l.Emergency {
		w.line("   ログインできないままで、古い証明書が残っていれば、なりすましを防げません。")
		w.line("   登録の後、接続先の全員のログインを一度終了させ、ハブの記録にないログインがないか、接続先の記録を調べてください。")
	} else {
		w.line("   古い鍵が退いた時点から、職員は上の接続先にログインできなくなります。接続先の中のデータは変わりません。")
	}
	w.line("6. 問い合わせ先: %s", l.From)
	w.line("   この手紙に、パスワードなどの秘密をお送りいただくことはありません。")
}

func (l Letter) english(w *writer, cert *x509.Certificate) {
	subject := "Please renew the signing certificate of single sign-on (SAML)"
	if l.Emergency {
		subject = "URGENT: replace the signing certificate of single sign-on (SAML) now"
	}
	w.line("%s", subject)
	w.line("Date: %s", dayEN(l.At))
	w.line("To: %s", orElse(l.Org, "(no organization is registered as the owner)"))
	w.line("From: %s\n", l.From)
	w.line("1. What changes")
	if l.Emergency {
		w.line("   The hub's signing key was lost or may have been stolen. It is used no more; a new key signs.")
		w.line("   Whoever believes the old certificate may be deceived by somebody who pretends to be your staff.")
	} else {
		w.line("   The key that signs the hub's SAML responses is replaced. These service providers aren't known to be ready.")
	}
	w.line("2. Until when")
	if l.Emergency {
		w.line("   Now. Nobody can log in at these service providers until they hold the new certificate.")
	} else {
		w.line("   Until %s.", dayEN(l.By))
	}
	w.line("3. What to do")
	for _, s := range l.Standings {
		w.line("   * %s (%s)%s", s.Name, s.ID, contact(s.Contact, "contact"))
		if !l.Emergency {
			w.line("     Now: %s", s.Reason.Text().EN)
		}
		for _, step := range l.steps(s) {
			w.line("     - %s", step.EN)
		}
		for _, p := range l.Places[s.ID] {
			w.line("     %s: your metadata address %s", p.Network, p.Metadata)
			w.line("       (the entity id %s stays)", p.EntityID)
		}
	}
	w.line("4. The new certificate (PEM, at the end of this letter)")
	w.line("   SHA-256 fingerprint: %s", fingerprint(l.Certificate))
	w.line("   Valid from %s to %s", dayEN(cert.NotBefore.UnixMicro()), dayEN(cert.NotAfter.UnixMicro()))
	if len(l.Before) > 0 {
		w.line("   SHA-256 of the one that it replaces: %s", fingerprint(l.Before))
	}
	w.line("   Before you enter it, check the fingerprint with the sender by another way, such as the telephone.")
	w.line("5. What happens otherwise")
	if l.Emergency {
		w.line("   Nobody can log in; and where the old certificate is still believed, impersonation can't be prevented.")
		w.line("   After the change end all sessions there, and look in its log for logins that the hub doesn't know of.")
	} else {
		w.line("   From the moment the old key retires, nobody can log in at the service providers above. What is stored there stays.")
	}
	w.line("6. Questions: %s", l.From)
	w.line("   Nobody will ask you for a password or another secret in answer to this letter.\n")
}

// steps are what has to be done at a provider, by how it takes keys, and where that is entered, by its product.
func (l Letter) steps(s Standing) []Text {
	var out []Text
	switch {
	case l.Emergency && s.Intake == sp.IntakeMetadata:
		out = append(out, Text{
			"下の専用アドレスから、いますぐメタデータを読み直し、古い証明書がなくなったことを確かめる",
			"Read our metadata anew from the address below now, and make sure that the old certificate is gone",
		})
	case s.Intake == sp.IntakeMetadata:
		out = append(out, Text{
			"下の専用アドレスからメタデータを読み直し、毎日自動で読み直す設定になっているか確かめる (取得すると、こちらに届いたことが分かります)",
			"Read our metadata anew from the address below, and make sure that it is read every day (we see that it was fetched)",
		})
	case l.Emergency:
		out = append(out, Text{"古い証明書を外し、新しい証明書に替える", "Take the old certificate out and enter the new one"})
	case s.Intake == sp.IntakeCertificates:
		out = append(out, Text{
			"新しい証明書を、いまの証明書に加えて登録する (いまのものは消さない)。済んだら差出人に連絡する",
			"Enter the new certificate beside the one of today (don't remove that). Then tell the sender",
		})
	default:
		out = append(out, Text{
			"証明書を一つしか登録できないので、差出人と日時を決め、その時刻に双方で同時に替える。それまでは登録しない",
			"It holds one certificate: agree on a time with the sender, and change it at that minute on both sides. Don't enter it before",
		})
	}
	for _, p := range s.Products {
		if place, ok := places[p]; ok {
			out = append(out, place)
		}
	}
	return out
}

// places says where a product keeps the certificate, as far as its maker's documents say; menus move.
var places = map[policies.Product]Text{
	policies.ProductAtlassian: {
		"Atlassian: admin.atlassian.com の [セキュリティ] にある SAML の設定の「公開 x509 証明書」。メニューの名前は変わることがあります",
		`Atlassian: "Public x509 certificate" of the SAML configuration under Security at admin.atlassian.com. Names of menus may have changed`,
	},
	policies.ProductJira: {
		"Jira Service Management (ポータルのみの顧客): 顧客向け SAML の設定の「公開 x509 証明書」。メニューの名前は変わることがあります",
		`Jira Service Management (portal-only customers): "Public x509 certificate" of the customers' SAML configuration. Names of menus may have changed`,
	},
	policies.ProductSlack: {
		"Slack: 管理画面の [認証] にある SAML の設定の「X.509 証明書」。メニューの名前は変わることがあります",
		`Slack: "X.509 Certificate" of the SAML configuration under Authentication. Names of menus may have changed`,
	},
}

func contact(c sp.Contact, word string) string {
	text := strings.TrimSpace(c.Name + " " + c.Mail)
	if text == "" {
		return ""
	}
	return fmt.Sprintf("  %s: %s", word, text)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// dayJA and dayEN write a date in Japan.
func dayJA(at int64) string { return time.UnixMicro(at).In(jst.Zone).Format("2006年1月2日") }

func dayEN(at int64) string { return time.UnixMicro(at).In(jst.Zone).Format("2 January 2006 (JST)") }

// fingerprint writes SHA-256 as products show it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	text := strings.ToUpper(hex.EncodeToString(sum[:]))
	var parts []string
	for i := 0; i < len(text); i += 2 {
		parts = append(parts, text[i:i+2])
	}
	return strings.Join(parts, ":")
}
