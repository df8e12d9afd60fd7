// Package nameindex remembers which of a vendor's resources has which name, for products that can be listed but not asked by name.
// A full list answers many look-ups; what it didn't contain is believed absent for a short, declared time (the connector's
// Limits.Staleness), and after a write whose answer was lost nothing is believed absent at all.
//
// It is the memory of one process and never the truth: a caller that acts on an id reads the resource first, or accepts that
// another node's write is missed for the time of trust. It sends nothing itself; the caller's function lists.
//
// Called by connector packages.
package nameindex
