// Package directory is the system of record of the organizations and their people, and of every change to them.
//
// It owns the tables org, person, feed, transfer, post, appointment, vacancy, notice and the import's staging tables. Each change writes one append-only feed row (number,
// who, when, why, source, before, after) in the transaction that makes it; numbers have no gaps and follow the order of the
// commits, so a cursor over the feed never misses a row. Files are read by the pure Read, compared, staged in short transactions,
// published in one small one and settled afterwards: all reads of people and feed go through the views person_now and feed_now
// (generation.go).
//
// Transfers are recorded before their date and take effect at it, exactly once (Activate); under embargo nobody finds them who isn't
// named, by any method. What an organization's administrators are at which time is one pure decision (administrator.go).
//
// Every method on organization data takes a policies.Scope and stays inside it; the zero Scope reads and writes nothing. The
// exceptions are Actor and Relations, which authentication and the policies need before there is a scope. The directory never decides who gets an account
// and never calls a SaaS: a leaver is handed to access.Enqueuer in the same transaction.
//
// Called by cmd, identity/access, identity/login and sync/provision (which reads the feed).
package directory
