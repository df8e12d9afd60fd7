package connectors_test

import (
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
)

func TestMessageCheck(t *testing.T) {
	good := connectors.Message{
		Key: "incident-7.step-1", Channel: "C1", Subject: "確認のお願い", Text: "本文\n二行目",
		Actions: []connectors.Action{
			{ID: "ack", Label: "確認した", Value: "7", Style: connectors.StylePrimary},
			{ID: "open", Label: "開く", URL: "https://hub.example.jp/incident/7"},
		},
	}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	people := good
	people.Channel, people.To = "", []connectors.Recipient{{Address: "taro@city.example", Name: "見本 太郎"}}
	if err := people.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*connectors.Message){
		"no key":           func(m *connectors.Message) { m.Key = "" },
		"key with a space": func(m *connectors.Message) { m.Key = "a b" },
		"long key":         func(m *connectors.Message) { m.Key = strings.Repeat("k", 65) },
		"nowhere":          func(m *connectors.Message) { m.Channel = "" },
		"both":             func(m *connectors.Message) { m.To = people.To },
		"many recipients":  func(m *connectors.Message) { m.Channel, m.To = "", make([]connectors.Recipient, 101) },
		"no address":       func(m *connectors.Message) { m.Channel, m.To = "", []connectors.Recipient{{Name: "x"}} },
		"header injection": func(m *connectors.Message) {
			m.Channel, m.To = "", []connectors.Recipient{{Address: "a@b.example\r\nBcc: c"}}
		},
		"name of two lines": func(m *connectors.Message) {
			m.Channel, m.To = "", []connectors.Recipient{{Address: "a@b.example", Name: "x\ny"}}
		},
		"subject, two lines": func(m *connectors.Message) { m.Subject = "a\nb" },
		"long subject":       func(m *connectors.Message) { m.Subject = strings.Repeat("題", 251) },
		"no text":            func(m *connectors.Message) { m.Text = " \n" },
		"text not UTF-8":     func(m *connectors.Message) { m.Text = "\xff" },
		"long text":          func(m *connectors.Message) { m.Text = strings.Repeat("x", 256_001) },
		"mentions nobody":    func(m *connectors.Message) { m.Mentions = []connectors.Mention{{}} },
		"many mentions":      func(m *connectors.Message) { m.Mentions = make([]connectors.Mention, 51) },
		"many actions":       func(m *connectors.Message) { m.Actions = make([]connectors.Action, 11) },
		"action twice":       func(m *connectors.Message) { m.Actions[1].ID = "ack" },
		"action, no label":   func(m *connectors.Message) { m.Actions[0].Label = " " },
		"action over http":   func(m *connectors.Message) { m.Actions[1].URL = "http://hub.example.jp/" },
		"action, a script":   func(m *connectors.Message) { m.Actions[1].URL = "javascript:alert(1)" },
		"two primary":        func(m *connectors.Message) { m.Actions[1].Style = connectors.StylePrimary },
		"unknown style":      func(m *connectors.Message) { m.Actions[1].Style = "loud" },
		"long value":         func(m *connectors.Message) { m.Actions[0].Value = strings.Repeat("v", 2001) },
	} {
		m := good
		m.Actions = append([]connectors.Action(nil), good.Actions...)
		change(&m)
		if err := m.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
