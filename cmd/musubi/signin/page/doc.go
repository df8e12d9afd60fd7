// Package page renders what people see when they log in: from one HTML file each, with its style and icon inside it. One line of script posts a relying
// party's answer without a press; without it the button does. No other page has any.
//
// A page asks nothing of any server when it is shown: the card host asks for the card at every connection, and would ask again for a style
// sheet. Each answer carries the narrowest Content-Security-Policy that it works with. It also holds every sentence about a refusal, Japanese
// first; whoever adds a reason anywhere in login is told by its test.
//
// It decides nothing and reads no database. Called by cmd/musubi/signin and its door.
package page
