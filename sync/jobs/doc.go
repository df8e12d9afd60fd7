// Package jobs is the hub's durable work: River (riverqueue.com) behind typed kinds, on SQLite and PostgreSQL through database/sql.
//
// It owns River's tables and their migration, the kinds with their queue, priority, time-out and retry rule, the idempotency
// keys, periodic jobs, dead letters, and the recovery of what a killed process left running. A job is inserted in the same
// *sql.Tx as the state change that wants it, so both are there or neither is.
//
// A node takes only the kinds that it works, so that the programs of a rolling upgrade stand side by side. It is known to live by a
// beat that moves; when it doesn't, the others take its jobs over. A result that the database doesn't take is kept until it does.
//
// A job runs at least once: a worker's outward call carries an idempotency key or looks up what an earlier attempt did. Because
// River can't reach a job that is running, a worker reads again, right before each outward call, whether it is still wanted.
//
// It never decides what to do next (the kinds' owners do), never limits rates (sync/quota does), and never logs arguments.
//
// Called by the owners of kinds under sync/ and by cmd, which starts and stops the client. The command line beside a running
// hub uses NewInsertOnly.
package jobs
