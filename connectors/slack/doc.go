// Package slack connects a Slack organization: members, multi-channel guests and groups by SCIM 2.0 in Slack's dialect; messages,
// threads, channels and user groups by the Web API through slack-go; what happens there by the Events API and button presses.
//
// A user's name is derived from the hub's key, because Slack can neither be asked by externalId nor relied on to return it. What is
// posted carries the hub's key as message metadata, by which a message is found whose answer was lost: client_msg_id isn't for
// applications (java-slack-sdk#852), and Slack drops no repetition. Accounts are changed by PATCH of what differs, because PUT would
// clear what people keep in their own profile.
//
// outbound owns retries, quota, limits and the tokens; slack-go is given a placeholder, which never leaves the process. Every "ok":false
// becomes a connectors.Error in one place. Events are verified and parsed here, stored and deduplicated by the caller.
//
// Registered by cmd, called by sync through the capabilities of package connectors.
package slack
