// Package wire is how the Jira stand-in speaks: its two error shapes, users as the platform and as Jira Service Management
// show them, dates, pages, and the reading of bodies and paging parameters.
//
// It holds no state and decides nothing. Called by connectors/sandbox/jira and its parts.
package wire

// Name is the product's name and path prefix.
const Name = "jira"
