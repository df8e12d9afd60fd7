package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Bounds of a session.
const (
	maxCommand = 1024
	maxErrors  = 10
	idle       = 5 * time.Minute // RFC 5321 section 4.5.3.2.7
	maxTextRow = 998             // RFC 5321 section 4.5.3.1.6, without CRLF
)

// session is one connection.
type session struct {
	box    *Box
	ctx    context.Context
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	timer  *time.Timer
	tls    bool
	helo   string
	user   string
	from   string
	mail   bool // MAIL was accepted
	to     []string
	errors int
}

// Serve talks to one client until it leaves or ctx ends.
func (b *Box) Serve(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	raw := conn
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	s := &session{box: b, ctx: ctx, conn: conn, r: bufio.NewReaderSize(conn, 4096), w: bufio.NewWriter(conn)}
	_, s.tls = conn.(*tls.Conn)
	s.timer = time.AfterFunc(idle, func() { _ = raw.Close() })
	defer s.timer.Stop()
	defer func() { _ = conn.Close() }()
	if !s.proceed("CONNECT", func() bool { return s.reply(220, b.opt.Hostname+" ESMTP musubi sandbox") }) {
		return
	}
	for s.errors < maxErrors {
		line, err := s.line(maxCommand)
		s.timer.Reset(idle)
		if errors.Is(err, errLong) {
			s.errors++
			if !s.reply(500, "5.5.2 Line too long") {
				return
			}
			continue
		}
		if err != nil || !s.command(line) {
			return
		}
	}
	s.reply(421, "4.7.0 Too many errors")
}

var errLong = errors.New("line too long")

// line reads one line without its end.
func (s *session) line(limit int) (string, error) {
	var whole []byte
	for {
		part, err := s.r.ReadSlice('\n')
		if len(whole) <= limit {
			whole = append(whole, part...)
		}
		switch {
		case err == nil && len(whole) > limit:
			return "", errLong
		case err == nil:
			return strings.TrimRight(string(whole), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

func (s *session) reply(code int, text string) bool {
	_, _ = fmt.Fprintf(s.w, "%d %s\r\n", code, text)
	return s.w.Flush() == nil
}

func (s *session) refuse(code int, text string) bool {
	s.errors++
	return s.reply(code, text)
}

// proceed lets a planted fault have its way, or does the work. It gives whether the session goes on.
func (s *session) proceed(op string, work func() bool) bool {
	f := s.box.gate.Fault(op)
	if !pause(s.ctx, f.Latency) {
		return false
	}
	switch {
	case f.Reset:
		return false
	case f.Garbage:
		_, _ = s.w.WriteString("<html><body>Bad gateway</body></html>\r\n")
		return s.w.Flush() == nil
	case f.Reply != 0:
		return s.reply(f.Reply, enhancedFor(f.Reply)+" Fault planted by the sandbox")
	case f.Swallow:
		s.w = bufio.NewWriter(io.Discard) // the work is done, nobody hears of it
		work()
		pause(s.ctx, f.For)
		return false
	}
	return work()
}

// enhancedFor gives the enhanced code that goes with a planted answer: 450 and 451 are greylisting (RFC 6647).
func enhancedFor(code int) string {
	switch code {
	case 450, 451:
		return "4.7.1"
	case 552:
		return "5.3.4"
	case 535:
		return "5.7.8"
	}
	return strconv.Itoa(code/100) + ".0.0"
}

// command carries out one command. It gives whether the session goes on.
func (s *session) command(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		return s.hello(strings.ToUpper(verb), strings.TrimSpace(arg))
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.auth(arg)
	case "MAIL":
		return s.proceed("MAIL", func() bool { return s.sender(arg) })
	case "RCPT":
		return s.proceed("RCPT", func() bool { return s.recipient(arg) })
	case "DATA":
		return s.proceed("DATA", s.data)
	case "RSET":
		s.reset()
		return s.reply(250, "2.0.0 OK")
	case "NOOP":
		return s.reply(250, "2.0.0 OK")
	case "VRFY":
		return s.reply(252, "2.5.2 Cannot VRFY user")
	case "QUIT":
		s.reply(221, "2.0.0 Bye")
		return false
	}
	return s.refuse(500, "5.5.1 Command not recognized")
}

func (s *session) reset() { s.mail, s.from, s.to = false, "", nil }

func (s *session) hello(verb, name string) bool {
	if name == "" {
		return s.refuse(501, "5.5.4 Say your name")
	}
	s.helo = name
	s.reset()
	if verb == "HELO" {
		return s.reply(250, s.box.opt.Hostname)
	}
	lines := []string{s.box.opt.Hostname, "SIZE " + strconv.Itoa(s.box.opt.MaxSize), "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"}
	if s.box.opt.TLS != nil && !s.tls {
		lines = append(lines, "STARTTLS")
	}
	if s.mayAuth() {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	for i, l := range lines {
		mark := "-"
		if i == len(lines)-1 {
			mark = " "
		}
		_, _ = s.w.WriteString("250" + mark + l + "\r\n")
	}
	return s.w.Flush() == nil
}

// mayAuth says whether AUTH is offered: not before TLS where there is TLS (RFC 4954 section 4).
func (s *session) mayAuth() bool {
	return s.box.opt.User != "" && (s.tls || s.box.opt.TLS == nil)
}

func (s *session) startTLS() bool {
	if s.box.opt.TLS == nil || s.tls {
		return s.refuse(503, "5.5.1 STARTTLS isn't offered")
	}
	if !s.reply(220, "2.0.0 Ready to start TLS") {
		return false
	}
	secured := tls.Server(s.conn, s.box.opt.TLS)
	if err := secured.HandshakeContext(s.ctx); err != nil {
		return false
	}
	// What was sent in the clear behind STARTTLS is forgotten (CVE-2011-0411).
	s.conn, s.r, s.w, s.tls, s.helo = secured, bufio.NewReaderSize(secured, 4096), bufio.NewWriter(secured), true, ""
	s.reset()
	return true
}

func (s *session) auth(arg string) bool {
	mechanism, initial, _ := strings.Cut(arg, " ")
	switch {
	case !s.mayAuth() || s.helo == "":
		return s.refuse(503, "5.5.1 AUTH isn't offered")
	case s.user != "":
		return s.refuse(503, "5.5.1 Already authenticated")
	}
	ask := func(prompt string) (string, bool) {
		if !s.reply(334, base64.StdEncoding.EncodeToString([]byte(prompt))) {
			return "", false
		}
		answer, err := s.line(maxCommand)
		return answer, err == nil
	}
	var user, password []byte
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if initial == "" {
			var ok bool
			if initial, ok = ask(""); !ok {
				return false
			}
		}
		raw, err := base64.StdEncoding.DecodeString(initial)
		parts := bytes.Split(raw, []byte{0})
		if err != nil || len(parts) != 3 {
			return s.refuse(501, "5.5.2 Malformed AUTH input")
		}
		user, password = parts[1], parts[2]
	case "LOGIN":
		name, ok := ask("Username:")
		if !ok {
			return false
		}
		word, ok := ask("Password:")
		if !ok {
			return false
		}
		user, _ = base64.StdEncoding.DecodeString(name)
		password, _ = base64.StdEncoding.DecodeString(word)
	default:
		return s.refuse(504, "5.5.4 Unrecognized authentication type")
	}
	if subtle.ConstantTimeCompare(user, []byte(s.box.opt.User))&subtle.ConstantTimeCompare(password, []byte(s.box.opt.Password)) != 1 {
		return s.refuse(535, "5.7.8 Authentication credentials invalid")
	}
	s.user = s.box.opt.User
	return s.reply(235, "2.7.0 Authentication successful")
}

// path reads "FROM:<a@b> SIZE=1" into the address and the parameters.
func path(arg, word string) (address string, params []string, ok bool) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return "", nil, false
	}
	rest := strings.TrimLeft(arg[len(word):], " ")
	address, after, ok := strings.Cut(strings.TrimPrefix(rest, "<"), ">")
	return address, strings.Fields(after), ok && strings.HasPrefix(rest, "<")
}

func validAddress(s string) bool {
	parsed, err := netmail.ParseAddress(s)
	if err != nil || parsed.Address != s || len(s) > 254 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func (s *session) sender(arg string) bool {
	address, params, ok := path(arg, "FROM:")
	switch {
	case s.helo == "":
		return s.refuse(503, "5.5.1 Say EHLO first")
	case s.box.opt.User != "" && s.user == "":
		return s.refuse(530, "5.7.0 Authentication required")
	case s.mail:
		return s.refuse(503, "5.5.1 Sender already given")
	case !ok || address != "" && !validAddress(address):
		return s.refuse(553, "5.1.7 Invalid sender address")
	}
	for _, p := range params {
		name, value, _ := strings.Cut(strings.ToUpper(p), "=")
		switch name {
		case "SIZE":
			if n, err := strconv.Atoi(value); err != nil || n > s.box.opt.MaxSize {
				return s.refuse(552, "5.3.4 Message size exceeds fixed limit")
			}
		case "BODY", "RET", "ENVID":
		default:
			return s.refuse(555, "5.5.4 Unsupported parameter")
		}
	}
	if !s.box.gate.Take(site.Limit{Rate: s.box.opt.Rate, Burst: int(max(1, 2*s.box.opt.Rate))}, s.box.now()) {
		return s.reply(450, "4.7.1 Too many messages, slow down")
	}
	s.mail, s.from, s.to = true, address, nil
	return s.reply(250, "2.1.0 OK")
}

func (s *session) recipient(arg string) bool {
	address, params, ok := path(arg, "TO:")
	if !s.mail {
		return s.refuse(503, "5.5.1 Give the sender first")
	}
	if !ok || !validAddress(address) {
		return s.refuse(501, "5.1.3 Bad recipient address syntax")
	}
	for _, p := range params {
		if name, _, _ := strings.Cut(strings.ToUpper(p), "="); name != "NOTIFY" && name != "ORCPT" {
			return s.refuse(555, "5.5.4 Unsupported parameter")
		}
	}
	if len(s.to) >= s.box.opt.MaxRecipients {
		return s.reply(452, "4.5.3 Too many recipients")
	}
	if !s.box.knows(address) {
		return s.refuse(550, "5.1.2 <"+address+">: Recipient address rejected: Domain not found")
	}
	s.to = append(s.to, address)
	return s.reply(250, "2.1.5 OK")
}

// knows says whether the domain exists.
func (b *Box) knows(address string) bool {
	_, domain, _ := strings.Cut(strings.ToLower(address), "@")
	if strings.HasSuffix(domain, ".invalid") {
		return false
	}
	for _, d := range b.opt.Domains {
		if d = strings.ToLower(d); domain == d || strings.HasSuffix(domain, "."+d) {
			return true
		}
	}
	return len(b.opt.Domains) == 0
}

// data takes the text. Bare line feeds are refused, as relays do since SMTP smuggling, and so are rows longer than 998 octets.
func (s *session) data() bool {
	if len(s.to) == 0 {
		return s.refuse(503, "5.5.1 No valid recipients")
	}
	if !s.reply(354, "End data with <CR><LF>.<CR><LF>") {
		return false
	}
	raw, refusal, err := s.text()
	if err != nil {
		return false
	}
	return s.proceed("END", func() bool {
		defer s.reset()
		if refusal == "" {
			refusal = unacceptable(raw)
		}
		if refusal != "" {
			code, text, _ := strings.Cut(refusal, " ")
			n, _ := strconv.Atoi(code)
			return s.refuse(n, text)
		}
		m, err := s.box.accept(Mail{At: s.box.now().UnixMicro(), From: s.from, To: s.to, TLS: s.tls, User: s.user, Raw: raw})
		if errors.Is(err, errFull) {
			return s.reply(452, "4.3.1 Insufficient system storage")
		}
		if err != nil {
			return s.reply(451, "4.3.0 The mail couldn't be stored")
		}
		s.box.bounceUnknown(m)
		return s.reply(250, "2.0.0 OK: queued as "+strconv.FormatInt(m.ID, 10))
	})
}

// text reads until the line with a dot alone.
func (s *session) text() (raw []byte, refusal string, err error) {
	var all bytes.Buffer
	for {
		var row []byte
		for {
			part, err := s.r.ReadSlice('\n')
			if all.Len()+len(row)+len(part) <= s.box.opt.MaxSize {
				row = append(row, part...)
			} else {
				refusal = "552 5.3.4 Message size exceeds fixed limit"
				row = append(row[:0], part...)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, "", err
			}
		}
		s.timer.Reset(idle)
		switch {
		case string(row) == ".\r\n":
			return all.Bytes(), refusal, nil
		case refusal != "":
			continue
		case !bytes.HasSuffix(row, []byte("\r\n")):
			refusal = "550 5.5.2 Bare line feed"
		case len(row) > maxTextRow+2:
			refusal = "500 5.5.2 Line longer than 998 octets"
		}
		all.Write(bytes.TrimPrefix(row, []byte("."))) // dot stuffing
	}
}

// unacceptable gives the answer to a mail that strict receivers don't take (RFC 5322 section 3.6), or nothing.
func unacceptable(raw []byte) string {
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "554 5.6.0 Malformed header"
	}
	for _, name := range []string{"From", "Date", "Message-Id"} {
		if n := len(msg.Header[name]); n != 1 {
			return fmt.Sprintf("550 5.7.1 The header has %d fields %s, want one", n, name)
		}
	}
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for _, c := range head {
		if c >= 0x80 {
			return "554 5.6.7 Header with octets beyond ASCII"
		}
	}
	return ""
}
