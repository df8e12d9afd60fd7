// Package network decides from which network a request comes, and holds each network's addresses.
//
// The internet, LGWAN and the government network have listeners or trusted proxies, host names and issuers of their own over one account
// store. The network follows from the listener on which a connection was accepted and, on a proxy's listener, from the proxy's own address:
// never from a header, a host name or anything else that a client can choose. The host name must then be one of that network's.
//
// Decide is pure. The package reads no configuration file and opens no listener. Called by cmd, which passes what it decided on to
// identity/login as Visit.Network, and by issuers for their own addresses.
package network
