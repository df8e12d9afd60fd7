// Package upkeep clears away what login leaves behind: requests, sessions and challenges that have expired, counters that have forgotten
// everything, receipts that are old enough. It also ends sessions that are too old, so that relying parties hear of it.
//
// One node at a time does it, by a lease. It does a small batch, gives SQLite's writer back for at least as long, and goes on where there was
// more; a sweep that has much to do lets the others have their turn. A node that takes over does what was due; a batch that two nodes did at
// once is a batch that was done, since each sweep deletes by date alone.
//
// What is old enough, the owners of the tables know. Called by cmd, which lists the sweeps.
package upkeep
