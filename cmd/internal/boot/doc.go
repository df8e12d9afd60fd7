// Package boot opens what every command needs, in one order: configuration, database, policies, directory, connectors, jobs. It
// is wiring: no rule lives here.
//
// Called by cmd/musubi. It maps errors to the exit codes of the contracts, and nothing else decides them.
package boot
