// Package entrance is the relying parties of every protocol as one list: the OpenID provider's registry, the SAML provider's, and the hub's own pages.
//
// An id names one relying party, whatever it speaks: policies, audit rows and pairwise names know nothing but the id. Both registries take ids from
// the table entrance in the transaction that registers (Names), so that its primary key decides, on every node.
//
// Called by cmd, which gives a Book to the dispatcher of logins.
package entrance
