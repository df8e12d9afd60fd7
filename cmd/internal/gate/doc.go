// Package gate is the listening socket of one network's login: TLS for the login host and, with other rules, for the card host, both at one address;
// or plain HTTP for the proxies that end TLS.
//
// It looks at a handshake's server name alone, to choose the certificate's rules and the server. Which network and host a request is for is decided
// by the handler, by identity/network. A handshake for any other name is refused. A new certificate in the files is taken without a restart.
//
// Called by cmd/musubi, once for each network.
package gate
