// Package logintest is a small world for the tests of login: people of every sort in memory behind the interfaces that login asks (access),
// the real policies, sessions in a real database, and a clock that tests move.
//
// It holds no copy of a rule: whoever may enter is decided by the policies. Used by tests alone.
package logintest
