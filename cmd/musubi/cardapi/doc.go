// Package cardapi is the signed challenge over HTTP, for a card that something else than the browser's TLS uses: an agent with a card reader, a phone.
//
// Two calls on the card host, described in docs/card.openapi.yaml: POST /api/challenge gives what the card has to sign for a ticket, POST /api/response
// brings the signature and answers with the address at which the browser goes on. That address holds the code that is used once. It goes to whoever
// brought the signature and to nobody else: there is nothing to poll, so that a ticket which was sent to somebody with a card gives the sender nothing;
// and the login host takes the code only from the browser that began (docs/login.md, "Who began must be who proved").
//
// It decides nothing: identity/login knows tickets, identity/mynumber judges. It renders no page. Called by cmd/musubi.
package cardapi
