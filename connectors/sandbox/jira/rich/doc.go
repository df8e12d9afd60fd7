// Package rich is the stand-in's reading of the Atlassian Document Format: it refuses documents that the vendor refuses, makes one
// of plain text, and shows one as plain text, as the vendor's version 2 of the API and its portal do.
//
// It is written from the vendor's schema alone; the hub's own reading is connectors/jira/adf. Called by connectors/sandbox/jira/work.
package rich
