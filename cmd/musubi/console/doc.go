// Package console is the hub's web pages: organizations, people, their seats, the state of each SaaS; plans to read, approve, apply and stop;
// quarantine and breakers with what a person decides about them; and, in a demonstration, the things to try. Server-rendered, without a
// script, Japanese first and English second. What shows something under way loads itself again by the Refresh header, and a link stops that.
//
// Who has logged in comes with a session (Login); on a hub where no network has a login the pages are opened by a one-time address that
// `musubi open` prints. It owns the tables console_ticket and console_session of that second way, which hold only SHA-256 hashes of what the
// browser has. Either kind of session is read from the database with each request,
// the person behind it is loaded anew, and each query carries that person's own policies.Scope. A form carries a token of its session, its
// path and the state that its page showed (form.go): it decides on that state alone, once.
//
// It decides nothing itself: what may be done is the policies' answer, and what is done goes the way of the command of the same name. It
// never listens (without a login it answers only to the names and addresses of this machine itself), never logs a ticket or a cookie, and never mints a
// scope of its own.
//
// Called by cmd/musubi: serve and demo mount the handler, open makes the ticket.
package console
