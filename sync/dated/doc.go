// Package dated does what takes effect at a date: the job at which the directory's transfers become effective, and the notices to the
// system administrator that follow from them.
//
// Its Enqueuer implements access.Enqueuer: it puts these jobs into the transaction that wants them, and hands leavers to sync/provision. One
// instant is one job, whatever takes effect then; the job says no more than the instant, so that the queue tells nothing of what is
// under embargo. A hub also activates at its start, for the midnights at which it was down.
//
// It decides nothing: identity/directory knows what is due, applies it exactly once and says what is to be told. A
// notice stands in the directory's table, for the console and `musubi notices`; where a mail relay is configured it is also sent to the system
// administrators.
//
// Called by cmd, which wires it.
package dated
