// Package der reads the Distinguished Encoding Rules of X.690 and nothing else. It owns the rules that make an encoding unique: definite lengths
// in the shortest form, primitive strings, minimal integers, zero padding bits, one form of each time. What BER allows beyond them is an error, so
// that two parties can't read one signed byte string in two ways.
//
// A Reader is a cursor over bytes that it never copies; nothing here allocates in proportion to a length that the input claims. Tags beyond 30
// (the high-tag-number form) don't occur in certificates and are refused.
//
// Called by the packages below identity/cert. It knows no certificate.
package der
