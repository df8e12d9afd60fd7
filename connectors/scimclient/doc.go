// Package scimclient is a SCIM 2.0 client (RFC 7643, RFC 7644) over connectors/outbound. What differs between servers is
// data: a Dialect record says which filters, page sizes, PATCH shapes and ways of deactivating a server really has.
//
// It trusts no answer: list pages must advance and stay within bounds, a filtered look-up is checked against what was asked
// for, identifiers are checked before they enter a path, and where a server answers a member change with the whole group,
// the members named are looked for in it. A member is never removed by a bare path "members", which a strict server reads as
// "all of them". It keeps no state and never decides who gets an account.
//
// Called by connector packages whose product has SCIM, such as connectors/atlassian.
package scimclient
