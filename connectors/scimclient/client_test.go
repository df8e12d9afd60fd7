package scimclient_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// served is a scripted server: it answers by a function and keeps what was sent.
type served struct {
	answer func(r *http.Request, body string) (status int, text string)
	sent   []string // "METHOD path?query body"
}

func (s *served) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		body = string(b)
	}
	query := ""
	if r.URL.RawQuery != "" {
		query = "?" + r.URL.RawQuery
	}
	s.sent = append(s.sent, strings.TrimSpace(r.Method+" "+strings.TrimPrefix(r.URL.EscapedPath(), "/scim/")+query+" "+body))
	status, text := s.answer(r, body)
	h := http.Header{"Content-Type": {"application/scim+json;charset=utf-8"}}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r}, nil
}

func open(t testing.TB, d scimclient.Dialect, answer func(r *http.Request, body string) (int, string)) (*scimclient.Client, *served) {
	t.Helper()
	s := &served{answer: answer}
	out, err := outbound.New(outbound.Config{
		Vendor: "acme", BaseURL: "https://acme.invalid/scim", Transport: s, Quota: connectortest.Unlimited{}, Now: time.Now,
		Authorize: outbound.Bearer(outbound.NewSecret("token-123456")), Retries: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := scimclient.New(out, "acme.scim", d)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func always(status int, text string) func(*http.Request, string) (int, string) {
	return func(*http.Request, string) (int, string) { return status, text }
}

const (
	userSchema  = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
	groupSchema = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`
	listSchema  = `"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"]`
)

func userJSON(id string) string {
	return `{` + userSchema + `,"id":"` + id + `","userName":"u` + id + `"}`
}

func listJSON(total, start int, resources ...string) string {
	return fmt.Sprintf(`{%s,"totalResults":%d,"startIndex":%d,"itemsPerPage":%d,"Resources":[%s]}`, listSchema, total, start, len(resources), strings.Join(resources, ","))
}

func TestUserOnTheWire(t *testing.T) {
	d := scimclient.Generic()
	d.WorkAtTop = true
	c, s := open(t, d, always(201, userJSON("1")))
	if _, err := c.CreateUser(t.Context(), connectors.Account{
		Key: `k"<&>見本`, Email: "a@b.example", DisplayName: "見本 太郎", FamilyName: "見本", GivenName: "太郎", Title: "係長",
		Organization: "見本省", Department: "課", Language: "ja-JP", TimeZone: "Asia/Tokyo", Active: true,
	}); err != nil {
		t.Fatal(err)
	}
	var got, want any
	_, body, _ := strings.Cut(s.sent[0], "POST Users ")
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(s.sent[0], err)
	}
	_ = json.Unmarshal([]byte(`{
		"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"externalId": "k\"<&>見本", "userName": "a@b.example", "displayName": "見本 太郎", "title": "係長",
		"name": {"formatted": "見本 太郎", "familyName": "見本", "givenName": "太郎"},
		"emails": [{"value": "a@b.example", "type": "work", "primary": true}], "active": true,
		"preferredLanguage": "ja-JP", "timezone": "Asia/Tokyo", "organization": "見本省", "department": "課",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"organization": "見本省", "department": "課"}}`), &want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUserIsReadTolerantly(t *testing.T) {
	d := scimclient.Generic()
	d.JoinSchema, d.JoinAttribute = "urn:x:Ext:1.0", "accountId"
	c, _ := open(t, d, always(200, `{"schemas":["URN:ietf:params:scim:schemas:core:2.0:user"],"id":"1","username":"u","unknown":{"a":[1]},
		"emails":[{"value":"second@x.example"},{"value":"first@x.example","primary":true}],"name":{"formatted":"N"},
		"urn:x:ext:1.0":{"ACCOUNTID":"acc"},"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"D","manager":{"value":"9"}}}`))
	got, err := c.User(t.Context(), "1")
	want := connectors.Account{ID: "1", JoinID: "acc", UserName: "u", Email: "first@x.example", DisplayName: "N", Department: "D", Active: true}
	if err != nil || got != want {
		t.Errorf("%v: got %+v, want %+v", err, got, want)
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":           ``,
		"not JSON":        `{`,
		"an array":        `[]`,
		"null":            `null`,
		"no id":           `{` + userSchema + `,"userName":"u"}`,
		"no schema":       `{"id":"1","userName":"u"}`,
		"a group":         `{` + groupSchema + `,"id":"1","displayName":"g"}`,
		"number as id":    `{` + userSchema + `,"id":1}`,
		"active as text":  `{` + userSchema + `,"id":"1","active":"true"}`,
		"two values":      userJSON("1") + userJSON("2"),
		"bad UTF-8":       `{` + userSchema + `,"id":"1","userName":"` + "\xff" + `"}`,
		"a very long id":  userJSON(strings.Repeat("x", 600)),
		"an error as 200": `{"error":"no","traceId":"1"}`,
	} {
		c, _ := open(t, scimclient.Generic(), always(200, text))
		if _, err := c.User(t.Context(), "1"); connectors.KindOf(err) != connectors.KindProtocol {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorShapes(t *testing.T) {
	for _, tt := range []struct {
		name         string
		status       int
		body         string
		kind         connectors.Kind
		code, detail string
	}{
		{"status as text", 409, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"userName taken"}`, connectors.KindConflict, "uniqueness", "userName taken"},
		{"status as number", 400, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"missing_schema_element","status":400}`, connectors.KindInvalid, "", "missing_schema_element"},
		{"failure", 401, `{"error":"Not authorized","traceId":"ab12"}`, connectors.KindAuth, "", "Not authorized (trace ab12)"},
		{"Java exception", 400, `{"cause":null,"stackTrace":[{"lineNumber":1}],"responseStatus":"BAD_REQUEST","scimErrorType":"invalidValue","message":"Group name is immutable","suppressed":[]}`, connectors.KindInvalid, "invalidValue", "Group name is immutable"},
		{"SCIM 1.1", 400, `{"Errors":[{"description":"bad","code":400}]}`, connectors.KindInvalid, "", "bad"},
		{"SCIM 1.1 object", 400, `{"Errors":{"description":"bad","code":400}}`, connectors.KindInvalid, "", "bad"},
		{"something else", 404, `{"x":1}`, connectors.KindNotFound, "", ""},
		{"no object", 404, `[1]`, connectors.KindNotFound, "", ""},
	} {
		c, _ := open(t, scimclient.Generic(), always(tt.status, tt.body))
		_, err := c.User(t.Context(), "1")
		e, ok := err.(*connectors.Error) //nolint:errorlint // it must be unwrapped
		if !ok || e.Kind != tt.kind || e.Code != tt.code || e.Detail != tt.detail || e.Status != tt.status {
			t.Errorf("%s: %#v", tt.name, err)
		}
	}
}

func TestListGuards(t *testing.T) {
	good := func(r *http.Request, _ string) (int, string) {
		start, _ := strconv.Atoi(r.URL.Query().Get("startIndex"))
		var page []string
		for i := start; i < start+3 && i <= 7; i++ { // the server gives 3 a page though 100 were asked for
			page = append(page, userJSON(strconv.Itoa(i)))
		}
		return 200, listJSON(7, start, page...)
	}
	for _, tt := range []struct {
		name   string
		answer func(*http.Request, string) (int, string)
		kind   connectors.Kind // 0: no error
		seen   int
	}{
		{"small pages", good, 0, 7},
		{"nobody", always(200, listJSON(0, 1)), 0, 0},
		{"null list", always(200, `{`+listSchema+`,"totalResults":0,"Resources":null}`), 0, 0},
		{"the same page for ever", always(200, `{`+listSchema+`,"totalResults":1000,"Resources":[`+userJSON("1")+`]}`), connectors.KindProtocol, 1},
		{"another page", always(200, listJSON(1000, 5, userJSON("1"))), connectors.KindProtocol, 0},
		{"ends early", always(200, listJSON(1000, 1)), connectors.KindProtocol, 0},
		{"no total", always(200, `{`+listSchema+`,"Resources":[]}`), connectors.KindProtocol, 0},
		{"negative total", always(200, listJSON(-1, 1)), connectors.KindProtocol, 0},
		{"endless total", always(200, listJSON(2_000_000_000, 1, userJSON("1"))), connectors.KindProtocol, 0},
		{"no list", always(200, userJSON("1")), connectors.KindProtocol, 0},
		{"too many", always(200, listJSON(101, 1, strings.Split(strings.Repeat(userJSON("1")+"\x00", 101), "\x00")[:101]...)), connectors.KindProtocol, 0},
		{"no ids", always(200, listJSON(1, 1, `{}`)), connectors.KindProtocol, 0},
		{"a new page for ever", func() func(*http.Request, string) (int, string) {
			n := 0
			return func(r *http.Request, _ string) (int, string) {
				n++
				start, _ := strconv.Atoi(r.URL.Query().Get("startIndex"))
				return 200, listJSON(start+1, start, userJSON(strconv.Itoa(n)))
			}
		}(), connectors.KindProtocol, 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := scimclient.Generic()
			if tt.name == "a new page for ever" {
				d.MaxResources = 15
			}
			c, _ := open(t, d, tt.answer)
			seen := 0
			err := c.ListUsers(t.Context(), func(page []connectors.Account) error { seen += len(page); return nil })
			if connectors.KindOf(err) != tt.kind || (tt.kind == 0) != (err == nil) {
				t.Errorf("got %v, want kind %v", err, tt.kind)
			}
			if tt.kind == 0 && seen != tt.seen || seen > 20 {
				t.Errorf("saw %d users, want %d", seen, tt.seen)
			}
		})
	}
}

func TestFindUser(t *testing.T) {
	has := func(id, key, name string) string {
		return `{` + userSchema + `,"id":"` + id + `","externalId":"` + key + `","userName":"` + name + `"}`
	}
	withFilter, without := scimclient.Generic(), scimclient.Generic()
	without.UserFilters = nil
	for _, tt := range []struct {
		name    string
		dialect scimclient.Dialect
		by, val string
		answer  string
		id      string
		kind    connectors.Kind
	}{
		{"by key", withFilter, "externalId", "K1", listJSON(1, 1, has("1", "K1", "a")), "1", 0},
		{"by name without case", withFilter, "userName", "A@x", listJSON(1, 1, has("1", "", "a@X")), "1", 0},
		{"none", withFilter, "externalId", "K1", listJSON(0, 1), "", connectors.KindNotFound},
		{"key in other letters", withFilter, "externalId", "K1", listJSON(1, 1, has("1", "k1", "a")), "", connectors.KindNotFound},
		{"filter ignored", withFilter, "externalId", "K1", listJSON(2, 1, has("1", "K1", "a"), has("2", "K2", "b")), "", connectors.KindProtocol},
		{"two of one key", withFilter, "externalId", "K1", listJSON(2, 1, has("1", "K1", "a"), has("2", "K1", "b")), "", connectors.KindConflict},
		{"no filter", without, "externalId", "K2", listJSON(2, 1, has("1", "K1", "a"), has("2", "K2", "b")), "2", 0},
		{"other attribute", withFilter, "title", "x", listJSON(0, 1), "", connectors.KindInvalid},
		{"nothing", withFilter, "externalId", "", listJSON(0, 1), "", connectors.KindInvalid},
	} {
		c, s := open(t, tt.dialect, always(200, tt.answer))
		got, err := c.FindUser(t.Context(), tt.by, tt.val)
		if got.ID != tt.id || connectors.KindOf(err) != tt.kind || (tt.kind == 0) != (err == nil) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		if len(s.sent) > 0 && strings.Contains(s.sent[0], "filter=") != (len(tt.dialect.UserFilters) > 0) {
			t.Errorf("%s: sent %s", tt.name, s.sent[0])
		}
	}
	c, s := open(t, withFilter, always(200, listJSON(0, 1)))
	_, _ = c.FindUser(t.Context(), "userName", `a" or userName pr or x eq "<&\`)
	want := `filter=userName+eq+%22a%5C%22+or+userName+pr+or+x+eq+%5C%22%3C%26%5C%5C%22`
	if !strings.Contains(s.sent[0], want) {
		t.Errorf("a quote gets out of the filter: %s", s.sent[0])
	}
}

func TestDeactivation(t *testing.T) {
	patch, put, del := scimclient.Generic(), scimclient.Generic(), scimclient.Generic()
	put.Deactivate, put.UserPatch = scimclient.DeactivateByPut, false
	del.Deactivate = scimclient.DeactivateByDelete
	for _, tt := range []struct {
		dialect scimclient.Dialect
		want    []string
	}{
		{patch, []string{`PATCH Users/1%2F2 {"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`}},
		{put, []string{`GET Users/1%2F2`, `PUT Users/1%2F2 {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"1/2","userName":"u1/2","active":false}`}},
		{del, []string{`DELETE Users/1%2F2`}},
	} {
		c, s := open(t, tt.dialect, func(r *http.Request, _ string) (int, string) {
			if r.Method == http.MethodDelete || r.Method == http.MethodPatch {
				return 204, ""
			}
			return 200, userJSON("1/2")
		})
		if err := c.DeactivateUser(t.Context(), "1/2"); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, s.sent); diff != "" {
			t.Error(diff)
		}
	}
	for _, id := range []string{"", ".", "..", "a\x00b", strings.Repeat("x", 600)} {
		c, s := open(t, patch, always(204, ""))
		if err := c.DeactivateUser(t.Context(), id); connectors.KindOf(err) != connectors.KindInvalid || len(s.sent) != 0 {
			t.Errorf("id %q: %v, sent %v", id, err, s.sent)
		}
	}
}

func TestDialectsThatAreRefused(t *testing.T) {
	c, _ := open(t, scimclient.Generic(), always(200, ""))
	_ = c
	for name, change := range map[string]func(*scimclient.Dialect){
		"zero":       func(d *scimclient.Dialect) { *d = scimclient.Dialect{} },
		"page":       func(d *scimclient.Dialect) { d.PageMax = 0 },
		"batch":      func(d *scimclient.Dialect) { d.MemberBatch = 0 },
		"bounds":     func(d *scimclient.Dialect) { d.MaxGroupBody = 0 },
		"join":       func(d *scimclient.Dialect) { d.JoinSchema = "urn:x" },
		"no patch":   func(d *scimclient.Dialect) { d.UserPatch = false },
		"odd filter": func(d *scimclient.Dialect) { d.UserFilters = []string{"title"} },
	} {
		d := scimclient.Generic()
		change(&d)
		out, err := outbound.New(outbound.Config{
			Vendor: "acme", BaseURL: "https://acme.invalid", Transport: &served{}, Quota: connectortest.Unlimited{}, Now: time.Now,
			Authorize: outbound.Bearer(outbound.NewSecret("token-123456")),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := scimclient.New(out, "x", d); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestDiscover(t *testing.T) {
	c, _ := open(t, scimclient.Generic(), always(200, `{"patch":{"supported":true},"bulk":{"supported":false},"filter":{"supported":true,"maxResults":200},"sort":{"supported":false},"etag":{"supported":true}}`))
	got, err := c.Discover(t.Context())
	if want := (scimclient.ServiceProvider{Patch: true, Filter: true, ETag: true, FilterMax: 200}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	c, _ = open(t, scimclient.Generic(), always(200, `{"status":"ok"}`))
	if _, err := c.Discover(t.Context()); connectors.KindOf(err) != connectors.KindProtocol {
		t.Errorf("any JSON object passes for a service provider configuration: %v", err)
	}
}

func TestCreateIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := open(t, scimclient.Generic(), always(500, `{}`))
		_, err := c.CreateUser(t.Context(), connectors.Account{Email: "a@b.example"})
		_, groupErr := c.CreateGroup(t.Context(), "g")
		if connectors.KindOf(err) != connectors.KindAmbiguous || connectors.KindOf(groupErr) != connectors.KindAmbiguous || len(s.sent) != 2 {
			t.Errorf("%v, %v after %d requests", err, groupErr, len(s.sent))
		}
	})
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{userJSON("1"), listJSON(1, 1, userJSON("1")), `{` + groupSchema + `,"id":"1","displayName":"g","members":[{"value":"a"}]}`, `{"error":"x"}`, `[`, `null`} {
		f.Add(200, seed)
		f.Add(400, seed)
	}
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 200 || status > 599 {
			status = 200
		}
		c, s := open(t, scimclient.Generic(), always(status, text))
		if a, err := c.User(t.Context(), "1"); (err == nil) != (a.ID != "") {
			t.Errorf("user %+v with error %v", a, err)
		}
		_, _ = c.FindUser(t.Context(), "externalId", "k")
		_, _ = c.Members(t.Context(), "1")
		_ = c.AddMembers(t.Context(), "1", []string{"a"})
		if len(s.sent) > 64 {
			t.Errorf("%d requests", len(s.sent))
		}
	})
}
