// Package inbound reads what comes back by mail: people's answers and bounces, from a Maildir into which the mail system
// delivers (new/). It finds out which of our messages each is about, by the Message-IDs that package mail makes, and hands it on as
// one typed Event with a key by which a second copy is known.
//
// It treats every octet as hostile: sizes, depth, parts and header fields are bounded, and no mail makes it fail, so that one bad
// file never holds up those behind it. It never opens an attachment, never fetches anything, never answers, and believes nobody's
// sender address.
//
// Called by sync, which stores events durably before the file moves to cur/.
package inbound
