// Package breaker stops a mistake before it becomes a catastrophe. It counts what people lose, accounts disabled and memberships lost,
// in sliding windows per upstream change, organization, product and nation, and holds what would lose more than the limits allow until a
// person releases it.
//
// Decide is pure: counts, baseline and limits in, trips out. Store keeps the counts, the trips and what they hold in SQL, shared by all
// nodes: Admit is asked in the transaction that starts the work, Open once more right before each outward call. A restart forgets nothing.
//
// What was announced (a transfer recorded long enough before its date) is neither counted nor held. A single leaver whom a person
// recorded is counted and never held. What a person has released passes for a day, uncounted, and the windows begin anew.
//
// It does nothing by itself to an account and knows no SaaS. Called by sync/provision, which says what is lost and why, and by cmd.
package breaker
