package slack_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	workspace "github.com/musubi-hub/musubi/connectors/sandbox/slack"
)

// hub receives what the sandbox sends, as the hub's own listener would: verify, store once by key, answer at once.
type hub struct {
	t      *testing.T
	reader connectors.EventReader

	mu       sync.Mutex
	stored   map[string][]connectors.Event
	order    []string
	attempts []int
	refuse   int // so many deliveries are answered 500 before anything is stored
}

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	got, err := h.reader.ReadEvent(time.Now(), connectors.Delivery{Header: r.Header, Body: body})
	if err != nil {
		h.t.Errorf("what the sandbox sent isn't taken: %v", err)
	}
	h.attempts = append(h.attempts, got.Attempt)
	status := got.Reply.Status
	if h.refuse > 0 {
		h.refuse--
		status, got.Key = http.StatusInternalServerError, ""
	}
	if _, seen := h.stored[got.Key]; got.Key != "" && !seen {
		h.stored[got.Key] = got.Events
		h.order = append(h.order, got.Key)
	}
	header := got.Reply.Header
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(string(got.Reply.Body))), Request: r}, nil
}

// events gives what was stored of one type.
func events[T connectors.Event](h *hub) (list []T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range h.order {
		for _, e := range h.stored[key] {
			if v, ok := e.(T); ok {
				list = append(list, v)
			}
		}
	}
	return list
}

// The whole way in simulated time: the sandbox verifies the address, people write, press and leave, deliveries fail and come again.
func TestEventsOfTheSandbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{t: t, stored: map[string][]connectors.Event{}}
		o, box := open(t, func(opt *sandbox.Options) { opt.Outgoing = h })
		h.reader = o.EventReader
		w := box.Workspace()
		if err := w.Subscribe(t.Context(), workspace.Subscription{EventsURL: "https://hub.invalid/slack/events", InteractivityURL: "https://hub.invalid/slack/press"}); err != nil {
			t.Fatal(err)
		}
		settle := func() {
			t.Helper()
			if err := w.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a := create(t, o, 1)
		c, err := o.ChannelWriter.CreateChannel(t.Context(), connectors.WantedChannel{Name: "障害", Key: "7"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.ChannelMembers.InviteToChannel(t.Context(), c.ID, []string{a.ID}); err != nil {
			t.Fatal(err)
		}
		sent, err := o.Sender.SendMessage(t.Context(), connectors.Message{
			Key: "incident-7", Channel: c.ID, Text: "確認してください", Actions: []connectors.Action{{ID: "ack", Label: "確認した", Value: "7"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		settle()
		if own := events[connectors.MessagePosted](h); !slices.ContainsFunc(own, func(m connectors.MessagePosted) bool { return m.ID == sent.ID && m.App }) {
			t.Errorf("the hub's own message didn't come back as an application's: %+v", own)
		}
		if joined := events[connectors.Membership](h); !slices.ContainsFunc(joined, func(m connectors.Membership) bool {
			return m.Account == a.ID && m.Channel == c.ID && !m.Left
		}) {
			t.Errorf("nobody came into the channel: %+v", joined)
		}
		if accounts := events[connectors.AccountChanged](h); len(accounts) == 0 || accounts[0].Account != a.ID || !accounts[0].Joined {
			t.Errorf("no account appeared: %+v", accounts)
		}

		h.mu.Lock()
		h.refuse, h.attempts = 2, nil
		h.mu.Unlock()
		ts, err := w.Say(c.ID, a.ID, "了解 <https://a.example|様式>", sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // the second retry comes after a minute
		settle()
		posted := slices.DeleteFunc(events[connectors.MessagePosted](h), func(m connectors.MessagePosted) bool { return m.ID != ts })
		if len(posted) != 1 || posted[0].Thread != sent.Thread || posted[0].Account != a.ID || posted[0].App || posted[0].Text != "了解 様式 (https://a.example)" {
			t.Errorf("the reply came as %+v", posted)
		}
		if !slices.Equal(h.attempts, []int{1, 2, 3}) {
			t.Errorf("deliveries were attempts %v, want 1, 2, 3", h.attempts)
		}

		if err := w.Press(t.Context(), c.ID, a.ID, sent.ID, "ack", ""); err != nil {
			t.Fatal(err)
		}
		presses := events[connectors.Interaction](h)
		if len(presses) != 1 {
			t.Fatalf("presses: %+v", presses)
		}
		want := connectors.Interaction{Channel: c.ID, Message: sent.ID, Thread: sent.Thread, Account: a.ID, Action: "ack", Value: "7", At: presses[0].At}
		if diff := cmp.Diff(want, presses[0]); diff != "" || presses[0].At.IsZero() {
			t.Error(diff)
		}
		// The press is answered by taking the button away.
		if err := o.MessageEditor.UpdateMessage(t.Context(), sent, connectors.Message{Key: "incident-7", Text: "確認済み: 見本 太郎"}); err != nil {
			t.Error(err)
		}
		if err := w.Press(t.Context(), c.ID, a.ID, sent.ID, "ack", ""); err == nil {
			t.Error("the button is still there")
		}
		settle()
		if changes := events[connectors.MessageChanged](h); len(changes) != 1 || changes[0].ID != sent.ID || !changes[0].App {
			t.Errorf("the change came as %+v", changes)
		}
		if err := box.AddFaults(sandbox.Fault{Target: sandbox.Slack, Kind: sandbox.FaultDuplicate, Count: 1}); err != nil {
			t.Fatal(err)
		}
		before := len(h.order)
		if err := w.React(c.ID, a.ID, sent.ID, "eyes"); err != nil {
			t.Fatal(err)
		}
		settle()
		if reactions := events[connectors.Reaction](h); len(reactions) != 1 || reactions[0].ID != sent.ID || reactions[0].Name != "eyes" || len(h.order) != before+1 {
			t.Errorf("a doubled delivery is stored as %+v", reactions)
		}
	})
}

// The sandbox's wrong signatures are refused.
func TestBadSignatureOfTheSandbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var results []connectors.Kind
		var o connectors.Opened
		outgoing := roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			got, err := o.EventReader.ReadEvent(time.Now(), connectors.Delivery{Header: r.Header, Body: body})
			results = append(results, connectors.KindOf(err))
			return &http.Response{StatusCode: got.Reply.Status, Header: got.Reply.Header, Body: io.NopCloser(strings.NewReader(string(got.Reply.Body))), Request: r}, nil
		})
		var box *sandbox.Sandbox
		o, box = open(t, func(opt *sandbox.Options) {
			opt.Outgoing, opt.Slack.EventsURL = outgoing, "https://hub.invalid/slack/events"
		})
		if err := box.AddFaults(sandbox.Fault{Target: sandbox.Slack, Kind: sandbox.FaultBadSignature, Count: 1}); err != nil {
			t.Fatal(err)
		}
		create(t, o, 1)
		create(t, o, 2)
		if err := box.Workspace().Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(results, connectors.KindAuth) || !slices.Contains(results, connectors.KindUnknown) {
			t.Errorf("verdicts %v, want a refusal and an acceptance", results)
		}
	})
}
