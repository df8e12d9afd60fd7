package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/policies"
)

// visitor is a browser without scripts at the demonstration's pages.
type visitor struct {
	t      *testing.T
	client *http.Client
	base   string
}

func (v visitor) do(method, path string, fields url.Values) (status int, at, body string) {
	v.t.Helper()
	var in io.Reader
	if fields != nil {
		in = strings.NewReader(fields.Encode())
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), patient)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, v.base+path, in)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "text/html")
	if fields != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, resp.Request.URL.Path, string(text)
}

func (v visitor) get(path string) string {
	v.t.Helper()
	status, _, body := v.do(http.MethodGet, path, nil)
	if status != http.StatusOK {
		v.t.Fatalf("GET %s: %d\n%s", path, status, body)
	}
	return body
}

var field = regexp.MustCompile(`<input type="(?:hidden|checkbox)"(?: id="[a-z]*")? name="([a-z]+)" value="([^"]*)"`)

// press sends the form of a page that posts to path, and gives the page that it ends at.
func (v visitor) press(page, path string) (at, body string) {
	v.t.Helper()
	_, after, ok := strings.Cut(v.get(page), `<form method="post" action="`+path+`"`)
	if !ok {
		v.t.Fatalf("%s has no form for %s", page, path)
	}
	form, _, _ := strings.Cut(after, "</form>")
	fields := url.Values{}
	for _, m := range field.FindAllStringSubmatch(form, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	status, at, body := v.do(http.MethodPost, path, fields)
	if status != http.StatusOK {
		v.t.Fatalf("POST %s: %d\n%s", path, status, body)
	}
	return at, body
}

// formOf gives the action and the hidden fields of the first form on a page whose action has the suffix.
func (v visitor) formOf(body, suffix string) (action string, fields url.Values) {
	v.t.Helper()
	m := regexp.MustCompile(`(?s)<form method="post" action="([^"]*` + regexp.QuoteMeta(suffix) + `)"(.*?)</form>`).FindStringSubmatch(body)
	if m == nil {
		v.t.Fatalf("no form for %s:\n%s", suffix, body)
	}
	fields = url.Values{}
	for _, f := range regexp.MustCompile(`<input type="hidden" name="([A-Za-z]+)" value="([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
		fields.Set(f[1], html.UnescapeString(f[2]))
	}
	return html.UnescapeString(m[1]), fields
}

// logIn logs in to the demonstration at an address with a test card, by the page that plays it.
func (i *install) logIn(t *testing.T, address, card string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(i.path("card/web-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	v := visitor{t: t, client: &http.Client{Jar: jar, Transport: &http.Transport{
		DialContext: testcard.Dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, base: address}
	login := v.get("/")
	begin, fields := v.formOf(login, "/begin")
	_, _, body := v.do(http.MethodPost, begin, fields)
	on := regexp.MustCompile(`href="(https://sandbox\.localhost:[0-9]+)(/card\?to=[^"]+)"`).FindStringSubmatch(body)
	if on == nil {
		t.Fatalf("no way on to a page that plays a card:\n%s", body)
	}
	played := v
	played.base = on[1]
	_, fields = v.formOf(played.get(html.UnescapeString(on[2])), "/card")
	fields.Set("card", card)
	fields.Set("pin", testcard.PIN)
	status, _, body := played.do(http.MethodPost, "/card", fields)
	if status != http.StatusOK {
		t.Fatalf("the card wasn't played: %d\n%s", status, body)
	}
	back := regexp.MustCompile(`href="(` + regexp.QuoteMeta(address) + `[^"]*/return[^"]*)"`).FindStringSubmatch(body)
	if back == nil {
		t.Fatalf("no way back to the login:\n%s", body)
	}
	if status, _, body = v.do(http.MethodGet, strings.TrimPrefix(html.UnescapeString(back[1]), address), nil); status != http.StatusOK {
		t.Fatalf("not logged in: %d\n%s", status, body)
	}
	return v
}

// The three things to try in the demonstration, by its pages: each really happens, and its story ends well.
func TestTrials(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	orgs, _ := sampleFiles(t, perOrg, few...)
	file := i.path("orgs.csv")
	write(t, file, orgs)
	p := i.start(t, "demo", "--headless", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--orgs", file, "--people-per-org", "4", "--hold", "10m")
	box := newControl(t, p.match(t, `sandbox http://([0-9.:]+)/`))
	address := p.match(t, `hub (https://[a-z0-9.:]+)`)
	p.match(t, `(秒 / seconds)`)
	v := i.logIn(t, address, "planner")
	for _, kind := range []string{"leaver", "transfer", "fault"} {
		story, _ := v.press("/try/"+kind, "/try/"+kind)
		var body string
		for deadline := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
			if body = v.get(story); !strings.Contains(body, "進行中") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s never ends:\n%s", kind, body)
			}
		}
		for _, want := range map[string][]string{
			"leaver":   {"すべての SaaS から外れました", "退職者の停止", "アカウントが停止した", "SaaS の応答"},
			"transfer": {"に移しました", "方針が承認した", "から外れた", "に入った", "今日付けの異動"},
			"fault":    {"アカウントはちょうど 1 件です", "503", "応答なし", "アカウントができた", "障害を仕込んだ"},
		}[kind] {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the story lacks %q:\n%s", kind, want, body)
			}
		}
		if strings.Contains(body, "終わりませんでした") {
			t.Errorf("%s:\n%s", kind, body)
		}
	}
	for _, product := range []string{"atlassian", "jira", "slack"} {
		if state := box.state(t, policies.Product(product)); state.Counts.Duplicates != 0 {
			t.Errorf("%s: %+v", product, state.Counts)
		}
	}
	if mail := box.state(t, policies.ProductMail); len(mail.Mails) == 0 || !strings.Contains(mail.Mails[0].Subject, "計画が承認を待っています") {
		t.Errorf("nobody was told by mail: %+v", mail.Mails)
	}
	// The other administrator's side of an approval takes the other administrator's card.
	if other := i.logIn(t, address, "approver").get("/"); !strings.Contains(other, "承認 太郎") {
		t.Errorf("not the other administrator:\n%s", other)
	}
	if again := v.get("/"); !strings.Contains(again, "計画 花子") {
		t.Errorf("not the one who was there:\n%s", again)
	}
}
