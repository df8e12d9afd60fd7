// Package quota keeps the hub inside each vendor's rate limits: it implements connectors.Quota on token buckets in the shared
// database, so that all nodes together spend one budget.
//
// It owns the table quota_bucket. A bucket holds at most the budget's burst and refills at its rate; a node takes what its
// callers wait for, plus a lease for the next 250 ms, in one short write. In no span of time t do all nodes together spend more
// than burst + rate * t. Part of the burst is kept for leavers (connectors.WithUrgent). A caller waits at most two seconds;
// past that it is told when to come back, each caller at a time of its own.
//
// It never sends anything, never holds the database while it waits, and knows no vendor: budgets come from the connectors'
// descriptions.
//
// Called by connectors/outbound through connectors.Quota, and by cmd, which makes it and shows Usage.
package quota
