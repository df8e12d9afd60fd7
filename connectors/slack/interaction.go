package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/musubi-hub/musubi/connectors"
)

// press is what the hub reads of an interaction. response_url and trigger_id's power to open windows aren't kept: whoever holds them
// may speak in the hub's name; the hub answers a press by UpdateMessage, with its own token.
type press struct {
	Type string `json:"type"`
	Team struct {
		ID string `json:"id"`
	} `json:"team"`
	User struct {
		ID     string `json:"id"`
		TeamID string `json:"team_id"`
	} `json:"user"`
	TriggerID string `json:"trigger_id"`
	Container struct {
		MessageTS string `json:"message_ts"`
		ChannelID string `json:"channel_id"`
		ThreadTS  string `json:"thread_ts"`
	} `json:"container"`
	Actions []struct {
		ActionID string `json:"action_id"`
		Type     string `json:"type"`
		Value    string `json:"value"`
		ActionTS string `json:"action_ts"`
	} `json:"actions"`
}

// maxActions bounds the actions of one press: Slack sends one.
const maxActions = 25

// parseInteraction reads a verified interaction: a form whose field payload is JSON. An empty answer of status 200 within 3 s
// acknowledges it.
func parseInteraction(body []byte) (connectors.Received, string) {
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["payload"]) != 1 {
		return connectors.Received{}, "the interaction has not exactly one payload"
	}
	payload := []byte(form.Get("payload"))
	var p press
	if err := json.Unmarshal(payload, &p); err != nil || p.Type == "" || len(p.Type) > maxChoice {
		return connectors.Received{}, "the interaction's payload can't be read"
	}
	r := connectors.Received{Tenant: p.Team.ID, Reply: connectors.Reply{Status: http.StatusOK}}
	if r.Tenant == "" {
		r.Tenant = p.User.TeamID
	}
	if r.Key = "press " + p.TriggerID; p.TriggerID == "" || len(p.TriggerID) > maxChoice {
		sum := sha256.Sum256(payload)
		r.Key = "press " + hex.EncodeToString(sum[:])
	}
	if p.Type != "block_actions" {
		r.Events = []connectors.Event{connectors.OtherEvent{Type: p.Type}}
		return r, ""
	}
	if len(p.Actions) == 0 || len(p.Actions) > maxActions || p.User.ID == "" {
		return connectors.Received{}, "the interaction names no user, no action, or too many"
	}
	for _, a := range p.Actions {
		if a.ActionID == "" || len(a.ActionID) > 255 || len(a.Value) > 4*maxChoice {
			return connectors.Received{}, "an action of the interaction has no id, or is too long"
		}
		at, _ := parseTimestamp(a.ActionTS)
		thread := p.Container.ThreadTS
		if thread == "" {
			thread = p.Container.MessageTS
		}
		r.Events = append(r.Events, connectors.Interaction{
			At: at, Channel: p.Container.ChannelID, Message: p.Container.MessageTS, Thread: thread,
			Account: p.User.ID, Action: a.ActionID, Value: a.Value,
		})
	}
	return r, ""
}
