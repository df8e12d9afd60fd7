// Package inquiry keeps where each inquiry stands, and does what escalate.Next decides.
//
// It owns the state of inquiries, the events that were applied, and what is to be done for each (tell people, raise an alarm). What was heard, the state that
// follows, what is to be done and the job that looks again are one transaction: all of them are there or none is. An event counts once by its
// key; something to do is done at least once, under a key that stays the same, and not at all once its inquiry is answered or has begun another life. What
// nobody received is heard as an event in the transaction that says so.
//
// It holds no text of inquiries and no personal data but ids. It doesn't send: a Deliver does. It verifies no webhook: whoever calls Hear has.
//
// Called by nobody yet: see docs/escalation.md.
package inquiry
