package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// browse sends a request to the handler as a listener would.
func (f *fixture) browse(method, path, body string, header map[string]string) *http.Response {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8081"
	for k, v := range header {
		r.Header.Set(k, v)
	}
	if h := header["Host"]; h != "" {
		r.Host = h
	}
	w := httptest.NewRecorder()
	f.s.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var jsonBody = map[string]string{"Content-Type": "application/json"}

func TestControlDocuments(t *testing.T) {
	f := newFixture(t)
	id := f.user(1)
	f.user(2)
	gid := f.scim(201, "POST", "/Groups", groupDoc("課", id)).str("id")
	f.scim(200, "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "active", "value": false}))
	account := f.scim(200, "GET", "/Users/"+id, nil).str("urn:scim:schemas:extension:atlassian-external:1.0", "atlassianAccountId")

	var st struct {
		App      string `json:"app"`
		Accounts []doc  `json:"accounts"`
		Groups   []doc  `json:"groups"`
		Counts   doc    `json:"counts"`
	}
	if err := json.NewDecoder(f.browse("GET", "/_control/state?app=atlassian", "", nil).Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	var one doc
	for _, a := range st.Accounts {
		if a["id"] == id {
			one = a
		}
	}
	got, _ := json.Marshal([]any{one, st.Groups, st.Counts, st.App})
	want, _ := json.Marshal([]any{
		doc{
			"id": id, "account_id": account, "external_id": "P001", "user_name": "user001@example.go.jp", "email": "user001@example.go.jp",
			"display_name": "試験 001", "active": false, "groups": []string{"課"},
		},
		[]doc{{"id": gid, "name": "課", "members": []string{id}}},
		doc{"accounts": 2, "active": 1, "groups": 1, "memberships": 1, "duplicates": 0},
		"atlassian",
	})
	if string(got) != string(want) {
		t.Errorf("state\n%s\nwant\n%s", got, want)
	}
	summary := body(t, f.browse("GET", "/_control/state?app=jira&summary=1", "", nil))
	if strings.TrimSpace(summary) != `{"app":"jira","counts":{"accounts":0,"active":0,"groups":0,"memberships":0,"duplicates":0}}` {
		t.Errorf("summary %s", summary)
	}
	if r := f.browse("GET", "/_control/state?app=none", "", nil); r.StatusCode != 400 {
		t.Errorf("unknown app: %d", r.StatusCode)
	}
	if r := f.browse("GET", "/_control/nothing", "", nil); r.StatusCode != 404 {
		t.Errorf("unknown document: %d", r.StatusCode)
	}

	if r := f.browse("POST", "/_control/faults", `[{"target":"jira","kind":"reset","rate":0.5,"count":2}]`, jsonBody); r.StatusCode != 201 {
		t.Errorf("faults: %d %s", r.StatusCode, body(t, r))
	}
	if r := f.browse("POST", "/_control/faults", `{"target":"atlassian","kind":"html"}`, jsonBody); r.StatusCode != 201 {
		t.Errorf("fault: %d %s", r.StatusCode, body(t, r))
	}
	list := strings.TrimSpace(body(t, f.browse("GET", "/_control/faults", "", nil)))
	if list != `{"rules":[{"id":1,"target":"jira","kind":"reset","rate":0.5,"count":2,"fired":0},{"id":2,"target":"atlassian","kind":"html","fired":0}]}` {
		t.Errorf("faults %s", list)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"target":"jira","kind":"reset","colour":1}`, `{"target":"jira","kind":"reset"} {}`, `],[`} {
		if r := f.browse("POST", "/_control/faults", bad, jsonBody); r.StatusCode != 400 {
			t.Errorf("%q: %d", bad, r.StatusCode)
		}
	}
	if r := f.browse("DELETE", "/_control/faults", "", nil); r.StatusCode != 204 || len(f.s.Faults()) != 0 {
		t.Errorf("delete: %d", r.StatusCode)
	}
	if r := f.browse("POST", "/_control/reset", "{}", jsonBody); r.StatusCode != 204 {
		t.Errorf("reset: %d", r.StatusCode)
	}
	if c, _ := f.s.Counts("atlassian"); c != (sandbox.Counts{}) || len(f.s.Quotas()) != 0 {
		t.Errorf("after reset: %+v", c)
	}
	f.user(1)
}

func TestControlRefusesOtherSites(t *testing.T) {
	f := newFixture(t)
	f.user(1)
	for name, h := range map[string]map[string]string{
		"origin of another site": {"Content-Type": "application/json", "Origin": "http://evil.example"},
		"cross-site fetch":       {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
		"another local port":     {"Content-Type": "application/json", "Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9999"},
		"opaque origin":          {"Content-Type": "application/json", "Origin": "null"},
		"rebound name":           {"Content-Type": "application/json", "Host": "evil.example:8081", "Origin": "http://evil.example:8081"},
	} {
		for _, m := range [][2]string{{"POST", "/_control/reset"}, {"DELETE", "/_control/faults"}} {
			if r := f.browse(m[0], m[1], "{}", h); r.StatusCode != 403 {
				t.Errorf("%s: %s %s gave %d", name, m[0], m[1], r.StatusCode)
			}
		}
	}
	for _, path := range []string{"/", "/_control/state?app=jira"} {
		if r := f.browse("GET", path, "", map[string]string{"Host": "evil.example"}); r.StatusCode != 403 {
			t.Errorf("%s under a foreign name gave %d", path, r.StatusCode)
		}
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		if r := f.browse("POST", "/_control/reset", "{}", map[string]string{"Content-Type": media}); r.StatusCode != 415 {
			t.Errorf("%q gave %d", media, r.StatusCode)
		}
	}
	if c, _ := f.s.Counts("atlassian"); c.Accounts != 1 {
		t.Error("a refused reset reset")
	}
	for _, h := range []map[string]string{
		{"Content-Type": "application/json", "Origin": "http://localhost:8081", "Sec-Fetch-Site": "same-origin"},
		{"Content-Type": "application/json; charset=utf-8", "Host": "[::1]:8081"},
	} {
		if r := f.browse("POST", "/_control/reset", "{}", h); r.StatusCode != 204 {
			t.Errorf("%v gave %d", h, r.StatusCode)
		}
	}
}

func TestPages(t *testing.T) {
	f := newFixture(t)
	evil := `<script>alert(1)</script>`
	id := f.scim(201, "POST", "/Users", with(userDoc(1), doc{"displayName": evil})).str("id")
	for n := range 60 {
		f.customer(n)
	}
	gid := f.scim(201, "POST", "/Groups", groupDoc("総務課", id)).str("id")
	account := f.desk(201, "POST", "/customer", doc{"email": "x@city.example.lg.jp", "displayName": "窓口 花子"}).str("accountId")
	f.desk(201, "POST", "/organization", doc{"name": "例示市"})
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{account}})
	for path, want := range map[string]string{
		"/":                               "有効なアカウント",
		"/atlassian/":                     "user001@example.go.jp",
		"/atlassian/?q=user001":           "全 1 件中 1–1 件",
		"/atlassian/?q=nobody":            "0 件",
		"/atlassian/groups":               "総務課",
		"/atlassian/groups/" + gid:        "user001@example.go.jp",
		"/jira/":                          "全 61 件中 1–50 件",
		"/jira/?page=2":                   "全 61 件中 51–61 件",
		"/jira/?q=%E8%8A%B1%E5%AD%90":     "窓口 花子",
		"/jira/organizations":             "例示市",
		"/jira/organizations?q=%E4%BE%8B": "例示市",
		"/jira/organizations/1":           "窓口 花子",
	} {
		r := f.browse("GET", path, "", nil)
		page := body(t, r)
		if r.StatusCode != 200 || !strings.Contains(page, want) {
			t.Errorf("%s: %d, without %q", path, r.StatusCode, want)
		}
		if strings.Contains(page, evil) || strings.Contains(page, "<script") || strings.Contains(page, " style=") || strings.Contains(page, "http://") || strings.Contains(page, "https://") {
			t.Errorf("%s holds a script, an inline style or an outside address", path)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if !strings.Contains(page, `<html lang="ja">`) || strings.Count(page, "<h1") != 1 || strings.Count(page, "<main") != 1 {
			t.Errorf("%s: not one heading and main in Japanese", path)
		}
	}
	for path, status := range map[string]int{
		"/nothing": 404, "/atlassian": 301, "/atlassian/groups/none": 404, "/jira/organizations/9": 404, "/jira/organizations/x": 404,
		"/sandbox.css": 200, "/avatar.svg": 200,
	} {
		if r := f.browse("GET", path, "", nil); r.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, status)
		}
	}
	if r := f.browse("POST", "/jira/", "", nil); r.StatusCode != 405 {
		t.Errorf("POST on a page: %d", r.StatusCode)
	}
}
