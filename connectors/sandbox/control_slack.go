package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
)

// act is what a person does, for POST /_control/act.
type act struct {
	Act     string `json:"act"` // say, react, join, leave, press, restrict
	User    string `json:"user"`
	Channel string `json:"channel,omitempty"` // for say: absent is the direct conversation with the application
	Text    string `json:"text,omitempty"`
	Thread  string `json:"thread_ts,omitempty"`
	TS      string `json:"ts,omitempty"`
	Name    string `json:"name,omitempty"` // of the emoji
	Action  string `json:"action_id,omitempty"`
	Block   string `json:"block_id,omitempty"`
}

// isSlack refuses another product: it sends nothing, and its people do nothing by hand.
func isSlack(w http.ResponseWriter, r *http.Request) bool {
	if app := r.URL.Query().Get("app"); app != Slack {
		writeControl(w, http.StatusBadRequest, controlError{fmt.Sprintf("app %q has no such document; there is slack", app)})
		return false
	}
	return true
}

// decodeOne reads one JSON object; an unknown field is an error.
func decodeOne(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("the body must be a JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must be one JSON object, and nothing after it")
	}
	return nil
}

func (s *Sandbox) getSubscription(w http.ResponseWriter, r *http.Request) {
	if !isSlack(w, r) {
		return
	}
	sub, health := s.workspace.Subscription()
	writeControl(w, http.StatusOK, map[string]any{"subscription": sub, "health": health})
}

func (s *Sandbox) postSubscription(w http.ResponseWriter, r *http.Request) {
	if !isSlack(w, r) {
		return
	}
	raw, ok := readControl(w, r)
	if !ok {
		return
	}
	var sub slack.Subscription
	if err := decodeOne(raw, &sub); err != nil {
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
		return
	}
	if err := s.workspace.Subscribe(r.Context(), sub); err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, slack.ErrNotChallenge) {
			status = http.StatusBadGateway
		}
		writeControl(w, status, controlError{err.Error()})
		return
	}
	s.getSubscription(w, r)
}

func (s *Sandbox) deleteSubscription(w http.ResponseWriter, r *http.Request) {
	if !isSlack(w, r) {
		return
	}
	if err := s.workspace.Subscribe(r.Context(), slack.Subscription{}); err != nil {
		writeControl(w, http.StatusServiceUnavailable, controlError{err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sandbox) getDeliveries(w http.ResponseWriter, r *http.Request) {
	if !isSlack(w, r) {
		return
	}
	writeControl(w, http.StatusOK, map[string]any{"deliveries": append([]deliver.Record{}, s.workspace.Deliveries()...)})
}

func (s *Sandbox) postAct(w http.ResponseWriter, r *http.Request) {
	if !isSlack(w, r) {
		return
	}
	raw, ok := readControl(w, r)
	if !ok {
		return
	}
	var a act
	if err := decodeOne(raw, &a); err != nil {
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
		return
	}
	doc, err := s.do(r, a)
	switch {
	case errors.Is(err, slack.ErrNotTold):
		writeControl(w, http.StatusBadGateway, controlError{err.Error()})
	case err != nil:
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
	default:
		writeControl(w, http.StatusOK, doc)
	}
}

// do lets a person act.
func (s *Sandbox) do(r *http.Request, a act) (map[string]string, error) {
	ws := s.workspace
	switch a.Act {
	case "say":
		if a.Channel == "" {
			channel, ts, err := ws.SayDirect(a.User, a.Text)
			return map[string]string{"channel": channel, "ts": ts}, err
		}
		ts, err := ws.Say(a.Channel, a.User, a.Text, a.Thread)
		return map[string]string{"channel": a.Channel, "ts": ts}, err
	case "react":
		return map[string]string{}, ws.React(a.Channel, a.User, a.TS, a.Name)
	case "join":
		return map[string]string{}, ws.Join(a.Channel, a.User)
	case "leave":
		return map[string]string{}, ws.Leave(a.Channel, a.User)
	case "press":
		return map[string]string{}, ws.Press(r.Context(), a.Channel, a.User, a.TS, a.Action, a.Block)
	case "restrict":
		return map[string]string{}, ws.RestrictToOneChannel(a.User)
	}
	return nil, fmt.Errorf("act %q: there are say, react, join, leave, press and restrict", a.Act)
}
