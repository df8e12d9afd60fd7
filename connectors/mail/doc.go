// Package mail sends messages as e-mail through one relay (SMTP submission, RFC 5321), in a form that Japanese mail systems
// carry unharmed: plain text first, UTF-8 in base64, lines of bounded length, header words of RFC 2047 that never cut a character
// from its variation selector or voicing mark.
//
// It owns what a mail looks like (composing is github.com/wneessen/go-mail's), the Message-ID made of our own key, and what each
// SMTP answer means as a connectors.Kind. It never queues, never retries, never reads the answers of people (package inbound
// does) and never shows an address or a password in an error.
//
// Called through connectors.Sender by whatever notifies people, and by cmd, which makes it.
package mail
