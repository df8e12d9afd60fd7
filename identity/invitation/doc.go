// Package invitation lets the first administrator of an organization in, and a successor where the only administrator has gone: by a sealed path
// that is used once, sent to the person, and a code that comes by letter to the organization. Together they prove that the person may link their
// card; the card is what logs in.
//
// Both are kept as hashes. Wrong codes are counted for who holds the path alone, so that nobody else can spoil an invitation. A new one voids the
// ones before.
//
// It registers nobody: the person stands in the directory as an administrator already. Called by identity/login (as a Method) and cmd.
package invitation
