// Package api is the machines' face of the hub: liveness, readiness and metrics. It shows counts, never a person.
//
// Called by cmd/musubi, which puts the console's pages beside it on one listener.
package api
