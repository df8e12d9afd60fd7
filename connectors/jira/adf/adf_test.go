package adf

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

var golden = []struct{ name, text, doc string }{
	{"paragraph", "一行目\n二行目\n\n次", `{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"一行目"},{"type":"hardBreak"},{"type":"text","text":"二行目"}]},{"type":"paragraph","content":[{"type":"text","text":"次"}]}]}`},
	{"empty", "", `{"type":"doc","version":1,"content":[]}`},
	{"heading", "## 見出し", `{"type":"doc","version":1,"content":[{"type":"heading","attrs":{"level":2},"content":[{"type":"text","text":"見出し"}]}]}`},
	{"marks", "**太字** と *斜体* と ~~取消~~ と `code`", `{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"太字","marks":[{"type":"strong"}]},{"type":"text","text":" と "},{"type":"text","text":"斜体","marks":[{"type":"em"}]},{"type":"text","text":" と "},{"type":"text","text":"取消","marks":[{"type":"strike"}]},{"type":"text","text":" と "},{"type":"text","text":"code","marks":[{"type":"code"}]}]}]}`},
	{"link and mention", "[様式](https://city.example/a) を @[見本 花子](qm:1:2) へ", `{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"様式","marks":[{"type":"link","attrs":{"href":"https://city.example/a"}}]},{"type":"text","text":" を "},{"type":"mention","attrs":{"id":"qm:1:2","text":"@見本 花子"}},{"type":"text","text":" へ"}]}]}`},
	{"lists", "- 一\n  - 一の一\n- 二\n\n3. 三\n4. 四", `{"type":"doc","version":1,"content":[{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"一"}]},{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"一の一"}]}]}]}]},{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"二"}]}]}]},{"type":"orderedList","attrs":{"order":3},"content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"三"}]}]},{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"四"}]}]}]}]}`},
	{"quote and code", "> 引用\n> 続き\n\n```go\nx := 1\n\ny\n```", `{"type":"doc","version":1,"content":[{"type":"blockquote","content":[{"type":"paragraph","content":[{"type":"text","text":"引用"},{"type":"hardBreak"},{"type":"text","text":"続き"}]}]},{"type":"codeBlock","attrs":{"language":"go"},"content":[{"type":"text","text":"x := 1\n\ny"}]}]}`},
	{"not marks", "2 * 3 * 4、a*b、C:\\dir [x] ](y) `", `{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"2 * 3 * 4、a*b、C:\\dir [x] ](y) ` + "`" + `"}]}]}`},
	{"unsafe link", "[x](javascript:alert)", `{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"[x](javascript:alert)"}]}]}`},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		got, err := FromText(g.text)
		if err != nil || !sameJSON(t, got, []byte(g.doc)) {
			t.Errorf("%s: %v\n got %s\nwant %s", g.name, err, got, g.doc)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, err := jsonschema.UnmarshalJSON(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	y, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return jsonText(x) == jsonText(y)
}

func TestTablesAreReadBack(t *testing.T) {
	text := "| 団体 | 数 |\n| --- | --- |\n| 札幌市<br>中央区 | **1** |\n| a\\|b | `x\\|y` |"
	doc, err := FromText(text)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ToText(doc)
	if err != nil || back != text {
		t.Errorf("%v\n%s\n%s", err, back, doc)
	}
}

func TestOtherNodesGiveTheirWords(t *testing.T) {
	doc := `{"type":"doc","version":1,"content":[
		{"type":"panel","attrs":{"panelType":"info"},"content":[{"type":"paragraph","content":[{"type":"text","text":"注意"}]}]},
		{"type":"taskList","attrs":{"localId":"1"},"content":[{"type":"taskItem","attrs":{"localId":"2","state":"DONE"},"content":[{"type":"text","text":"済"}]},{"type":"taskItem","attrs":{"localId":"3","state":"TODO"},"content":[{"type":"text","text":"未"}]}]},
		{"type":"paragraph","content":[{"type":"emoji","attrs":{"shortName":":smile:","text":"😀"}},{"type":"text","text":" "},{"type":"status","attrs":{"text":"受付","color":"blue"}},{"type":"text","text":" "},{"type":"date","attrs":{"timestamp":"1795478400000"}},{"type":"text","text":" "},{"type":"inlineCard","attrs":{"url":"https://a.example/x"}}]},
		{"type":"expand","attrs":{"title":"詳細"},"content":[{"type":"paragraph","content":[{"type":"text","text":"中"}]}]},
		{"type":"mediaSingle","content":[{"type":"media","attrs":{"type":"file","id":"1","collection":""}}]},
		{"type":"somethingNew","content":[{"type":"paragraph","content":[{"type":"text","text":"新"}]}]}]}`
	want := "> 注意\n\n- ☑ 済\n- ☐ 未\n\n😀 受付 2026-11-24 [https://a.example/x](https://a.example/x)\n\n**詳細**\n\n中\n\n新"
	if got, err := ToText([]byte(doc)); err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"long":          {second(FromText(strings.Repeat("あ", MaxText+1))), ErrTooLarge},
		"huge":          {second(FromText(strings.Repeat("a", MaxInput+1))), ErrTooLarge},
		"no JSON":       {second(ToText([]byte("x"))), ErrDocument},
		"no document":   {second(ToText([]byte(`{"type":"paragraph"}`))), ErrDocument},
		"string":        {second(ToText([]byte(`"x"`))), ErrDocument},
		"deep":          {second(ToText([]byte(`{"type":"doc","content":` + strings.Repeat(`[{"type":"x","content":`, 5000) + "[]" + strings.Repeat("}]", 5000) + "}"))), ErrTooLarge},
		"huge document": {second(ToText(make([]byte, MaxInput+1))), ErrTooLarge},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if _, err := FromText(strings.Repeat("> ", 3000) + "x\n" + strings.Repeat("- ", 3000) + "x"); err != nil {
		t.Errorf("deep text must be read as text: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// schema is the vendor's schema of documents.
func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "..", "shared", "specs", "adf_v1_full.schema.json"))
	if os.IsNotExist(err) {
		t.Skip("../shared/specs/adf_v1_full.schema.json is not there: documents can't be checked against the vendor's schema")
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("adf.json", v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("adf.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func conforms(s *jsonschema.Schema, doc []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func TestTextBecomesDocumentsOfTheVendorsSchema(t *testing.T) {
	s := schema(t)
	if conforms(s, []byte(`{"type":"doc","version":1,"content":[{"type":"bulletList","content":[]}]}`)) == nil {
		t.Fatal("the schema accepts what it must not")
	}
	for _, g := range golden {
		if err := conforms(s, []byte(g.doc)); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab 見*~`[]()@|<>#-+1.\\\n\n\t:/")), 0, 120, -1).Draw(rt, "text")
		doc, err := FromText(text)
		if err != nil {
			rt.Fatal(err)
		}
		if err := conforms(s, doc); err != nil {
			rt.Fatalf("%q: %v\n%s", text, err, doc)
		}
	})
}

// drawBlocks makes any blocks, also those that normal must mend.
func drawBlocks(rt *rapid.T, depth int) []block {
	n := rapid.IntRange(0, 3).Draw(rt, "blocks")
	var out []block
	for range n {
		k := kind(rapid.IntRange(0, int(rule)).Draw(rt, "kind"))
		b := block{kind: k}
		switch k {
		case paragraph:
			b.line = drawLine(rt)
		case heading:
			b.line, b.level = drawLine(rt), rapid.IntRange(0, 7).Draw(rt, "level")
		case bullets, numbers:
			b.level = rapid.IntRange(0, 12).Draw(rt, "first")
			if depth < 3 {
				for range rapid.IntRange(0, 3).Draw(rt, "items") {
					b.items = append(b.items, drawBlocks(rt, depth+1))
				}
			}
		case quote:
			if depth < 3 {
				b.blocks = drawBlocks(rt, depth+1)
			}
		case code:
			b.text = rapid.StringOfN(rapid.RuneFrom([]rune("a \n`\\|#-")), 0, 12, -1).Draw(rt, "code")
			b.language = rapid.SampledFrom([]string{"", "go", "c++", "a b"}).Draw(rt, "language")
		case table:
			b.header = rapid.Bool().Draw(rt, "header")
			for range rapid.IntRange(0, 3).Draw(rt, "rows") {
				var row [][]span
				for range rapid.IntRange(0, 3).Draw(rt, "cells") {
					row = append(row, drawLine(rt))
				}
				b.rows = append(b.rows, row)
			}
		}
		out = append(out, b)
	}
	return out
}

func drawLine(rt *rapid.T) []span {
	var out []span
	for range rapid.IntRange(0, 4).Draw(rt, "spans") {
		s := span{kind: spanKind(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2}).Draw(rt, "span"))}
		s.text = rapid.StringOfN(rapid.RuneFrom([]rune("ab 見*~`[]()@|<>#-+1.\\\n\t-")), 0, 8, -1).Draw(rt, "text")
		s.id = rapid.SampledFrom([]string{"", "qm:1:2", "a b", "x)"}).Draw(rt, "id")
		if s.kind == words {
			s.style = style{
				rapid.Bool().Draw(rt, "strong"), rapid.Bool().Draw(rt, "em"), rapid.Bool().Draw(rt, "strike"), rapid.IntRange(0, 4).Draw(rt, "code") == 0,
				rapid.SampledFrom([]string{"", "", "https://a.example/(x)|y", "mailto:a@b.example", "javascript:x"}).Draw(rt, "link"),
			}
		}
		out = append(out, s)
	}
	return out
}

// TestRoundTrip: what is normal comes back from text and from the document as it was.
func TestRoundTrip(t *testing.T) {
	s := schema(t)
	rapid.Check(t, func(rt *rapid.T) {
		want := normal(drawBlocks(rt, 0), inDocument)
		doc, err := encode(want)
		if err != nil {
			rt.Fatal(err)
		}
		if again, _ := encode(normal(want, inDocument)); !bytes.Equal(again, doc) {
			rt.Fatalf("normal isn't its own normal form:\n%s\n%s", doc, again)
		}
		if err := conforms(s, doc); err != nil {
			rt.Fatalf("%v\n%s", err, doc)
		}
		decoded, err := decode(doc)
		if err != nil {
			rt.Fatal(err)
		}
		if back, _ := encode(normal(decoded, inDocument)); !bytes.Equal(back, doc) {
			rt.Fatalf("from the document:\n%s\n%s", back, doc)
		}
		text := render(want)
		if back, _ := encode(normal(parse(text), inDocument)); !bytes.Equal(back, doc) {
			rt.Fatalf("from the text %q:\n%s\nwant\n%s", text, back, doc)
		}
	})
}

func FuzzFromText(f *testing.F) {
	for _, g := range golden {
		f.Add(g.text)
	}
	f.Add("| a |\n| --- |\n| b<br>c |")
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := FromText(text)
		if err != nil {
			return
		}
		once, err := ToText(doc)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := FromText(once)
		if err != nil || !bytes.Equal(again, doc) {
			t.Fatalf("%q became %q:\n%s\n%s %v", text, once, doc, again, err)
		}
	})
}

func FuzzToText(f *testing.F) {
	for _, g := range golden {
		f.Add([]byte(g.doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		text, err := ToText(doc)
		if err != nil {
			return
		}
		if len(text) < MaxText/4 {
			if _, err := FromText(text); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

func jsonText(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
