package adf

import (
	"errors"
	"unicode/utf8"
)

// The bounds of a document.
const (
	MaxText    = 32767   // characters of text, the vendor's bound of a comment or a text field
	MaxInput   = 1 << 20 // octets of text or of a document that are read
	maxDepth   = 12      // of lists and quotes in each other
	maxNesting = 100     // of nodes of a document that is read
	maxNodes   = 50_000
	maxColumns = 64
	maxAddress = 2000 // octets of a link
)

// What is refused.
var (
	ErrTooLarge = errors.New("adf: the text is larger than 32767 characters, or too deep")
	ErrDocument = errors.New("adf: this is no Atlassian document")
)

type kind int

// The kinds of block.
const (
	paragraph kind = iota
	heading
	bullets
	numbers
	quote
	code
	table
	rule
)

// block is one block of a document.
type block struct {
	kind     kind
	level    int    // of a heading, 1 to 6; the first number of a numbered list
	language string // of code
	text     string // of code
	line     []span // of a paragraph or heading
	blocks   []block
	items    [][]block  // of a list
	rows     [][][]span // of a table
	header   bool       // the table's first row is its header
}

type spanKind int

const (
	words spanKind = iota
	lineBreak
	mention
)

// span is a run of text in one style, a line break or a mention.
type span struct {
	kind  spanKind
	text  string // a mention's name, without @
	id    string // a mention's account id
	style style
}

// style is what marks a run of words.
type style struct {
	strong, em, strike, code bool
	link                     string
}

// FromText makes a document of text, as JSON. ErrTooLarge past MaxText characters.
func FromText(text string) ([]byte, error) {
	if len(text) > MaxInput || utf8.RuneCountInString(text) > 2*MaxText { // half of it may be marks
		return nil, ErrTooLarge
	}
	blocks := normal(parse(text), inDocument)
	if length(blocks) > MaxText {
		return nil, ErrTooLarge
	}
	return encode(blocks)
}

// ToText gives a document as text. ErrDocument where it is none.
func ToText(doc []byte) (string, error) {
	blocks, err := decode(doc)
	if err != nil {
		return "", err
	}
	return render(normal(blocks, inDocument)), nil
}

func length(blocks []block) int {
	n := 0
	spans := func(line []span) {
		for _, s := range line {
			n += len([]rune(s.text)) + 1
		}
	}
	for _, b := range blocks {
		n += len([]rune(b.text))
		spans(b.line)
		n += length(b.blocks)
		for _, item := range b.items {
			n += length(item)
		}
		for _, row := range b.rows {
			for _, cell := range row {
				spans(cell)
			}
		}
	}
	return n
}
