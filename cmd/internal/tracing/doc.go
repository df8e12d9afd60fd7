// Package tracing sends spans to an OpenTelemetry collector, where one is configured: one for each request to the pages, each
// attempt at a job and each call to a SaaS. It is the only package that knows OpenTelemetry; sync/jobs and connectors/outbound
// offer a hook and know nothing of it.
//
// A span holds names of routes, kinds and operations, numbers and outcomes. It never holds a path, an argument, an error's text, an
// id or anything else of a person. No trace context is taken from a request or sent to a vendor.
//
// Called by cmd/musubi and cmd/internal/boot.
package tracing
