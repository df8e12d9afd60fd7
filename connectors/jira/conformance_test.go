package jira_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/jira"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const owner = "hub@agency.example"

func account(n int) connectors.Account {
	email := fmt.Sprintf("hanako.sample%03d@city.example", n)
	return connectors.Account{Email: email, UserName: email, DisplayName: fmt.Sprintf("見本 花子 %03d", n), Active: true}
}

func options(now func() time.Time) sandbox.Options {
	return sandbox.Options{
		Now: now, Seed: 7, QuotaScale: 1000, BaseURL: "http://sandbox.invalid",
		Atlassian: sandbox.AtlassianOptions{DirectoryID: "d", Token: connectortest.Token + "2", AllowUnverified: true},
		Jira:      sandbox.JiraOptions{Email: owner, Token: connectortest.Token, ServiceDeskID: "1"},
	}
}

func config(rt http.RoundTripper) jira.Config {
	return jira.Config{
		BaseURL: "http://sandbox.invalid/jira", Email: owner, Token: outbound.NewSecret(connectortest.Token), ServiceDeskID: "1",
		Transport: rt, Quota: connectortest.Unlimited{}, Now: time.Now, WebhookSecret: outbound.NewSecret(hookSecret),
	}
}

// hookSecret signs the sample deliveries.
const hookSecret = "conformance webhook secret"

func post(suffix string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, suffix)
	}
}

// delivery is a signed webhook.
func delivery(id string, retry int, body []byte) connectors.Delivery {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write(body)
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set("X-Hub-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	h.Set("X-Atlassian-Webhook-Identifier", id)
	if retry > 0 {
		h.Set("X-Atlassian-Webhook-Retry", strconv.Itoa(retry))
	}
	return connectors.Delivery{Header: h, Body: body}
}

func harness(t *testing.T) connectortest.Harness {
	var current *sandbox.Sandbox
	ground := func() []connectortest.GroundItem {
		items, err := groundItems(current)
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	return connectortest.Harness{
		New: func(env connectortest.Env) (connectors.Connector, error) {
			box, err := sandbox.New(options(env.Now))
			if err != nil {
				return nil, err
			}
			current = box
			t.Cleanup(func() { box.Close() })
			cfg := config(env.Wire(box.Transport()))
			cfg.Quota, cfg.Now, cfg.Logger = env.Quota, env.Now, env.Logger
			return jira.New(cfg)
		},
		Account:        account,
		Restores:       true,
		MissingID:      "qm:00000000-0000-4000-8000-000000000000:000000",
		ListNeedsGroup: true,
		Deliver: func(now time.Time) (first, retry connectors.Delivery) {
			body := fmt.Appendf(nil, `{"timestamp":%d,"webhookEvent":"comment_created","comment":{"id":"10000","self":"https://x/rest/api/2/issue/10001/comment/10000","body":"x","jsdPublic":true,"author":{"accountId":"a"}}}`, now.UnixMilli())
			return delivery("id-1", 0, body), delivery("id-1", 1, body)
		},
		Forge: func(_ time.Time, _ connectors.Delivery, body []byte) connectors.Delivery {
			return delivery("id-2", 0, body)
		},
		MaxAge: connectors.MaxDeliveryAge, TooLong: 5 << 20,
		Work: &connectortest.Work{
			Type: "1", Next: "Waiting for customer", Unreachable: "Closed", Makes: post("/servicedeskapi/request"), Comments: post("/comment"), Moves: post("/transitions"),
			Ground: ground,
		},
	}
}

// groundItems reads the work items of the ground truth.
func groundItems(box *sandbox.Sandbox) ([]connectortest.GroundItem, error) {
	state, err := box.State(sandbox.Jira)
	if err != nil {
		return nil, err
	}
	var items []connectortest.GroundItem
	for _, x := range state.Tickets {
		g := connectortest.GroundItem{ID: x.ID, Summary: x.Summary, Status: x.Status, Reporter: x.Reporter, Participants: x.Participants}
		for _, m := range x.Comments {
			if !strings.HasPrefix(m.Body, "[^") { // the comment that comes with a file
				g.Comments = append(g.Comments, connectortest.GroundComment{Body: m.Body, Public: m.Public})
			}
		}
		for _, f := range x.Files {
			g.Files = append(g.Files, connectortest.GroundFile{Name: f.Name, Size: f.Size, Public: f.Public})
		}
		items = append(items, g)
	}
	return items, nil
}

func TestConformance(t *testing.T) { connectortest.Run(t, harness(t)) }

func TestConformanceNoticesPlantedBugs(t *testing.T) { connectortest.RunPlanted(t, harness(t)) }

func open(t *testing.T) (*jira.Connector, *sandbox.Sandbox, *connectortest.Tap) {
	t.Helper()
	box, err := sandbox.New(options(time.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	tap := connectortest.NewTap(box.Transport())
	c, err := jira.New(config(tap))
	if err != nil {
		t.Fatal(err)
	}
	return c, box, tap
}

func TestEmailIsFoundWithoutCase(t *testing.T) {
	c, _, _ := open(t)
	made, err := c.CreateAccount(t.Context(), account(1))
	if err != nil {
		t.Fatal(err)
	}
	longer := account(2)
	longer.Email = account(1).Email + ".jp" // the vendor's search is by prefix
	if _, err := c.CreateAccount(t.Context(), longer); err != nil {
		t.Fatal(err)
	}
	got, err := c.FindAccount(t.Context(), connectors.Account{Email: strings.ToUpper(account(1).Email)})
	if err != nil || got.ID != made.ID || got.Key != "" {
		t.Errorf("found %+v, %v", got, err)
	}
	again := account(1)
	again.Email = strings.ToUpper(again.Email)
	if _, err := c.CreateAccount(t.Context(), again); connectors.KindOf(err) != connectors.KindConflict {
		t.Errorf("the same address in capitals: %v", err)
	}
}

func TestRevokedCustomerIsFoundByID(t *testing.T) {
	c, _, _ := open(t)
	made, err := c.CreateAccount(t.Context(), account(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DisableAccount(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FindAccount(t.Context(), account(1)); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("by address: %v", err)
	}
	want := account(1)
	want.ID = made.ID
	if got, err := c.FindAccount(t.Context(), want); err != nil || got.Active || got.ID != made.ID {
		t.Errorf("by address and id: %+v, %v", got, err)
	}
	want.Email = account(2).Email
	if _, err := c.FindAccount(t.Context(), want); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("another person's address with this id: %v", err)
	}
}

func TestAddressOfALicensedMember(t *testing.T) {
	c, box, _ := open(t)
	licensed := connectortest.NewTap(box.Transport())
	body := strings.NewReader(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"m@ministry.example","emails":[{"value":"m@ministry.example","primary":true}],"active":true}`)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sandbox.invalid/atlassian/scim/directory/d/Users", body)
	req.Header.Set("Authorization", "Bearer "+connectortest.Token+"2")
	req.Header.Set("Content-Type", "application/scim+json")
	resp, err := licensed.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %+v", err, resp)
	}
	a := connectors.Account{Email: "m@ministry.example", DisplayName: "M", Active: true}
	if _, err := c.CreateAccount(t.Context(), a); connectors.KindOf(err) != connectors.KindConflict {
		t.Errorf("create: %v", err)
	}
	if _, err := c.FindAccount(t.Context(), a); connectors.KindOf(err) != connectors.KindConflict || !strings.Contains(err.Error(), "Atlassian account") {
		t.Errorf("find: %v", err)
	}
}

func TestCreateGroupAssociates(t *testing.T) {
	c, _, tap := open(t)
	tap.Put(connectortest.Answer(http.StatusInternalServerError, "application/json", `{}`), -1, func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/servicedesk/1/organization")
	})
	if _, err := c.CreateGroup(t.Context(), connectors.Group{Name: "見本市"}); connectors.KindOf(err) != connectors.KindUnavailable {
		t.Fatalf("association fails: %v", err)
	}
	tap.Clear()
	g, err := c.CreateGroup(t.Context(), connectors.Group{Name: "見本市"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.CreateAccount(t.Context(), account(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddMembers(t.Context(), g.ID, []string{a.ID}); err != nil {
		t.Fatal(err)
	}
	var listed []string
	err = c.ListAccounts(t.Context(), func(page []connectors.Account) error {
		for _, a := range page {
			listed = append(listed, a.ID)
		}
		return nil
	})
	if err != nil || !slices.Equal(listed, []string{a.ID}) {
		t.Errorf("the service desk's customers: %v, %v", listed, err)
	}
}

func TestLookUpsOfGroupsDoNotScanEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, tap := open(t)
		const n = 180
		for i := range n {
			if _, err := c.CreateGroup(t.Context(), connectors.Group{Name: fmt.Sprintf("団体 %04d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(tap.Take()); got != 2*n+1 {
			t.Errorf("making %d organizations took %d requests, want two each and one page of the list", n, got)
		}
		for i := range n {
			if _, err := c.FindGroup(t.Context(), fmt.Sprintf("団体 %04d", i)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.FindGroup(t.Context(), fmt.Sprintf("無い %04d", i)); connectors.KindOf(err) != connectors.KindNotFound {
				t.Fatal(err)
			}
		}
		if got := len(tap.Take()); got != 0 {
			t.Errorf("%d look-ups within the trusted time took %d requests", 2*n, got)
		}
		time.Sleep(c.Describe().Limits.Staleness + time.Second)
		if _, err := c.FindGroup(t.Context(), "無い"); connectors.KindOf(err) != connectors.KindNotFound {
			t.Fatal(err)
		}
		if got := len(tap.Take()); got != 4 {
			t.Errorf("a look-up after the trusted time took %d requests, want the 4 pages", got)
		}
	})
}

func TestAnotherNodesGroupIsFoundAfterStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, box, _ := open(t)
		b, err := jira.New(config(box.Transport()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.FindGroup(t.Context(), "見本町"); connectors.KindOf(err) != connectors.KindNotFound {
			t.Fatal(err)
		}
		made, err := b.CreateGroup(t.Context(), connectors.Group{Name: "見本町"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(a.Describe().Limits.Staleness + time.Millisecond)
		if got, err := a.FindGroup(t.Context(), "見本町"); err != nil || got != made {
			t.Errorf("found %+v, %v, want %+v", got, err, made)
		}
	})
}

func TestBadInputCostsNothing(t *testing.T) {
	c, _, tap := open(t)
	ctx := t.Context()
	for name, err := range map[string]error{
		"no address":        second(c.CreateAccount(ctx, connectors.Account{DisplayName: "x"})),
		"no name":           second(c.CreateAccount(ctx, connectors.Account{Email: "a@b.example"})),
		"two addresses":     second(c.CreateAccount(ctx, connectors.Account{Email: "a@b.example,c@d.example", DisplayName: "x"})),
		"find nothing":      second(c.FindAccount(ctx, connectors.Account{})),
		"path in an id":     c.DisableAccount(ctx, ".."),
		"control character": c.DisableAccount(ctx, "a\nb"),
		"group by name":     c.AddMembers(ctx, "見本市", []string{"a"}),
		"group with a path": c.RemoveMembers(ctx, "1/../2", []string{"a"}),
		"blank name":        second(c.CreateGroup(ctx, connectors.Group{Name: " "})),
		"long name":         second(c.CreateGroup(ctx, connectors.Group{Name: strings.Repeat("市", 201)})),
		"negative group":    c.ListMembers(ctx, "-1", nil),
	} {
		if connectors.KindOf(err) != connectors.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sent := tap.Take(); len(sent) != 0 {
		t.Errorf("%d requests were sent", len(sent))
	}
}

func second[T any](_ T, err error) error { return err }

func TestNewRefuses(t *testing.T) {
	rt := connectortest.NewTap(nil)
	for name, change := range map[string]func(*jira.Config){
		"base URL":  func(c *jira.Config) { c.BaseURL = "" },
		"email":     func(c *jira.Config) { c.Email = "hub" },
		"token":     func(c *jira.Config) { c.Token = outbound.Secret{} },
		"desk":      func(c *jira.Config) { c.ServiceDeskID = "1/../2" },
		"transport": func(c *jira.Config) { c.Transport = nil },
		"quota":     func(c *jira.Config) { c.Quota = nil },
		"scale":     func(c *jira.Config) { c.QuotaScale = -1 },
		"staleness": func(c *jira.Config) { c.Staleness = 2 * time.Hour },
		"plaintext": func(c *jira.Config) { c.BaseURL = "http://site.atlassian.net" },
	} {
		cfg := config(rt)
		change(&cfg)
		if _, err := jira.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "jira: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
