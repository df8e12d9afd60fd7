//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// strict is scimmy-routers, with its own view of what is stored.
type strict struct {
	url, token string
	wire       *lossy
	client     *scimclient.Client
}

type strictUser struct {
	ID         string `json:"id"`
	ExternalID string `json:"externalId"`
	UserName   string `json:"userName"`
	Active     bool   `json:"active"`
	Name       struct {
		FamilyName string `json:"familyName"`
		GivenName  string `json:"givenName"`
	} `json:"name"`
	Emails []struct {
		Value   string `json:"value"`
		Primary bool   `json:"primary"`
	} `json:"emails"`
	Title string `json:"title"`
}

type strictState struct {
	Users  []strictUser `json:"users"`
	Groups []struct {
		ID          string `json:"id"`
		DisplayName string `json:"displayName"`
		Members     []struct {
			Value string `json:"value"`
		} `json:"members"`
	} `json:"groups"`
	Requests []string `json:"requests"`
}

func startStrict(t *testing.T) *strict {
	t.Helper()
	s := &strict{token: "interop-" + strings.ToLower(t.Name()), wire: &lossy{}}
	var ready struct {
		URL string `json:"url"`
	}
	startPeer(t, "scimmy-server.mjs", []string{"SCIM_TOKEN=" + s.token}, &ready)
	s.url = ready.URL
	s.client = s.connect(t, s.token)
	return s
}

func (s *strict) connect(t *testing.T, token string) *scimclient.Client {
	t.Helper()
	out, err := outbound.New(outbound.Config{
		Vendor: "scimmy", BaseURL: s.url + "/scim", Transport: s.wire, Quota: unlimited{}, Now: time.Now,
		Authorize: outbound.Bearer(outbound.NewSecret(token)), Retries: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := scimclient.New(out, "scimmy.scim", scimclient.Generic())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// state asks the server, past SCIM, what it holds.
func (s *strict) state(t *testing.T) strictState {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/_state", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var state strictState
	if err := json.NewDecoder(answer.Body).Decode(&state); err != nil {
		t.Fatal(err)
	}
	return state
}

func (s *strict) user(t *testing.T, id string) strictUser {
	t.Helper()
	for _, u := range s.state(t).Users {
		if u.ID == id {
			return u
		}
	}
	t.Fatalf("the server has no user %s", id)
	return strictUser{}
}

func (s *strict) members(t *testing.T, groupID string) []string {
	t.Helper()
	for _, g := range s.state(t).Groups {
		if g.ID == groupID {
			ids := []string{}
			for _, m := range g.Members {
				ids = append(ids, m.Value)
			}
			slices.Sort(ids)
			return ids
		}
	}
	t.Fatalf("the server has no group %s", groupID)
	return nil
}

func (s *strict) posts(t *testing.T) int {
	t.Helper()
	n := 0
	for _, request := range s.state(t).Requests {
		if strings.HasPrefix(request, "POST ") {
			n++
		}
	}
	return n
}

func person(n int) connectors.Account {
	address := fmt.Sprintf("staff%03d@somu.example.go.jp", n)
	return connectors.Account{
		Key: fmt.Sprintf("musubi-%03d", n), Email: address, UserName: address,
		DisplayName: fmt.Sprintf("見本 %d郎", n), FamilyName: "見本", GivenName: fmt.Sprintf("%d郎", n),
		Title: "係長", Organization: "総務省", Department: "自治行政局", Language: "ja", TimeZone: "Asia/Tokyo", Active: true,
	}
}

func (s *strict) create(t *testing.T, n int) connectors.Account {
	t.Helper()
	made, err := s.client.CreateUser(t.Context(), person(n))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func wantKind(t *testing.T, err error, want connectors.Kind) {
	t.Helper()
	if connectors.KindOf(err) != want {
		t.Errorf("error %v has kind %v, want %v", err, connectors.KindOf(err), want)
	}
}

func TestStrictSCIMDiscovery(t *testing.T) {
	s := startStrict(t)
	provider, err := s.client.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !provider.Patch || !provider.Filter {
		t.Errorf("the server has PATCH and filters, read as %+v", provider)
	}
	_, err = s.connect(t, "wrong").Discover(t.Context())
	wantKind(t, err, connectors.KindAuth)
}

func TestStrictSCIMUserLife(t *testing.T) {
	s := startStrict(t)
	want := person(1)
	made := s.create(t, 1)
	if made.ID == "" {
		t.Fatal("no id came back")
	}
	want.ID = made.ID
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	stored := s.user(t, made.ID)
	if stored.ExternalID != want.Key || stored.Name.FamilyName != "見本" || !stored.Active || len(stored.Emails) != 1 || !stored.Emails[0].Primary {
		t.Errorf("the server stored %+v", stored)
	}

	t.Run("conflict", func(t *testing.T) {
		twin := person(2)
		twin.UserName = strings.ToUpper(want.UserName)
		_, err := s.client.CreateUser(t.Context(), twin)
		wantKind(t, err, connectors.KindConflict)
		if n := len(s.state(t).Users); n != 1 {
			t.Errorf("%d users after a conflict, want 1", n)
		}
	})
	t.Run("find", func(t *testing.T) {
		for attribute, value := range map[string]string{"externalId": want.Key, "userName": want.UserName} {
			found, err := s.client.FindUser(t.Context(), attribute, value)
			if err != nil || found.ID != made.ID {
				t.Errorf("find by %s: id %q, error %v, want id %q", attribute, found.ID, err, made.ID)
			}
		}
		_, err := s.client.FindUser(t.Context(), "externalId", "nobody or externalId pr")
		wantKind(t, err, connectors.KindNotFound)
	})
	t.Run("replace", func(t *testing.T) {
		moved := want
		moved.FamilyName, moved.DisplayName, moved.Title = "改名", "改名 1郎", ""
		if _, err := s.client.ReplaceUser(t.Context(), moved); err != nil {
			t.Fatal(err)
		}
		stored := s.user(t, made.ID)
		if stored.Name.FamilyName != "改名" || stored.Title != "" || stored.ExternalID != want.Key {
			t.Errorf("after a replace the server stores %+v", stored)
		}
	})
	t.Run("deactivate twice", func(t *testing.T) {
		for range 2 {
			if err := s.client.DeactivateUser(t.Context(), made.ID); err != nil {
				t.Fatal(err)
			}
			if s.user(t, made.ID).Active {
				t.Fatal("still active")
			}
		}
		err := s.client.DeactivateUser(t.Context(), "nobody")
		wantKind(t, err, connectors.KindNotFound)
	})
}

func TestStrictSCIMLostAnswerIsLookedUp(t *testing.T) {
	s := startStrict(t)
	s.wire.loseNext(http.MethodPost)
	_, err := s.client.CreateUser(t.Context(), person(1))
	wantKind(t, err, connectors.KindAmbiguous)
	if s.wire.lost != 1 || s.posts(t) != 1 {
		t.Fatalf("%d answers lost, %d POSTs sent, want one of each: a create is never sent again by itself", s.wire.lost, s.posts(t))
	}
	found, err := s.client.FindUser(t.Context(), "externalId", person(1).Key)
	if err != nil {
		t.Fatal(err)
	}
	want := person(1)
	want.ID = found.ID
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("looked up (-want +got):\n%s", diff)
	}

	s.wire.loseNext(http.MethodPost)
	_, err = s.client.CreateGroup(t.Context(), "総務省")
	wantKind(t, err, connectors.KindAmbiguous)
	if _, err := s.client.FindGroup(t.Context(), "総務省"); err != nil {
		t.Errorf("the group whose answer was lost isn't found: %v", err)
	}
	if state := s.state(t); len(state.Users) != 1 || len(state.Groups) != 1 {
		t.Errorf("%d users and %d groups, want one of each", len(state.Users), len(state.Groups))
	}
}

func TestStrictSCIMGroupMembers(t *testing.T) {
	s := startStrict(t)
	var ids []string
	for n := range 5 {
		ids = append(ids, s.create(t, n).ID)
	}
	group, err := s.client.CreateGroup(t.Context(), "総務省 (本省) & 外局")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.client.CreateGroup(t.Context(), "総務省 (本省) & 外局")
	wantKind(t, err, connectors.KindConflict)

	step := func(name string, change func(context.Context, string, []string) error, ids []string, want ...string) {
		t.Helper()
		if err := change(t.Context(), group.ID, ids); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slices.Sort(want)
		if got := s.members(t, group.ID); !slices.Equal(got, want) {
			t.Errorf("%s: the server has members %q, want %q", name, got, want)
		}
		got, err := s.client.Members(t.Context(), group.ID)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: read %q, %v, want %q", name, got, err, want)
		}
	}
	step("add four", s.client.AddMembers, ids[:4], ids[0], ids[1], ids[2], ids[3])
	step("add one who is in and one who isn't", s.client.AddMembers, ids[3:5], ids[0], ids[1], ids[2], ids[3], ids[4])
	step("remove two", s.client.RemoveMembers, []string{ids[1], ids[3]}, ids[0], ids[2], ids[4])
	step("remove one who is out and one who is in", s.client.RemoveMembers, []string{ids[1], ids[0]}, ids[2], ids[4])
	step("remove the rest", s.client.RemoveMembers, []string{ids[2], ids[4]})

	err = s.client.AddMembers(t.Context(), group.ID, []string{"nobody"})
	wantKind(t, err, connectors.KindInvalid)
	found, err := s.client.FindGroup(t.Context(), group.Name)
	if err != nil || found.ID != group.ID {
		t.Errorf("found group %+v, %v", found, err)
	}
}

// The server's pages are bounded by itself (20 unless asked for more): a client that trusts its own page size loses people.
func TestStrictSCIMPaging(t *testing.T) {
	s := startStrict(t)
	const people = 45
	want := map[string]bool{}
	for n := range people {
		want[s.create(t, n).ID] = true
	}
	got := map[string]bool{}
	err := s.client.ListUsers(t.Context(), func(page []connectors.Account) error {
		for _, account := range page {
			if got[account.ID] {
				t.Errorf("%s came twice", account.ID)
			}
			got[account.ID] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}
