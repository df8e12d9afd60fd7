// Package signin is the HTTP face of login: the pages on each network's login host and card host, over identity/login's dispatcher.
//
// It owns the routes below /login, /sessions, /logout and /invitation, the cookies, the issuer of the hub's own pages with the middleware that
// asks for a login (Require), and what the OpenID provider shows people (Pages) and knows of a browser (Browser). Package door says where a request
// arrived; without a door nothing is served. Words and templates are in package page.
//
// The order of making it: New; then the providers, with Pages, Browser and Start; then the dispatcher, with Issuer and ReturnTo; then Bind; and Listener
// for each socket. Config.Home and Config.Open are asked by Listener, when all of that is there.
//
// It decides no step of a login: the dispatcher does. It keeps nothing but what the browser holds. Called by cmd/musubi serve.
package signin
