// Package door is the front door of the hub's listeners: it decides where each request arrived (identity/network), takes away what clients say
// in proxies' names, puts the safe headers on every answer, and leads on to the host's handler. What arrived nowhere gets a page and an audit row.
//
// It knows nothing of logins. Called by cmd/musubi/signin and, through it, by serve.
package door
