// Package login is the dispatcher of every login: relying party's request -> method -> directory -> policy -> session -> issuer.
//
// It owns the persisted login request (tables login_request, login_attempt) and is the only place that decides the next step, by a pure
// function over that record (decide). Methods (card, password) prove who somebody is; issuers (OpenID Connect, SAML, the hub's own
// pages) answer the relying party. Both are given in an explicit map and never see each other.
//
// A request belongs to the browser that began it: without that browser's cookie nothing of it can be seen or moved, and what a method proves
// on another host comes back by a code that only the proving browser was told. Each refusal has a machine-readable reason and an
// incident number, which is the id of its audit row.
//
// It renders no page and reads no clock. Called by cmd (routes and pages); issuers call Start.
package login
