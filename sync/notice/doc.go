// Package notice tells the system administrators by e-mail what the hub has to tell them: a plan that waits for approval, a breaker that has
// tripped, an organization without an administrator, a transfer that could not take effect.
//
// Insert makes the job that sends one notice; sync/dated puts it into the transaction that records the notice, so that both happen or
// neither does. The mail carries numbers and kinds, and no personal data: what it is about stands on the pages, behind their own rights. Its
// Message-ID comes from the notice's, so that a mail that is sent twice is one mail for its reader.
//
// It decides nothing and knows no page but the hub's own address. Called by cmd, which wires it where a relay is configured.
package notice
