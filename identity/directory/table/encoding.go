package table

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/transform"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// counts are what a text's bytes are in each encoding that offices use.
type counts struct {
	utf8, notUTF8 int // characters of three and four bytes; bytes that aren't UTF-8
	kanji         int // CP932 characters of two bytes whose first is 81 to 9F, which EUC-JP never has
	notCP932      int
	notEUC        int
}

// count reads a text to its end.
func count(r io.Reader) (counts, error) {
	var n counts
	var cp932, euc byte // the first byte of a character of two
	buffer, rest := make([]byte, 64<<10), 0
	for {
		read, err := r.Read(buffer[rest:])
		for _, b := range buffer[rest : rest+read] {
			cp932 = n.cp932(cp932, b)
			euc = n.euc(euc, b)
		}
		text := buffer[:rest+read]
		for len(text) > 0 && (err != nil || len(text) >= utf8.UTFMax) {
			if text[0] < utf8.RuneSelf {
				text = text[1:]
				continue
			}
			c, size := utf8.DecodeRune(text)
			switch {
			case c == utf8.RuneError && size == 1:
				n.notUTF8++
			case size > 2:
				n.utf8++
			}
			text = text[size:]
		}
		rest = copy(buffer, text)
		if err == io.EOF {
			if cp932 != 0 {
				n.notCP932++
			}
			if euc != 0 {
				n.notEUC++
			}
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// cp932 counts a byte after the first byte of a character, 0 for none.
func (n *counts) cp932(first, b byte) byte {
	switch {
	case first != 0:
		if !trail(b) {
			n.notCP932++
		} else if first <= 0x9f {
			n.kanji++
		}
	case b >= 0x81 && b <= 0x9f, b >= 0xe0 && b <= 0xfc:
		return b
	case b == 0x80, b == 0xa0, b >= 0xfd:
		n.notCP932++
	}
	return 0
}

func (n *counts) euc(first, b byte) byte {
	switch {
	case first != 0:
		if b < 0xa1 || b == 0xff {
			n.notEUC++
		}
	case b >= 0xa1 && b <= 0xfe, b == 0x8e:
		return b
	case b >= 0x80:
		n.notEUC++
	}
	return 0
}

func trail(b byte) bool { return b >= 0x40 && b <= 0x7e || b >= 0x80 && b <= 0xfc }

// A byte that isn't CP932 becomes lostBase plus the byte, in a plane that CP932 can't reach; user-defined characters 外字 become the private
// characters that Windows shows for them.
const (
	lostBase   = 0xF0000
	gaijiFirst = 0xE000
	gaijiLast  = gaijiFirst + 10*188 - 1
	maxLost    = 10_000
)

// decoder reads CP932 as UTF-8 and remembers where bytes were that are neither.
type decoder struct {
	r       io.Reader
	in      []byte // read, not decoded
	out     []byte // decoded, not given
	taken   int64  // bytes decoded
	given   int64  // bytes given
	lost    []lostByte
	strange bool // a lost byte or a user-defined character came
	err     error
}

type lostByte struct {
	in, out int64 // where it was in the file, and is in what was given
	b       byte
}

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	d.given += int64(n)
	return n, nil
}

func (d *decoder) fill() {
	const block = 16 << 10
	kept := len(d.in)
	d.in = slices.Grow(d.in, block)[:kept+block]
	n, err := d.r.Read(d.in[kept:])
	d.in, d.err = d.in[:kept+n], err
	d.out = make([]byte, 0, 2*len(d.in))
	var decode transform.Transformer = japanese.ShiftJIS.NewDecoder()
	for len(d.in) > 0 {
		b := d.in[0]
		size := 1
		switch {
		case b < 0x80:
			d.out = append(d.out, b)
		case b >= 0xa1 && b <= 0xdf:
			d.out = utf8.AppendRune(d.out, 0xFF61+rune(b)-0xa1)
		case b == 0x80 || b == 0xa0 || b >= 0xfd:
			d.lose(b)
		case len(d.in) == 1 && err == nil:
			return // the second byte comes with the next block
		case len(d.in) == 1 || !trail(d.in[1]):
			d.lose(b)
		case b >= 0xf0 && b <= 0xf9:
			d.strange, size = true, 2
			d.out = utf8.AppendRune(d.out, gaijiFirst+rune(b-0xf0)*188+rune(cellOf(d.in[1])))
		default:
			var character [utf8.UTFMax]byte
			n, _, err := decode.Transform(character[:], d.in[:2], true)
			if c, _ := utf8.DecodeRune(character[:n]); err != nil || c == utf8.RuneError {
				d.lose(b)
			} else {
				size = 2
				d.out = append(d.out, character[:n]...)
			}
		}
		d.in = d.in[size:]
		d.taken += int64(size)
	}
}

// cellOf counts the second bytes of a character of two.
func cellOf(b byte) int {
	if b > 0x7f {
		b--
	}
	return int(b) - 0x40
}

func (d *decoder) lose(b byte) {
	d.strange = true
	if len(d.lost) < maxLost {
		d.lost = append(d.lost, lostByte{d.taken, d.given + int64(len(d.out)), b})
	}
	d.out = utf8.AppendRune(d.out, lostBase+rune(b))
}

// drop forgets the lost bytes of a row that ended at an offset of what was given.
func (d *decoder) drop(end int64) []lostByte {
	if d == nil {
		return nil
	}
	n := 0
	for n < len(d.lost) && d.lost[n].out < end {
		n++
	}
	row := d.lost[:n:n]
	d.lost = d.lost[n:]
	return row
}

// faults finds what isn't CP932 in the cells of a row that ended at an offset, one fault a cell, and makes the marks visible.
func (d *decoder) faults(rep *review.Report, cells []string, end int64) []review.Finding {
	if d == nil || !d.strange {
		return nil
	}
	lost := d.drop(end)
	var faults []review.Finding
	for i, value := range cells {
		var found *review.Finding
		for _, c := range value {
			switch {
			case c >= lostBase && c <= lostBase+0xff:
				at := int64(-1)
				if len(lost) > 0 {
					at, lost = lost[0].in, lost[1:]
				}
				if found == nil {
					f := notCP932(nameOf(rep, i), at, byte(c-lostBase))
					found = &f
				}
			case c >= gaijiFirst && c <= gaijiLast && found == nil:
				f := gaiji(nameOf(rep, i), c)
				found = &f
			}
		}
		if found != nil {
			found.Value = strings.Map(func(c rune) rune {
				if c >= lostBase && c <= lostBase+0xff {
					return utf8.RuneError
				}
				return c
			}, value)
			faults = append(faults, *found)
		}
	}
	return faults
}

// nameOf names a column by its header, or counts it.
func nameOf(rep *review.Report, i int) string {
	if name := rep.Column(i); name != "" {
		return name
	}
	return fmt.Sprintf("%d", i+1)
}

// encodeCP932 appends the text in the bytes that Windows writes, and says which character CP932 lacks, if any.
func encodeCP932(to []byte, text string) ([]byte, rune, bool) {
	var encode transform.Transformer = japanese.ShiftJIS.NewEncoder()
	for i, c := range text {
		if c < utf8.RuneSelf {
			to = append(to, byte(c))
			continue
		}
		if c == utf8.RuneError {
			return to, c, false
		}
		var b [4]byte
		n, _, err := encode.Transform(b[:], []byte(text[i:i+utf8.RuneLen(c)]), true)
		if err != nil {
			return to, c, false
		}
		if n == 2 && (b[0] == 0xed || b[0] == 0xee) {
			b[0], b[1] = ibmExtension(b[0], b[1])
		}
		to = append(to, b[:n]...)
	}
	return to, 0, true
}

// ibmExtension moves a character from NEC's selection of the IBM extensions, rows ED and EE, where x/text writes it, to rows FA to FC, where
// Windows writes it. Both are read. https://learn.microsoft.com/windows/win32/intl/code-page-identifiers, WHATWG Encoding, index jis0208.
func ibmExtension(first, second byte) (byte, byte) {
	at := int(first-0xed)*188 + cellOf(second)
	switch {
	case at < 360: // kanji, after 28 others
		at += 28
	case at >= 362 && at < 372: // small Roman numerals
		at -= 362
	case at >= 373 && at < 376: // broken bar and the quotation marks
		at += 21 - 373
	default:
		return first, second
	}
	second = byte(at%188) + 0x40
	if second >= 0x7f {
		second++
	}
	return byte(0xfa + at/188), second
}
