package jira

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

type free struct{}

func (free) Reserve(context.Context, connectors.Class, int) error { return nil }

type scripted func(r *http.Request, body string) (int, string)

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		body = string(b)
	}
	status, text := s(r, body)
	h := http.Header{"Content-Type": {"application/json;charset=UTF-8"}}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text)), ContentLength: -1, Request: r}, nil
}

func over(t testing.TB, s scripted) *Connector {
	t.Helper()
	c, err := New(Config{
		BaseURL: "https://site.invalid", Email: "hub@agency.example", Token: outbound.NewSecret("token-123456"), ServiceDeskID: "1",
		Transport: s, Quota: free{}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pageJSON(start int, last bool, values ...string) string {
	return fmt.Sprintf(`{"start":%d,"limit":50,"size":%d,"isLastPage":%v,"values":[%s]}`, start, len(values), last, strings.Join(values, ","))
}

func TestPagesGuard(t *testing.T) {
	org := func(n int) string { return fmt.Sprintf(`{"id":"%d","name":"n%d"}`, n, n) }
	many := make([]string, 51)
	for i := range many {
		many[i] = org(i + 1)
	}
	for _, tt := range []struct {
		name   string
		answer scripted
		seen   int // -1: an error of KindProtocol
	}{
		{"small pages", func(r *http.Request, _ string) (int, string) {
			start, _ := strconv.Atoi(r.URL.Query().Get("start"))
			if start == 6 {
				return 200, pageJSON(6, true, org(7))
			}
			return 200, pageJSON(start, false, org(start+1), org(start+2))
		}, 7},
		{"nothing", func(*http.Request, string) (int, string) { return 200, pageJSON(0, true) }, 0},
		{"empty page for ever", func(*http.Request, string) (int, string) { return 200, pageJSON(0, false) }, -1},
		{"the same page for ever", func(r *http.Request, _ string) (int, string) {
			start, _ := strconv.Atoi(r.URL.Query().Get("start"))
			return 200, pageJSON(start, false, org(1))
		}, -1},
		{"another page", func(*http.Request, string) (int, string) { return 200, pageJSON(5, false, org(1)) }, -1},
		{"a page too large", func(*http.Request, string) (int, string) { return 200, pageJSON(0, true, many...) }, -1},
		{"an entry without id", func(*http.Request, string) (int, string) { return 200, pageJSON(0, true, `{"name":"x"}`) }, -1},
		{"number as id", func(*http.Request, string) (int, string) { return 200, pageJSON(0, true, `{"id":1}`) }, -1},
		{"not JSON", func(*http.Request, string) (int, string) { return 200, `{"values":` }, -1},
		{"two documents", func(*http.Request, string) (int, string) { return 200, pageJSON(0, true) + `{}` }, -1},
	} {
		seen := 0
		err := over(t, tt.answer).ListGroups(t.Context(), func(page []connectors.Group) error { seen += len(page); return nil })
		if tt.seen < 0 && connectors.KindOf(err) != connectors.KindProtocol || tt.seen >= 0 && (err != nil || seen != tt.seen) {
			t.Errorf("%s: %v after %d entries", tt.name, err, seen)
		}
	}
}

func TestRemoveMembersNamesThem(t *testing.T) {
	var sent string
	c := over(t, func(r *http.Request, body string) (int, string) {
		sent = r.Method + " " + r.URL.Path + " " + strings.TrimSpace(body)
		return 204, ""
	})
	if err := c.RemoveMembers(t.Context(), "12", []string{"qm:a:b", "x", "x"}); err != nil {
		t.Fatal(err)
	}
	if want := `DELETE /rest/servicedeskapi/organization/12/user {"accountIds":["qm:a:b","x"]}`; sent != want {
		t.Errorf("sent %s, want %s", sent, want)
	}
}

func TestCreateAsksForTheConflictStatus(t *testing.T) {
	c := over(t, func(r *http.Request, body string) (int, string) {
		if r.URL.Query().Get("strictConflictStatusCode") != "true" || strings.TrimSpace(body) != `{"displayName":"見本","email":"a@b.example"}` {
			t.Errorf("sent %s with %s", r.URL, body)
		}
		return 201, `{"accountId":"qm:1","displayName":"見本","active":true}`
	})
	got, err := c.CreateAccount(t.Context(), connectors.Account{Email: "a@b.example", DisplayName: "見本", Key: "ignored"})
	if want := (connectors.Account{ID: "qm:1", Email: "a@b.example", DisplayName: "見本", Active: true}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFindRefusesToGuess(t *testing.T) {
	for _, tt := range []struct {
		name, users string
		want        connectors.Kind
	}{
		{"nobody", `[]`, connectors.KindNotFound},
		{"only a longer address", `[{"accountId":"1","accountType":"customer","emailAddress":"a@b.example.jp"}]`, connectors.KindNotFound},
		{"hidden address", `[{"accountId":"1","accountType":"customer","displayName":"A"}]`, connectors.KindAuth},
		{"two of one address", `[{"accountId":"1","accountType":"customer","emailAddress":"a@b.example"},{"accountId":"2","accountType":"customer","emailAddress":"A@b.example"}]`, connectors.KindConflict},
		{"an Atlassian account", `[{"accountId":"1","accountType":"atlassian","emailAddress":"a@b.example"}]`, connectors.KindConflict},
		{"no account id", `[{"accountType":"customer","emailAddress":"a@b.example"}]`, connectors.KindProtocol},
		{"no list", `{"values":[]}`, connectors.KindProtocol},
	} {
		c := over(t, func(*http.Request, string) (int, string) { return 200, tt.users })
		if got, err := c.FindAccount(t.Context(), connectors.Account{Email: "a@b.example"}); connectors.KindOf(err) != tt.want {
			t.Errorf("%s: %+v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestDisableReadsRefusals(t *testing.T) {
	for _, tt := range []struct {
		name               string
		revoke, user, desk int
		body               string
		want               connectors.Kind // 0: disabled
	}{
		{"done", 204, 500, 500, ``, 0},
		{"gone", 404, 404, 200, ``, 0},
		{"invalid because gone", 400, 404, 200, ``, 0},
		{"invalid because inactive", 400, 200, 500, `{"accountId":"qm:1","active":false}`, 0},
		{"invalid though active", 400, 200, 500, `{"accountId":"qm:1","active":true}`, connectors.KindInvalid},
		{"another account", 400, 200, 500, `{"accountId":"qm:2","active":false}`, connectors.KindProtocol},
		{"wrong site", 404, 404, 404, ``, connectors.KindProtocol},
		{"not allowed", 403, 200, 200, ``, connectors.KindAuth},
		{"not allowed to look", 400, 403, 200, ``, connectors.KindAuth},
	} {
		c := over(t, func(r *http.Request, _ string) (int, string) {
			switch {
			case r.Method == http.MethodPut:
				return tt.revoke, ""
			case strings.HasSuffix(r.URL.Path, "/user"):
				return tt.user, tt.body
			}
			return tt.desk, "{}"
		})
		err := c.DisableAccount(t.Context(), "qm:1")
		if connectors.KindOf(err) != tt.want || (err == nil) != (tt.want == 0) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestRestoreIsBelievedOnlyWhenSeen(t *testing.T) {
	c := over(t, func(r *http.Request, _ string) (int, string) {
		if r.Method == http.MethodPost {
			return 204, ""
		}
		return 200, `{"accountId":"qm:1","accountType":"customer","displayName":"A","emailAddress":"a@b.example","active":false}`
	})
	_, err := c.UpdateAccount(t.Context(), connectors.Account{ID: "qm:1", Email: "a@b.example", DisplayName: "A", Active: true})
	if e, ok := err.(*connectors.Error); !ok || e.Kind != connectors.KindInvalid || e.Code != "unsupported" { //nolint:errorlint // it must be unwrapped
		t.Errorf("got %v", err)
	}
}

func TestParseError(t *testing.T) {
	for body, want := range map[string][2]string{
		`{"errorMessage":"An account exists","i18nErrorMessage":{"i18nKey":"sd.x","parameters":[]}}`: {"sd.x", "An account exists"},
		`{"errorMessages":["one","two"],"errors":{"b":"2","a":"1"}}`:                                 {"", "one; two; a: 1; b: 2"},
		`{"message":"Client must be authenticated","status-code":401}`:                               {"", "Client must be authenticated"},
		`{"errorMessage":"x","errors":["odd"]}`:                                                      {"", "x"},
		`[]`:                                                                                         {"", ""},
		`{`:                                                                                          {"", ""},
	} {
		if code, detail := parseError(400, []byte(body)); code != want[0] || detail != want[1] {
			t.Errorf("%s: %q %q", body, code, detail)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, `[{"accountId":"1","accountType":"customer","emailAddress":"a@b.example"}]`)
	f.Add(200, pageJSON(0, true, `{"id":"1","name":"n"}`))
	f.Add(400, `{"errorMessage":"x","i18nErrorMessage":{"i18nKey":"k"}}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 400 || status > 499 {
			status = 200
		}
		sent := 0
		c := over(t, func(*http.Request, string) (int, string) { sent++; return status, text })
		if a, err := c.FindAccount(t.Context(), connectors.Account{Email: "a@b.example"}); (err == nil) != (a.ID != "") {
			t.Errorf("account %+v with error %v", a, err)
		}
		if g, err := c.FindGroup(t.Context(), "n"); (err == nil) != (g.ID != "") {
			t.Errorf("group %+v with error %v", g, err)
		}
		_, _ = c.CreateAccount(t.Context(), connectors.Account{Email: "a@b.example", DisplayName: "x"})
		_ = c.ListAccounts(t.Context(), func([]connectors.Account) error { return nil })
		if sent > 64 {
			t.Errorf("%d requests", sent)
		}
	})
}
