// Package work is the part of the Jira stand-in that keeps work items: requests of Jira Service Management and the issues that they
// are, with comments, participants, attachments, transitions, SLA, search and webhooks.
//
// Search lags behind writes, transitions take time and conflict, and writes on one issue are limited, as with the vendor. It never
// decides who exists: people and organizations come through Host. It shares the product's lock. Called by connectors/sandbox/jira.
package work
