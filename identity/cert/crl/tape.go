package crl

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync/atomic"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// How a stream is cut up. A block is what is read at once; what the parser needs in one piece may lie across two, so that the rest of the one
// before is copied in front of it.
const (
	blockSize  = 256 << 10
	blockCount = 8
)

// tape gives the bytes of a list to the parser and, on the way and beside it, to two hashes: of everything, and of the part that is signed.
type tape struct {
	src    io.Reader // nil where everything is in window
	room   int       // of each block, before what is read: the longest piece that the parser may ask for
	window []byte    // what lies before the parser
	pos    int       // where in window it is
	base   int64     // where in the list window begins
	read   int64     // how much of the list was read
	most   int64     // how much may be read

	now  *block
	free chan *block
	stop atomic.Bool

	whole, signed *digester
	from, to      int64  // where the signed part lies
	early         []byte // what was read before it was known where the signed part lies
}

type block struct {
	buf   []byte
	users atomic.Int32
	free  chan *block
}

func (b *block) release() {
	if b != nil && b.users.Add(-1) == 0 {
		b.free <- b
	}
}

// piece is something to be hashed; its block, if it has one, is free again afterwards.
type piece struct {
	octets []byte
	of     *block
}

// digester hashes pieces in a goroutine of its own.
type digester struct {
	hash hash.Hash
	in   chan piece
	done chan struct{}
	shut bool
}

func newDigester(h hash.Hash, depth int, stop *atomic.Bool) *digester {
	d := &digester{hash: h, in: make(chan piece, depth), done: make(chan struct{})}
	go func() {
		defer close(d.done)
		for p := range d.in {
			if !stop.Load() {
				d.hash.Write(p.octets) // a hash never fails
			}
			p.of.release()
		}
	}()
	return d
}

func (d *digester) end() {
	if !d.shut {
		d.shut = true
		close(d.in)
	}
	<-d.done
}

func (d *digester) sum() []byte {
	d.end()
	return d.hash.Sum(nil)
}

// newTape reads src in blocks of the given size.
func newTape(src io.Reader, size, room int, most int64) *tape {
	t := &tape{src: src, room: room, most: most, free: make(chan *block, blockCount)}
	for range blockCount {
		t.free <- &block{buf: make([]byte, room+size), free: t.free}
	}
	t.whole = newDigester(sha256.New(), blockCount, &t.stop)
	return t
}

// newTapeOf reads a list that is in memory as a whole.
func newTapeOf(list []byte) *tape {
	t := &tape{window: list, read: int64(len(list)), most: int64(len(list))}
	t.whole = newDigester(sha256.New(), len(list)/blockSize+1, &t.stop)
	t.feed(t.whole, list)
	return t
}

// feed cuts what is in memory into pieces, so that hashing can be stopped between two.
func (t *tape) feed(d *digester, octets []byte) {
	for len(octets) > 0 {
		n := min(len(octets), blockSize)
		d.in <- piece{octets: octets[:n]}
		octets = octets[n:]
	}
}

// offset is where in the list the parser is.
func (t *tape) offset() int64 { return t.base + int64(t.pos) }

// more reads another block behind what is left of the window. It is io.EOF at the end of the source.
func (t *tape) more() error {
	if t.src == nil {
		return io.EOF
	}
	left := t.window[t.pos:]
	if len(left) > t.room {
		return refuse(CodeLimit, "an element is longer than may be")
	}
	b := <-t.free
	b.users.Store(1)
	copy(b.buf[t.room-len(left):], left)
	n, err := io.ReadFull(t.src, b.buf[t.room:])
	t.read += int64(n)
	octets := b.buf[t.room : t.room+n]
	if n > 0 {
		b.users.Add(1)
		t.whole.in <- piece{octets, b}
		if t.signed != nil {
			t.clip(octets, t.read-int64(n), b)
		} else {
			t.early = append(t.early, octets...)
		}
	}
	t.base += int64(t.pos)
	t.window, t.pos = b.buf[t.room-len(left):t.room+n], 0
	t.now.release()
	t.now = b
	switch {
	case t.read > t.most:
		return refuse(CodeLimit, "the list is longer than may be")
	case err == nil, n > 0 && errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return &Error{Code: CodeRead, Offset: t.read, Err: err}
}

// need gives the next n octets, at least, in one piece.
func (t *tape) need(n int) ([]byte, error) {
	for len(t.window)-t.pos < n {
		err := t.more()
		if errors.Is(err, io.EOF) {
			return nil, &Error{Code: CodeTruncated, Offset: t.offset(), Detail: "the list ends too early"}
		}
		if err != nil {
			return nil, err
		}
	}
	return t.window[t.pos:], nil
}

// header reads the identifier and length of the next element and passes them. end is where the element around it ends.
func (t *tape) header(tag byte, end int64) (length int64, err error) {
	at := t.offset()
	got, size, claimed, err := t.peek(end)
	if err != nil {
		return 0, err
	}
	if got != tag {
		return 0, &Error{Code: CodeEncoding, Offset: at, Err: der.ErrTag}
	}
	if claimed > uint64(max(end-at-int64(size), 0)) {
		return 0, &Error{Code: CodeTruncated, Offset: at, Detail: "an element is longer than the one around it"}
	}
	t.pos += size
	return int64(claimed), nil
}

// peek looks at the identifier and length of the next element.
func (t *tape) peek(end int64) (tag byte, size int, length uint64, err error) {
	at := t.offset()
	for want := 2; ; want++ {
		if at+int64(want) > end {
			return 0, 0, 0, &Error{Code: CodeTruncated, Offset: at, Detail: "an element is cut off by the end of the one around it"}
		}
		b, err := t.need(want)
		if err != nil {
			return 0, 0, 0, err
		}
		tag, size, length, err = der.Header(b[:want])
		if err == nil {
			return tag, size, length, nil
		}
		if !errors.Is(err, der.ErrTruncated) {
			return 0, 0, 0, &Error{Code: CodeEncoding, Offset: at, Err: err}
		}
	}
}

// element gives the next element as a whole, of at most so many octets, and passes it. It is valid until the next call.
func (t *tape) element(end int64, most int) ([]byte, error) {
	at := t.offset()
	_, size, length, err := t.peek(end)
	if err != nil {
		return nil, err
	}
	if length > uint64(max(end-at-int64(size), 0)) {
		return nil, &Error{Code: CodeTruncated, Offset: at, Detail: "an element is longer than the one around it"}
	}
	if length > uint64(most-size) {
		return nil, &Error{Code: CodeLimit, Offset: at, Detail: "an element is longer than may be"}
	}
	n := size + int(length)
	b, err := t.need(n)
	if err != nil {
		return nil, err
	}
	t.pos += n
	return b[:n:n], nil
}

// sign says from where to where the signed part goes, and with which hash.
func (t *tape) sign(h crypto.Hash, from, to int64) {
	t.from, t.to = from, to
	if t.src == nil {
		t.signed = newDigester(h.New(), len(t.window)/blockSize+1, &t.stop)
		// The end is a claim of the list; who reads on finds out that it is cut off.
		have := int64(len(t.window))
		t.feed(t.signed, t.window[min(from, have):min(to, have)])
		return
	}
	t.signed = newDigester(h.New(), blockCount, &t.stop)
	t.clip(t.early, 0, nil)
	t.early = nil
}

// clip passes on what of the octets, which begin at that place of the list, is signed.
func (t *tape) clip(octets []byte, at int64, of *block) {
	lo, hi := max(t.from-at, 0), min(t.to-at, int64(len(octets)))
	if lo >= hi {
		return
	}
	if of != nil {
		of.users.Add(1)
	}
	t.signed.in <- piece{octets[lo:hi], of}
}

// end makes sure that nothing follows, and gives the two digests.
func (t *tape) end() (whole, signed []byte, err error) {
	if t.pos < len(t.window) {
		return nil, nil, &Error{Code: CodeTrailing, Offset: t.offset(), Err: der.ErrTrailing}
	}
	if err := t.more(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = &Error{Code: CodeTrailing, Offset: t.offset(), Err: der.ErrTrailing}
		}
		return nil, nil, err
	}
	if t.signed == nil {
		return t.whole.sum(), nil, nil
	}
	return t.whole.sum(), t.signed.sum(), nil
}

// close ends the hashing. When it returns, nothing reads the list any more.
func (t *tape) close() {
	t.stop.Store(true)
	t.whole.end()
	if t.signed != nil {
		t.signed.end()
	}
}
