// Package slack stands in for a Slack workspace: SCIM v2 in the vendor's dialect, the Web API's methods for people, conversations,
// messages and user groups, events and interactive payloads sent to the application's request URLs. It owns the workspace's state
// and rebuilds it from journalled changes; it never does what the vendor refuses. What people do by hand (say, react, join, press a
// button) is done by methods of Workspace.
//
// It opens no connection: what it sends goes through the http.RoundTripper that it was given. Called by connectors/sandbox.
package slack
