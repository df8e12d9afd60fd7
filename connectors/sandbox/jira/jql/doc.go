// Package jql is the stand-in's reading of Jira's query language: clauses joined by AND, and an order. It refuses what the vendor
// refuses, unbounded queries among them, and whatever it doesn't understand (OR, NOT, brackets), so that nothing passes unheeded.
//
// It is pure. Called by connectors/sandbox/jira/work.
package jql
