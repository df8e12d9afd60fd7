// Package sandbox is a local stand-in of the SaaS that the hub works with, for demonstrations and tests: one http.Handler with the
// fixed prefixes /atlassian (SCIM directory), /jira (Jira Service Management customers) and /slack (SCIM, Web API, events), /_control
// (faults, ground truth, quotas, subscriptions, what people do, reset) and a few pages. It refuses whatever the vendors refuse and
// keeps their quotas. With a folder, its state survives kill -9.
//
// It imports no connector and nothing of the hub, so that an error in the hub can't hide in it. It never goes near a network itself:
// the caller listens, on loopback, and gives the http.RoundTripper that carries events out. Called by cmd and by tests, which may
// also use Transport, without a socket.
package sandbox
