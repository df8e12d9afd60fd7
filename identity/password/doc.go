// Package password keeps passwords (argon2id, RFC 9106) for two ends alone: the first step of linking a card, and sealed break-glass accounts of
// system administrators. No password opens a SaaS.
//
// A password is long and not known from breaches (a local file); nothing else is asked of it. Wrong ones are counted per account and address, per
// address, and per account over all addresses that the account doesn't know: strangers can slow down each other, not whoever has been here
// before. An unknown account costs the same time and gets the same answer as a known one.
//
// It decides nothing about access, and no password is ever logged. Called by identity/login (as a Method) and cmd (reset, seal).
package password
