// Package journal keeps the sandbox's state across restarts: an append-only file of changes, one line a request, each with its
// checksum. A line is written with write(2) before the request is answered, so that kill -9 loses nothing acknowledged; there is
// no fsync, so a power cut may. A torn last line is dropped; a broken line before the last is an error. The file is compacted
// when it is opened.
//
// It never interprets a change and knows no product. Called by connectors/sandbox.
package journal
