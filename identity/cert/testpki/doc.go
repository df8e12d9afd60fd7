// Package testpki makes a hierarchy of the shape that Japan's public certification service for individuals (JPKI) has, for tests and
// for trying the hub out: an authentication tree and a signature tree, several generations of each CA that share one name and differ
// by key, cards with their certificates and keys, revocation lists (complete, per municipality, delta, indirect), and OCSP answers.
//
// Everything says that it is a test: the organization of every CA is JPKI-TEST, every holder's name begins with TEST, the policies
// are those of test cards. A production profile refuses it, because its anchors and its policies are others; a test holds that.
//
// The second half of the package's use is forgery. [Certificate], [List] and [Answer] are written out octet by octet from what
// the caller says, right or wrong: a serial of 21 octets, an extension twice, a CA that is a leaf, a signature of another key. So what
// verifies is tried on what no honest library would make.
//
// Pure: randomness and time are arguments, nothing is read or written. The same randomness gives the same octets, so a hierarchy can
// be made again from a seed ([Seeded]); such keys are known to everyone who knows the seed. Nothing here is for production.
package testpki
