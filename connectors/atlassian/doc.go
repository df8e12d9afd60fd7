// Package atlassian provisions licensed members of an Atlassian organization and their groups over the organization's SCIM
// directory. It maps the hub's account to a SCIM user (Key is externalId, the e-mail address is userName, JoinID is the
// Atlassian account id of Jira and Confluence) and keeps Atlassian's own rules: page size 100, PUT clears, groups can't be
// renamed, DELETE makes a user unreachable.
//
// Accounts are updated by PUT. The directory is written by the hub alone, so the hub's record is the whole truth, and one
// PUT states it, clears what the hub no longer has and may be sent twice; a PATCH would need a remove for each attribute
// that became empty. Accounts are disabled by PATCH active=false, never by DELETE, because a deleted user answers 404 and
// could neither be verified nor brought back.
//
// It never retries, schedules or decides who gets an account. Registered by cmd, called by sync/provision through the
// capabilities of package connectors.
package atlassian
