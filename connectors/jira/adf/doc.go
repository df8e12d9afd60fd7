// Package adf turns plain text with light Markdown into the Atlassian Document Format and back: paragraphs, headings, lists, quotes,
// code, tables, links, mentions, bold, italics and strike-through. Line breaks are kept.
//
// What the text can't say (panels, tasks, cards, media) comes back as the nearest thing that it can. Sizes and depths are bounded.
// It is pure: it knows no network and no issue. Called by connectors/jira.
package adf
