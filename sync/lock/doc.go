// Package lock serializes work on one named thing at a vendor among all nodes: it implements connectors.Locker on the leases of
// sqldb. A vendor that replaces a whole list at once (the members of a Slack user group) would otherwise lose what two nodes change
// at the same time.
//
// A name is held by one process, which renews the lease while it works; within the process callers wait for each other on
// connectors/keylock. What a process that dies leaves held is free again after a term. Nodes' clocks are never compared.
//
// It can't stop a holder that was cut off from the database from finishing its call to the vendor: that is logged, and the
// comparison of belief and truth finds what was lost. It sends nothing, and knows no vendor.
//
// Called by the connectors through connectors.Locker; made by cmd.
package lock
