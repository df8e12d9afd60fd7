// Package provision brings every SaaS to what directory and policy want: it maps people to wanted accounts, diffs that against
// what is known of each SaaS (a plan, pure and hashed), binds an approval to the plan's hash, and applies an approved plan by
// durable jobs, one outward operation each.
//
// It owns the ledger of accounts, groups and memberships that the hub has made, with the receipt of each operation. Before an
// outward call it writes down the intent, after it the result together with the jobs that follow, so that a process killed
// anywhere goes on where it stopped: what may have happened is looked up before it is tried again.
//
// What a plan or a file takes away passes sync/breaker first, and is asked for once more right before its call; what is held is planned anew
// once a person has released it. What a vendor refuses stands in quarantine, object by object. A Follower makes plans of the directory's changes
// by itself; policy approves small ones.
//
// A leaver needs no plan and no approval: EnqueueLeaver runs in the transaction that ends the person, and the work has a queue of
// its own. An unapproved plan has no type that Apply accepts.
//
// Called by cmd; calls connectors through connectors.Opened, and the directory with a system scope.
package provision
