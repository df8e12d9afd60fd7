// Package mail is the stand-in of a mail relay and of the people behind it: an SMTP server that keeps what it received and refuses
// what real relays refuse, and that can answer as a person or bounce as a mail system, into a Maildir.
//
// It reads RFC 5321, 5322, 2045 to 2047 and 3464 on its own; it shares no code with the connector. It never sends anything to a
// network. Each mail is journalled before it is accepted.
//
// Called by package sandbox, over a socket or over net.Pipe.
package mail
