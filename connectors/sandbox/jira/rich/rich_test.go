package rich_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
)

func TestCheck(t *testing.T) {
	p := func(inner string) string {
		return `{"type":"doc","version":1,"content":[{"type":"paragraph","content":[` + inner + `]}]}`
	}
	for _, c := range []struct {
		name, doc string
		want      error
	}{
		{"text", p(`{"type":"text","text":"x","marks":[{"type":"strong"}]}`), nil},
		{"empty", `{"type":"doc","version":1,"content":[]}`, nil},
		{"mention", p(`{"type":"mention","attrs":{"id":"a"}}`), nil},
		{"string", `"plain"`, rich.ErrDocument},
		{"null", `null`, rich.ErrDocument},
		{"no version", `{"type":"doc","content":[]}`, rich.ErrDocument},
		{"empty text", p(`{"type":"text","text":""}`), rich.ErrDocument},
		{"unknown node", p(`{"type":"blink"}`), rich.ErrDocument},
		{"block in a line", p(`{"type":"paragraph"}`), rich.ErrDocument},
		{"unknown mark", p(`{"type":"text","text":"x","marks":[{"type":"blink"}]}`), rich.ErrDocument},
		{"link to nowhere", p(`{"type":"text","text":"x","marks":[{"type":"link"}]}`), rich.ErrDocument},
		{"list without items", `{"type":"doc","version":1,"content":[{"type":"bulletList","content":[]}]}`, rich.ErrDocument},
		{"heading 7", `{"type":"doc","version":1,"content":[{"type":"heading","attrs":{"level":7}}]}`, rich.ErrDocument},
		{"too long", p(`{"type":"text","text":"` + strings.Repeat("あ", 32768) + `"}`), rich.ErrTooLong},
		{"as long as may be", p(`{"type":"text","text":"` + strings.Repeat("あ", 32767) + `"}`), nil},
	} {
		if err := rich.Check([]byte(c.doc)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestTextOfPlainTextIsItself(t *testing.T) {
	for _, text := range []string{"一行", "一行\n二行", "段落\n\n次の段落\n続き", ""} {
		doc := rich.FromText(text)
		if err := rich.Check(doc); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := rich.Text(doc); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	list := `{"type":"doc","version":1,"content":[{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"a"}]}]},{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"b"}]}]}]}]}`
	if got := rich.Text([]byte(list)); got != "\n* a\n* b" {
		t.Errorf("list: %q", got)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if rich.Check(raw) == nil {
			_ = rich.Text(raw)
		}
	})
}
