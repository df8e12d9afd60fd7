// Package connectors is the contract between the hub and every SaaS: what a connector can do (small optional capabilities,
// resolved once by Catalog.Open), how it fails (one Error type with a Kind), and how it asks for the vendor's quota.
//
// It imports nothing first-party. A connector never retries beyond what connectors/outbound does for idempotent requests,
// never schedules, never decides who gets an account: sync/provision does. Opening a connector touches no network.
//
// Called by sync/provision, sync/quota (which implements Quota) and cmd (which registers the connectors in a Catalog).
package connectors
