package slack

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Subscription says where the application wants to be told.
type Subscription struct {
	EventsURL        string   `json:"events_url"`        // "": no events
	InteractivityURL string   `json:"interactivity_url"` // "": buttons do nothing
	Events           []string `json:"events,omitempty"`  // names; none: all
}

// Health is how the deliveries go.
type Health struct {
	Sent      int  `json:"sent"`      // events in the last 60 minutes
	Succeeded int  `json:"succeeded"` // tries in the last 60 minutes
	Failed    int  `json:"failed"`
	Limited   int  `json:"limited"`  // events that were dropped past the hourly limit
	Disabled  bool `json:"disabled"` // too many failed: nothing is sent until the subscription is set again
}

// The vendor's rules of delivery.
const (
	eventTimeout      = 3 * time.Second
	maxEventsAnHour   = 30_000
	minTriesToDisable = 1000 // an application that gets fewer in an hour is left alone
	minSuccess        = 0.05
	maxEventNames     = 100
	signatureHeader   = "X-Slack-Signature"
)

// Sign gives the signature of a request body at a time in seconds, with the vendor's version prefix "v0=".
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// sender sends events and payloads. It has a lock of its own, taken after the workspace's.
type sender struct {
	opt    Options
	ground Ground
	queue  *deliver.Queue // nil: nothing is sent

	mu      sync.Mutex
	sub     Subscription
	own     bool // sub was set, it isn't the options'
	serial  int64
	minutes map[int64]*minute // by Unix minute
	off     bool
	limited int
	told    int64 // the minute for which app_rate_limited was sent
}

// minute counts what was sent in a minute.
type minute struct{ sent, ok, failed int }

func newSender(opt Options, ground Ground) (*sender, error) {
	s := &sender{opt: opt, ground: ground, minutes: map[int64]*minute{}}
	s.sub = s.initial()
	if ground.Outgoing == nil || opt.SigningSecret == "" {
		return s, nil
	}
	var err error
	s.queue, err = deliver.New(deliver.Options{
		Transport: ground.Outgoing, Now: ground.Now, After: ground.After, Fault: ground.Fault, Done: s.done, Parallel: opt.Parallel,
		Policy: deliver.Policy{
			Timeout: eventTimeout, Retries: []time.Duration{0, time.Minute, 5 * time.Minute}, MaxRedirects: 2,
			Retry: func(_ deliver.Failure, a deliver.Answer) bool { return a.Header.Get("X-Slack-No-Retry") != "1" },
		},
	})
	return s, err
}

func (s *sender) initial() Subscription {
	return Subscription{EventsURL: s.opt.EventsURL, InteractivityURL: s.opt.InteractivityURL, Events: slices.Clone(s.opt.Events)}
}

func (s *sender) close() error {
	if s.queue == nil {
		return nil
	}
	return s.queue.Close()
}

func (s *sender) reset() {
	if s.queue != nil {
		s.queue.Clear()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sub, s.own, s.off, s.limited, s.told = s.initial(), false, false, 0, 0
	clear(s.minutes)
}

func (s *sender) set(sub Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sub, s.own, s.off = sub, true, false
	clear(s.minutes)
}

func (s *sender) subscription() (sub Subscription, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sub, s.own
}

// hour sums the last 60 minutes and forgets what is older. The caller holds the lock.
func (s *sender) hour(now time.Time) (sum minute) {
	for at, m := range s.minutes {
		if at <= now.Unix()/60-60 {
			delete(s.minutes, at)
			continue
		}
		sum.sent += m.sent
		sum.ok += m.ok
		sum.failed += m.failed
	}
	return sum
}

func (s *sender) minute(now time.Time) *minute {
	m := s.minutes[now.Unix()/60]
	if m == nil {
		m = &minute{}
		s.minutes[now.Unix()/60] = m
	}
	return m
}

// done counts a try and turns the subscription off where nearly all fail.
func (s *sender) done(r deliver.Record) {
	if r.Fault == deliver.FaultDrop {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.minute(r.At)
	if r.Failure == "" {
		m.ok++
	} else {
		m.failed++
	}
	sum := s.hour(r.At)
	if tries := sum.ok + sum.failed; tries >= minTriesToDisable && float64(sum.ok) < minSuccess*float64(tries) {
		s.off = true
	}
}

func (s *sender) health(now time.Time) Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.hour(now)
	return Health{sum.sent, sum.ok, sum.failed, s.limited, s.off}
}

// headers signs one try. The retry's number and reason are the vendor's.
func (s *sender) headers(body []byte) func(deliver.Try) http.Header {
	return func(try deliver.Try) http.Header {
		at := strconv.FormatInt(try.At.Unix(), 10)
		h := http.Header{}
		h.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
		h.Set("X-Slack-Request-Timestamp", at)
		h.Set(signatureHeader, Sign(s.opt.SigningSecret, at, body))
		if try.Number > 0 {
			reason := map[deliver.Failure]string{
				deliver.FailureTimeout: "http_timeout", deliver.FailureConnection: "connection_failed", deliver.FailureTLS: "ssl_error",
				deliver.FailureRedirects: "too_many_redirects", deliver.FailureStatus: "http_error",
			}[try.Last]
			if reason == "" {
				reason = "unknown_error"
			}
			h.Set("X-Slack-Retry-Num", strconv.Itoa(try.Number))
			h.Set("X-Slack-Retry-Reason", reason)
		}
		return h
	}
}

// verificationToken is the old way to prove an event's origin, still sent. It depends on the signing secret without giving it away.
func (s *sender) verificationToken() string {
	return hex.EncodeToString(hmac.New(sha256.New, []byte("verification "+s.opt.SigningSecret)).Sum(nil))[:24]
}

// emit sends an event to the application, if it wants it. The caller holds the workspace's lock, which keeps the order.
func (s *sender) emit(now time.Time, bot string, event map[string]any) {
	name, _ := event["type"].(string)
	to, id, ok := s.admit(now, name)
	if !ok {
		return
	}
	if id == "" {
		s.send(to, "app_rate_limited", "", map[string]any{
			"token": s.verificationToken(), "type": "app_rate_limited", "team_id": s.opt.TeamID, "api_app_id": s.opt.AppID,
			"minute_rate_limited": now.Unix() / 60 * 60,
		})
		return
	}
	event["event_ts"] = formatTS(now.UnixMicro())
	s.send(to, name, id, map[string]any{
		"token": s.verificationToken(), "team_id": s.opt.TeamID, "api_app_id": s.opt.AppID, "event": event, "type": "event_callback",
		"event_id": id, "event_time": now.Unix(), "authed_users": []string{bot}, "is_ext_shared_channel": false,
		"authorizations": []any{map[string]any{
			"enterprise_id": nil, "team_id": s.opt.TeamID, "user_id": bot, "is_bot": true, "is_enterprise_install": false,
		}},
	})
}

// admit counts an event and gives its id and where it goes. Past the hourly limit there is no id, and the application is told so once a
// minute.
func (s *sender) admit(now time.Time, name string) (to, id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil || s.sub.EventsURL == "" || s.off || len(s.sub.Events) > 0 && !slices.Contains(s.sub.Events, name) {
		return "", "", false
	}
	if s.hour(now).sent >= maxEventsAnHour {
		s.limited++
		first := now.Unix()/60 != s.told
		s.told = now.Unix() / 60
		return s.sub.EventsURL, "", first
	}
	s.minute(now).sent++
	s.serial++
	// The clock is in it, so that none comes back after a restart.
	hex := site.DeriveUUID(s.ground.Seed, "event", now.String(), strconv.FormatInt(s.serial, 10))
	return s.sub.EventsURL, "Ev" + strings.ToUpper(strings.ReplaceAll(hex, "-", ""))[:12], true
}

// send queues a document. The sender's lock isn't held: the queue tells done of what it drops.
func (s *sender) send(to, name, id string, doc map[string]any) {
	body, err := json.Marshal(doc)
	if err != nil { // our own plain types always encode
		panic(err)
	}
	// A full queue loses the event, as the vendor does past its retries.
	_ = s.queue.Send(deliver.Message{
		ID: id, Event: name, URL: to, ContentType: "application/json", Body: body, Header: s.headers(body), SignatureHeader: signatureHeader,
	})
}

// What Subscribe refuses.
var (
	ErrNoSender     = errors.New("slack: nothing can be sent: no signing secret, or the sandbox has no way out")
	ErrNotChallenge = errors.New("slack: the events URL didn't answer the challenge with it within 3 s")
)

// Subscribe sets where events and payloads go, and which events. The events URL is sent the challenge first and must echo it.
func (w *Workspace) Subscribe(ctx context.Context, sub Subscription) error {
	s := w.sender
	for _, address := range []string{sub.EventsURL, sub.InteractivityURL} {
		if address == "" {
			continue
		}
		if s.queue == nil {
			return ErrNoSender
		}
		if err := deliver.CheckURL(address); err != nil {
			return fmt.Errorf("slack: request URL: %w", err)
		}
	}
	for _, name := range sub.Events {
		if !slices.Contains(eventNames, name) {
			return fmt.Errorf("slack: unknown event %q; there are %s", name, strings.Join(eventNames, ", "))
		}
	}
	if len(sub.Events) > maxEventNames {
		return errors.New("slack: too many events")
	}
	if sub.EventsURL != "" {
		if err := s.challenge(ctx, sub.EventsURL); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.save(record(changeSubscription, sub))
}

// challenge proves that the application owns the URL.
func (s *sender) challenge(ctx context.Context, address string) error {
	word := strings.ReplaceAll(site.DeriveUUID(s.ground.Seed, "challenge", s.ground.Now().String()), "-", "")
	body, err := json.Marshal(map[string]string{"token": s.verificationToken(), "challenge": word, "type": "url_verification"})
	if err != nil {
		return err
	}
	answer, err := s.queue.Once(ctx, deliver.Message{
		Event: "url_verification", URL: address, ContentType: "application/json", Body: body, Header: s.headers(body),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotChallenge, err)
	}
	var doc struct{ Challenge string }
	form, _ := url.ParseQuery(strings.TrimSpace(string(answer.Body)))
	if json.Unmarshal(answer.Body, &doc) != nil {
		doc.Challenge = form.Get("challenge")
	}
	if doc.Challenge != word && strings.TrimSpace(string(answer.Body)) != word {
		return ErrNotChallenge
	}
	return nil
}

// Subscription gives where events go, and how the deliveries do.
func (w *Workspace) Subscription() (Subscription, Health) {
	sub, _ := w.sender.subscription()
	return sub, w.sender.health(w.ground.Now())
}

// Deliveries gives the newest tries, oldest first.
func (w *Workspace) Deliveries() []deliver.Record {
	if w.sender.queue == nil {
		return nil
	}
	return w.sender.queue.Records()
}

// Settle waits until no delivery is due or under way; later retries don't count.
func (w *Workspace) Settle(ctx context.Context) error {
	if w.sender.queue == nil {
		return nil
	}
	return w.sender.queue.Settle(ctx)
}

// Wake tells the deliveries that the clock was set.
func (w *Workspace) Wake() {
	if w.sender.queue != nil {
		w.sender.queue.Wake()
	}
}
