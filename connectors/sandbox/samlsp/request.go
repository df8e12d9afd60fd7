package samlsp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// stamp writes a time as SAML does.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// message makes a message of this site.
func (p *Party) message(kind, id, to, issuer string) *etree.Element {
	el := etree.NewElement("samlp:" + kind)
	el.CreateAttr("xmlns:samlp", nsProtocol)
	el.CreateAttr("xmlns:saml", nsAssertion)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", stamp(p.Now()))
	el.CreateAttr("Destination", to)
	el.CreateElement("saml:Issuer").SetText(issuer)
	return el
}

// newID draws the ID of a message. It begins with a letter, as an ID must.
func (p *Party) newID() (string, error) {
	secret, err := p.Secret()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(secret))
	return "_" + hex.EncodeToString(sum[:20]), nil
}

// request makes an AuthnRequest as the product does (SAML 2.0 Core, section 3.4.1).
func (p *Party) request(id string, s entered, force bool) *etree.Element {
	h := p.opt.Habits
	el := p.message("AuthnRequest", id, s.SSOURL, s.entity)
	el.CreateAttr("ProtocolBinding", bindingPOST)
	el.CreateAttr("AssertionConsumerServiceURL", p.consumer)
	if force {
		el.CreateAttr("ForceAuthn", "true")
	}
	if h.NameID != "" {
		policy := el.CreateElement("samlp:NameIDPolicy")
		policy.CreateAttr("Format", h.NameID)
		policy.CreateAttr("AllowCreate", "true")
	}
	if h.Context && s.RequestedContext != "" {
		wish := el.CreateElement("samlp:RequestedAuthnContext")
		wish.CreateAttr("Comparison", "exact")
		wish.CreateElement("saml:AuthnContextClassRef").SetText(s.RequestedContext)
	}
	return el
}

// signs says whether this site's messages are signed.
func (p *Party) signs(s entered) bool {
	return p.opt.Key != nil && (p.opt.Habits.Signs == AlwaysSigns || p.opt.Habits.Signs == SignsIfTold && s.SignRequests)
}

func octets(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(el)
	return doc.WriteToBytes()
}

// redirectTo gives the address that carries a message by HTTP-Redirect (SAML 2.0 Bindings, section 3.4.4). name is SAMLRequest or SAMLResponse.
func (p *Party) redirectTo(to, name string, el *etree.Element, relay string, signed bool) (string, error) {
	raw, err := octets(el)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err = w.Write(raw); err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", err
	}
	query := name + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))
	if relay != "" {
		query += "&RelayState=" + url.QueryEscape(relay)
	}
	if signed {
		query += "&SigAlg=" + url.QueryEscape(algorithmRSA256)
		sum := sha256.Sum256([]byte(query))
		signature, err := p.opt.Key.Sign(p.opt.Random, sum[:], crypto.SHA256)
		if err != nil {
			return "", err
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	mark := "?"
	if strings.Contains(to, "?") {
		mark = "&"
	}
	return to + mark + query, nil
}

// inflate reads what HTTP-Redirect carries, within the bounds of a message.
func inflate(raw []byte) ([]byte, Reason) {
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxMessage+1))
	switch {
	case len(out) > maxMessage:
		return nil, MessageTooLarge
	case err != nil:
		return nil, MessageMalformed
	}
	return out, ""
}

// submit is the script of the page that posts a message; pages run no other.
const submit = "document.forms[0].submit()"

var postPage = template.Must(template.New("post").Parse(`<!DOCTYPE html>
<html lang="ja">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ログイン先へ移動しています | Going to the login service</title>
<link rel="stylesheet" href="/sandbox.css">
<link rel="icon" href="/avatar.svg" type="image/svg+xml">
</head>
<body>
<main>
<h1>ログイン先へ移動しています <span class="en" lang="en">Going to the login service</span></h1>
<form method="post" action="{{.To}}">
<input type="hidden" name="{{.Name}}" value="{{.Message}}">
{{if .Relay}}<input type="hidden" name="RelayState" value="{{.Relay}}">
{{end}}<p>自動で移動しないときは、ボタンを押してください。<span lang="en">Press the button if nothing happens.</span></p>
<button type="submit">続ける <span lang="en">Continue</span></button>
</form>
</main>
<script>` + submit + `</script>
</body>
</html>
`))

// post writes the page that carries a message by HTTP-POST (Bindings, section 3.5.4).
func (p *Party) post(w http.ResponseWriter, to, name string, el *etree.Element, relay string, signed bool) error {
	if signed {
		if err := sign(el, p.opt.Key, p.opt.Certificate); err != nil {
			return err
		}
	}
	raw, err := octets(el)
	if err != nil {
		return err
	}
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(submit))
	h := w.Header()
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; style-src 'self'; img-src 'self'; form-action %s://%s; script-src 'sha256-%s'; base-uri 'none'; frame-ancestors 'none'",
		u.Scheme, u.Host, base64.StdEncoding.EncodeToString(sum[:])))
	h.Set("Content-Type", "text/html; charset=utf-8")
	return postPage.Execute(w, map[string]string{"To": to, "Name": name, "Message": base64.StdEncoding.EncodeToString(raw), "Relay": relay})
}
