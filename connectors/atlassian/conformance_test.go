package atlassian_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/atlassian"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const directoryID = "2fb21891-7bee-4c2d-a61a-ade3834c8b2b"

func account(n int) connectors.Account {
	email := fmt.Sprintf("taro.sample%03d@ministry.example", n)
	return connectors.Account{
		Key: fmt.Sprintf("Person-%03d", n), Email: email, UserName: email,
		DisplayName: fmt.Sprintf("見本 太郎 %03d", n), FamilyName: "見本", GivenName: fmt.Sprintf("太郎%03d", n),
		Title: "係長", Organization: "見本省", Department: "情報課", Language: "ja-JP", TimeZone: "Asia/Tokyo", Active: true,
	}
}

func options(now func() time.Time) sandbox.Options {
	return sandbox.Options{
		Now: now, Seed: 7, QuotaScale: 1000, BaseURL: "http://sandbox.invalid",
		Atlassian: sandbox.AtlassianOptions{DirectoryID: directoryID, Token: connectortest.Token, VerifiedDomains: []string{"ministry.example"}},
	}
}

func connect(env connectortest.Env, box *sandbox.Sandbox) (*atlassian.Connector, error) {
	return atlassian.New(atlassian.Config{
		BaseURL: "http://sandbox.invalid/atlassian", DirectoryID: directoryID, Token: outbound.NewSecret(connectortest.Token),
		Transport: env.Wire(box.Transport()), Quota: env.Quota, Now: env.Now, Logger: env.Logger,
	})
}

func harness(t *testing.T) connectortest.Harness {
	return connectortest.Harness{
		New: func(env connectortest.Env) (connectors.Connector, error) {
			box, err := sandbox.New(options(env.Now))
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { box.Close() })
			return connect(env, box)
		},
		Account: account,
		Change: func(a connectors.Account) connectors.Account {
			a.DisplayName, a.FamilyName, a.Title = "改姓 太郎", "改姓", ""
			return a
		},
		Restores:  true,
		MissingID: "00000000-0000-4000-8000-000000000000",
	}
}

func TestConformance(t *testing.T) { connectortest.Run(t, harness(t)) }

func TestConformanceNoticesPlantedBugs(t *testing.T) { connectortest.RunPlanted(t, harness(t)) }

// open gives a connector over a sandbox whose options are changed, in real time.
func open(t *testing.T, change func(*sandbox.Options)) (*atlassian.Connector, *sandbox.Sandbox) {
	t.Helper()
	opt := sandbox.Options{
		Now: time.Now, QuotaScale: 1000, BaseURL: "http://sandbox.invalid",
		Atlassian: sandbox.AtlassianOptions{DirectoryID: directoryID, Token: connectortest.Token, VerifiedDomains: []string{"ministry.example"}},
	}
	if change != nil {
		change(&opt)
	}
	box, err := sandbox.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	c, err := atlassian.New(config(box))
	if err != nil {
		t.Fatal(err)
	}
	return c, box
}

func config(box *sandbox.Sandbox) atlassian.Config {
	return atlassian.Config{
		BaseURL: "http://sandbox.invalid/atlassian/", DirectoryID: directoryID, Token: outbound.NewSecret(connectortest.Token),
		Transport: box.Transport(), Quota: connectortest.Unlimited{}, Now: time.Now,
	}
}

func TestAttributesRoundTrip(t *testing.T) {
	c, _ := open(t, nil)
	made, err := c.CreateAccount(t.Context(), account(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.FindAccount(t.Context(), connectors.Account{Key: "Person-001"})
	if err != nil {
		t.Fatal(err)
	}
	if got.JoinID == "" || got.ID != made.ID {
		t.Errorf("found %+v, made %+v", got, made)
	}
	want := account(1)
	want.ID, want.JoinID = got.ID, got.JoinID
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	byName, err := c.FindAccount(t.Context(), connectors.Account{UserName: "TARO.SAMPLE001@ministry.example"})
	if err != nil || byName.ID != made.ID {
		t.Errorf("by user name: %+v, %v", byName, err)
	}
	if _, err := c.FindAccount(t.Context(), connectors.Account{Key: "person-001", UserName: want.UserName}); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("a key in other letters must not find the account, nor fall back to the user name: %v", err)
	}
	want.Title, want.Department, want.Organization = "", "", ""
	if got, err = c.UpdateAccount(t.Context(), want); err != nil || got != want {
		t.Errorf("cleared attributes: %+v, %v", got, err)
	}
	want.Key = "Person-999"
	if _, err := c.UpdateAccount(t.Context(), want); connectors.KindOf(err) != connectors.KindInvalid {
		t.Errorf("another person's key: %v", err)
	}
}

func TestUnverifiedDomainIsInvalid(t *testing.T) {
	c, _ := open(t, nil)
	a := account(1)
	a.Email, a.UserName = "hanako@city.example", "hanako@city.example"
	_, err := c.CreateAccount(t.Context(), a)
	if connectors.KindOf(err) != connectors.KindInvalid || !strings.Contains(err.Error(), "verified") {
		t.Errorf("got %v", err)
	}
	c, _ = open(t, func(o *sandbox.Options) { o.Atlassian.AllowUnverified = true })
	if _, err := c.CreateAccount(t.Context(), a); err != nil {
		t.Errorf("where the vendor allows it: %v", err)
	}
}

func TestExpiredToken(t *testing.T) {
	c, _ := open(t, func(o *sandbox.Options) { o.Atlassian.TokenExpires = time.Now().Add(-time.Hour) })
	_, err := c.FindAccount(t.Context(), account(1))
	if connectors.KindOf(err) != connectors.KindAuth {
		t.Errorf("got %v", err)
	}
}

func TestWrongDirectoryDoesNotDisable(t *testing.T) {
	_, box := open(t, nil)
	cfg := config(box)
	cfg.DirectoryID = "ffffffff-0000-4000-8000-000000000000"
	c, err := atlassian.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DisableAccount(t.Context(), "00000000-0000-4000-8000-000000000000"); err == nil {
		t.Error("a wrong directory id counts as a disabled account")
	}
}

func TestNewRefuses(t *testing.T) {
	_, box := open(t, nil)
	for name, change := range map[string]func(*atlassian.Config){
		"directory": func(c *atlassian.Config) { c.DirectoryID = "a/../b" },
		"token":     func(c *atlassian.Config) { c.Token = outbound.Secret{} },
		"transport": func(c *atlassian.Config) { c.Transport = nil },
		"quota":     func(c *atlassian.Config) { c.Quota = nil },
		"clock":     func(c *atlassian.Config) { c.Now = nil },
		"scale":     func(c *atlassian.Config) { c.QuotaScale = -1 },
		"staleness": func(c *atlassian.Config) { c.Staleness = -time.Second },
		"plaintext": func(c *atlassian.Config) { c.BaseURL = "http://api.atlassian.com" },
	} {
		cfg := config(box)
		change(&cfg)
		if _, err := atlassian.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "atlassian: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBudgetScales(t *testing.T) {
	_, box := open(t, nil)
	cfg := config(box)
	cfg.QuotaScale = 10
	c, err := atlassian.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := c.Describe().Limits.Budgets
	if len(b) != 1 || b[0] != (connectors.Budget{Class: atlassian.ClassSCIM, Rate: 500, Burst: 1000}) {
		t.Errorf("budgets %+v", b)
	}
	b[0].Rate = 0
	if c.Describe().Limits.Budgets[0].Rate != 500 {
		t.Error("the description can be changed from outside")
	}
}

func TestSilentlyDroppedMemberIsNoticed(t *testing.T) {
	c, box := open(t, nil)
	g, err := c.CreateGroup(t.Context(), connectors.Group{Name: "見本省"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for n := range 3 {
		a, err := c.CreateAccount(t.Context(), account(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	if err := box.AddFaults(sandbox.Fault{Target: sandbox.Atlassian, Kind: sandbox.FaultDropMember, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.AddMembers(t.Context(), g.ID, ids); connectors.KindOf(err) != connectors.KindAmbiguous {
		t.Errorf("the vendor left one out: %v", err)
	}
	if err := c.AddMembers(t.Context(), g.ID, ids); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestStaleLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, box := open(t, nil)
		window := c.Describe().Limits.Staleness
		if err := box.AddFaults(sandbox.Fault{Target: sandbox.Atlassian, Kind: sandbox.FaultStaleRead, DelayMS: int(window.Milliseconds())}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateAccount(t.Context(), account(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.FindAccount(t.Context(), account(1)); connectors.KindOf(err) != connectors.KindNotFound {
			t.Fatalf("the stand-in isn't stale: %v", err)
		}
		time.Sleep(window + time.Millisecond)
		if _, err := c.FindAccount(t.Context(), account(1)); err != nil {
			t.Errorf("after the declared staleness: %v", err)
		}
	})
}
