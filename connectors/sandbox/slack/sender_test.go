package slack

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// peer notes the type of each body and answers with a status.
type peer struct {
	mu     sync.Mutex
	types  []string
	status int
}

func (p *peer) RoundTrip(r *http.Request) (*http.Response, error) {
	var doc struct{ Type, Challenge string }
	if err := json.NewDecoder(r.Body).Decode(&doc); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.types = append(p.types, doc.Type)
	return &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(doc.Challenge))), Request: r}, nil
}

func (p *peer) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.types = nil }()
	return strings.Join(p.types, " ")
}

func newPeer(t *testing.T) (*Workspace, *peer) {
	t.Helper()
	p := &peer{status: 200}
	w, err := New(Options{SigningSecret: "secret", EventsURL: "http://hub.example/"}, Ground{
		Now: time.Now, Outgoing: p, Log: func([]site.Change) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w, p
}

// happen makes n events and waits for the first try of each.
func happen(w *Workspace, n int) {
	for range n {
		w.mu.Lock()
		w.emit(time.Now(), "channel_created", map[string]any{})
		w.mu.Unlock()
	}
	synctest.Wait()
}

func TestThirtyThousandEventsAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newPeer(t)
		happen(w, 1)
		w.sender.mu.Lock()
		w.sender.minute(time.Now()).sent = maxEventsAnHour - 2
		w.sender.mu.Unlock()
		p.take()
		happen(w, 5)
		if got := p.take(); got != "event_callback event_callback app_rate_limited" {
			t.Errorf("at the limit: %s", got)
		}
		time.Sleep(time.Minute)
		happen(w, 2) // told again, once a minute
		if got := p.take(); got != "app_rate_limited" {
			t.Errorf("a minute later: %s", got)
		}
		if _, h := w.Subscription(); h.Sent != maxEventsAnHour || h.Limited != 5 {
			t.Errorf("health %+v", h)
		}
		time.Sleep(time.Hour)
		happen(w, 1)
		if got := p.take(); got != "event_callback" {
			t.Errorf("an hour later: %s", got)
		}
	})
}

func TestNearlyAllFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newPeer(t)
		p.status = 500
		happen(w, 400) // two tries each at once
		if _, h := w.Subscription(); h.Disabled || h.Failed != 800 {
			t.Errorf("an application that gets little is left alone: %+v", h)
		}
		happen(w, 200)
		if _, h := w.Subscription(); !h.Disabled {
			t.Errorf("not disabled: %+v", h)
		}
		p.take()
		happen(w, 1)
		if got := p.take(); got != "" {
			t.Errorf("told although disabled: %s", got)
		}
		p.status = 200
		if err := w.Subscribe(t.Context(), Subscription{EventsURL: "http://hub.example/"}); err != nil {
			t.Fatal(err)
		}
		p.take()
		happen(w, 1)
		if got := p.take(); got != "event_callback" {
			t.Errorf("after it was set again: %s", got)
		}
	})
}
