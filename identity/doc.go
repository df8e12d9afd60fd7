// Package identity holds the nouns of the directory and of login, and the sentinel errors that its packages share.
//
// It is a leaf: types only, no I/O. The packages under identity/ own the tables and the protocols.
package identity
