package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Setting is one effective setting, as it may be shown: of a secret, the file alone.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	From   string `json:"from"` // default, file, environment or flag
	Origin Origin `json:"origin"`
}

// Settings lists the effective settings, without those of SaaS that aren't connected.
func (l *Loaded) Settings() []Setting {
	var out []Setting
	for _, s := range settings {
		if !l.has(s.section()) {
			continue
		}
		show := Setting{Key: s.key, Value: l.text(s.key), From: "default"}
		if s.key == "database" { // with the data folder before it
			show.Value = l.Database
		}
		if v, ok := l.values[s.key]; ok {
			show.Origin = v.origin
			switch {
			case v.origin.Flag != "":
				show.From = "flag"
			case v.origin.Env != "":
				show.From = "environment"
			default:
				show.From = "file"
			}
		}
		if s.secret && show.Value != "" {
			show.Value = "[file: " + show.Value + "]"
		}
		out = append(out, show)
	}
	return out
}

// Example is the commented configuration file: every setting, with its default or a sample value.
func Example() []byte {
	var b strings.Builder
	b.WriteString(`# Musubi の設定。データフォルダの musubi.yaml、または --config FILE。書かなければ既定値で動きます。
# Configuration of the hub: musubi.yaml in the data folder, or --config FILE. Every setting may be left out.
#
# 優先順: この下の値 < 環境変数 (MUSUBI_LISTEN、MUSUBI_JIRA_EMAIL など) < コマンドのフラグ。秘密は書かず、ファイルを名指します。
# Precedence: this file < environment (MUSUBI_LISTEN, MUSUBI_JIRA_EMAIL, ...) < flags. Secrets are named by file, never written here.
# 確認 / to check: musubi config check FILE
`)
	for _, s := range settings {
		if s.section() == "" {
			b.WriteString("\n" + s.exampleLines(""))
		}
	}
	for _, sec := range sections {
		fmt.Fprintf(&b, "\n# %s\n# %s\n#%s:\n", sec.ja, sec.en, sec.key)
		for _, s := range settings {
			if s.section() == sec.key {
				b.WriteString(s.exampleLines("  "))
			}
		}
	}
	return []byte(b.String())
}

// exampleLines are a setting's comment and the setting itself, commented out by # without a space.
func (s setting) exampleLines(indent string) string {
	name := strings.TrimPrefix(s.key, s.section()+".")
	note := ""
	switch {
	case s.need:
		note = " (必須 / required)"
	case s.def != "":
		note = " (既定 / default: " + s.def + ")"
	}
	value := s.example
	if quoted(value) && !s.number {
		value = `"` + value + `"`
	}
	return fmt.Sprintf("%s# %s\n%s# %s%s\n#%s%s: %s\n", indent, s.ja, indent, s.en, note, indent, name, value)
}

// quoted reports whether a YAML reader could take the text for something else than a string.
func quoted(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.-") == "" || slices.Contains([]string{"no", "yes", "on", "off", "true", "false", "null"}, text)
}

// Schema is a JSON Schema of the file, for editors.
func Schema() ([]byte, error) {
	top := map[string]any{}
	object := func(properties map[string]any, required []string) map[string]any {
		o := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
		if len(required) > 0 {
			o["required"] = required
		}
		return o
	}
	for _, sec := range sections {
		properties, required := map[string]any{}, []string(nil)
		for _, s := range settings {
			if s.section() == sec.key {
				name := strings.TrimPrefix(s.key, sec.key+".")
				properties[name] = s.schema()
				if s.need {
					required = append(required, name)
				}
			}
		}
		o := object(properties, required)
		o["description"] = sec.ja + " / " + sec.en
		top[sec.key] = o
	}
	for _, s := range settings {
		if s.section() == "" {
			top[s.key] = s.schema()
		}
	}
	doc := object(top, nil)
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["title"] = "Musubi: musubi.yaml"
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

func (s setting) schema() map[string]any {
	out := map[string]any{"type": "string", "description": s.ja + " / " + s.en}
	if s.number {
		out["type"] = "number"
	}
	if strings.HasSuffix(s.key, ".service_desk") {
		out["type"] = []string{"string", "integer"}
	}
	if len(s.choices) > 0 {
		out["enum"] = s.choices
	}
	if s.def != "" {
		out["default"] = s.def
		if s.number {
			out["default"] = json.Number(s.def)
		}
	}
	return out
}
