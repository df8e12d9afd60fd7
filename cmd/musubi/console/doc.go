// Package console is the hub's few web pages: organizations, people, their seats, the state of each SaaS, and plans. Server-rendered,
// without a script, Japanese first and English second, and read-only: what changes something is a command.
//
// Until people can log in, the pages are opened by a one-time address that `musubi open` prints. It owns the tables console_ticket
// and console_session, which hold only SHA-256 hashes of what the browser has. A session is read from the database with each request,
// the person behind it is loaded anew, and each query carries that person's own policies.Scope.
//
// It never listens (it answers only to the names and addresses of this machine itself), never logs a ticket or a cookie, and never
// mints a scope of its own.
//
// Called by cmd/musubi: serve and demo mount the handler, open makes the ticket.
package console
