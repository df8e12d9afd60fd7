// Package policytest makes random worlds for property tests: a valid set of Cedar policies over our schema, and a directory of a
// few organizations and people. There are few ids, so that policies often name somebody and relations often hold.
//
// It is for tests alone; nothing that is shipped imports it.
package policytest
