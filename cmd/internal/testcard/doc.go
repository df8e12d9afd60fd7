// Package testcard makes what a demonstration of login needs and nobody else may have: test cards of the sample's people, with an authority and
// revocation lists of JPKI's shape (identity/cert/testpki), and a certificate for https on *.localhost.
//
// It owns one folder. Everything in it is made anew for each data folder, says that it is a test, and is refused by a production profile. The
// authority of the https certificate may sign for localhost alone, and its key is thrown away once it has signed: whoever copies the folder can't make
// another certificate that a browser takes that trusts it.
//
// It is a program's edge: it reads and writes files, and takes time and randomness as arguments. Called by cmd/musubi for `musubi demo`.
package testcard
