package sandbox

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/mail"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// maxMailClients bounds how many clients the relay talks to at once.
const maxMailClients = 100

// DialMail opens a connection to the relay in the same process, without a socket, in the form of (*net.Dialer).DialContext.
func (s *Sandbox) DialMail(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	// The relay goes on after the dialling is done: it ends with the connection.
	go s.mail.Serve(context.WithoutCancel(ctx), server)
	return client, nil
}

// ServeMail takes SMTP clients from l until ctx ends or l is closed, and waits for those that are there.
func (s *Sandbox) ServeMail(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	room := make(chan struct{}, maxMailClients)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		select {
		case room <- struct{}{}:
		default:
			_, _ = conn.Write([]byte("421 4.3.2 Too many connections\r\n"))
			_ = conn.Close()
			continue
		}
		clients.Go(func() {
			defer func() { <-room }()
			s.mail.Serve(ctx, conn)
		})
	}
}

// ReplyMail answers a mail as its first recipient, quoting it, in a charset ("" is UTF-8).
func (s *Sandbox) ReplyMail(id int64, text, charset string) error {
	return s.mail.Reply(id, text, charset)
}

// BounceMail reports that a mail didn't reach recipient ("" is the first); action is "failed" or "delayed".
func (s *Sandbox) BounceMail(id int64, recipient, action string) error {
	return s.mail.Bounce(id, recipient, action)
}

// mailGate lets planted faults and the quota meet SMTP commands.
func (s *Sandbox) mailGate() mail.Gate {
	return mail.Gate{
		Fault: func(op string) mail.Fault {
			plan := s.faults.plan(Mail, &site.Route{Op: op}, "", &http.Request{Method: op, URL: &url.URL{}})
			f := mail.Fault{Latency: plan.latency, Swallow: plan.swallow, For: plan.swallowFor}
			if b := plan.before; b != nil {
				switch b.Kind {
				case FaultStatus:
					f.Reply = b.Status
				case FaultReset:
					f.Reset = true
				case FaultHTML:
					f.Garbage = true
				case FaultNoRetryAfter:
					f.Reply = 450
				}
			}
			return f
		},
		Take: func(limit site.Limit, now time.Time) bool {
			ok, _, _ := s.quotas.take(Mail, "smtp", s.quotas.scaled(limit), now)
			return ok
		},
	}
}

// postMail carries out what a person presses on a mail's page.
func (s *Sandbox) postMail(w http.ResponseWriter, r *http.Request) {
	if err := s.checkSender(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	number, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"+Mail+"/"), "/")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || what != "reply" && what != "bounce" {
		s.pages.missing(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form can't be read", http.StatusBadRequest)
		return
	}
	if what == "reply" {
		err = s.ReplyMail(id, strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n"), r.PostForm.Get("charset"))
	} else {
		err = s.BounceMail(id, "", r.PostForm.Get("action"))
	}
	switch {
	case errors.Is(err, mail.ErrUnknown):
		s.pages.missing(w)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		http.Redirect(w, r, "/mail/"+strconv.FormatInt(id, 10), http.StatusSeeOther)
	}
}

func (p *pageSet) mails(w http.ResponseWriter, r *http.Request) {
	query, page := readList(r)
	rows, total := p.s.mail.Mails(query, (page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "mails", view{
		Title: "メール", TitleEN: "Mail", Tab: "mails", Query: query, Searchable: true, Mails: rows,
		Pager: newPager("/mail/", query, page, len(rows), total),
	})
}

func (p *pageSet) mail(w http.ResponseWriter, text string) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		p.missing(w)
		return
	}
	row, ok := p.s.mail.Mail(id)
	if !ok {
		p.missing(w)
		return
	}
	p.render(w, http.StatusOK, "mail", view{Title: row.Subject, TitleEN: "Mail", Tab: "mails", Mail: row})
}

// NoSuchMailUser begins the local parts that the relay takes and then bounces.
const NoSuchMailUser = mail.NoSuchUser

// PrepareMaildir makes a Maildir's folders, so that a reader can begin before anything came.
func PrepareMaildir(dir string) error { return mail.PrepareMaildir(dir) }
