// Package site is what the sandbox's products are built from: a route table with the vendor's operation names, the call that a
// handler answers, journalled changes, derived identifiers, a prefix index for look-ups, and the ground truth's document.
//
// It knows no product and holds no state of its own. Called by connectors/sandbox and its product packages.
package site
