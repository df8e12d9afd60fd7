// Package review is what is said of a file that people wrote: each fault with its place, the value, the reason and the remedy, in
// Japanese and in English, all faults of one run together, and notices that refuse nothing.
//
// It is pure. It never decides what is wrong: the readers in identity/directory and its table reader do, and hand it Findings. It
// bounds what it keeps and shows no control characters, so that a hostile file can't play with a terminal.
//
// Called by identity/directory, identity/directory/table and cmd.
package review
