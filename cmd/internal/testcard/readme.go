package testcard

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
)

// Word says in both languages what a card is.
func (h Holder) Word() string { return h.About + " / " + h.AboutEN }

// Whose says whose a card is.
func (h Holder) Whose() string {
	if h.Name == "" {
		return string(h.Org) + " " + h.Staff
	}
	return h.OrgName + " " + h.Name
}

// readme tells what the files are and how a browser gets them.
func (s *Set) readme(o Options) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return fmt.Errorf("testcard: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# 試験カード (デモ専用) / test cards, for the demonstration alone

本物のマイナンバーカードではありません。架空の認証局 (JPKI-TEST) が発行したもので、本番のプロファイルはすべて拒みます。
No real My Number Cards: a made-up authority (JPKI-TEST) issued them, and a production profile refuses all of them.

| カード / card | 持ち主 / holder | 説明 / what | ファイル / file |
|---|---|---|---|
`)
	for _, c := range s.Cards {
		fmt.Fprintf(&b, "| %s | %s | %s | cards/%s.p12 |\n", c.ID, c.Whose(), c.Word(), c.ID)
	}
	fmt.Fprintf(&b, `
PKCS#12 のパスワード / password of the PKCS #12 files: %[1]s
代役の画面での暗証番号 / PIN on the page that plays the card: %[2]s

## 1. https を信用させる / let a browser trust https

`+"`web-ca.pem`"+` は、このフォルダーのためだけに作った認証局の証明書です。localhost とその下の名前しか証明できず (名前の制約)、その秘密鍵は残していません。
用が済んだら取り除いてください。
`+"`web-ca.pem`"+` is the certificate of an authority made for this folder. It can vouch for localhost and names below it alone (name constraints), and its
private key was not kept. Remove it when you are done.

- Chromium (Linux): `+"`certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n musubi-demo -i %[3]s/web-ca.pem`"+`
  取り除く / remove: `+"`certutil -d sql:$HOME/.pki/nssdb -D -n musubi-demo`"+`
- Firefox: 設定 → プライバシーとセキュリティ → 証明書を表示 → 認証局証明書 → インポート / Settings → Privacy & Security → View Certificates → Authorities → Import
- Windows (Edge, Chrome): `+"`certutil -user -addstore Root web-ca.pem`"+`; 取り除く / remove: certmgr.msc
- macOS (Safari, Chrome): `+"`security add-trusted-cert -k ~/Library/Keychains/login.keychain-db web-ca.pem`"+`
- curl: `+"`curl --cacert %[3]s/web-ca.pem https://%[4]s/`"+`

## 2. カードを使う / use a card

取り込まなくても、ログイン画面から開く「試験カードの代役」の画面でカードを選び、暗証番号を入れれば使えます。
Nothing has to be imported: the page that plays the card, which login opens, lets you choose a card and type its PIN.

ブラウザーに取り込む場合 / to import one into a browser instead:

- Chromium (Linux): `+"`pk12util -d sql:$HOME/.pki/nssdb -i %[3]s/cards/%[5]s.p12 -W %[1]s`"+`
- Firefox: 証明書を表示 → あなたの証明書 → インポート / View Certificates → Your Certificates → Import
- Windows, macOS: ファイルを開く / open the file
- openssl: `+"`openssl pkcs12 -in %[3]s/cards/%[5]s.p12 -passin pass:%[1]s -info -noout`"+`

## フォルダー / the folder

| file | what |
|---|---|
| server.pem | https の証明書と鍵 / certificate and key for https: %[6]s |
| anchors.pem | 架空の認証局 (利用者証明用と署名用、二世代) / the made-up authorities, two generations each |
| ca/ | その鍵 / its keys |
| cards/ | カードの証明書・鍵・PKCS#12 / certificates, keys, PKCS #12 |
| crl/ | 失効リスト。23 時間有効で、デモが動いている間は作り直される / revocation lists, fresh for 23 hours and made again while the demonstration runs |
| cards.json | 一覧 / the list |
`, Password, PIN, dir, o.Hosts[0], s.example(), strings.Join(o.Hosts, ", "))
	return write(s.Files.Readme, b.Bytes(), 0o644)
}

// example is a card that works.
func (s *Set) example() string {
	for _, c := range s.Cards {
		if c.Condition == Good && !c.Unlinked {
			return c.ID
		}
	}
	return "ID"
}
