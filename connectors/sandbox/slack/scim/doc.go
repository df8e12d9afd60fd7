// Package scim is the documents of Slack's SCIM 2.0 dialect: what a user and a group are made of, how a body is read, checked and
// patched, and the vendor's codes of refusal. It is pure: no state, no clock, no HTTP.
//
// Called by connectors/sandbox/slack.
package scim
