// Package access turns whoever runs a command or sends a request into an acting person, and asks the policies what that
// person may do. It owns the local credentials (table access_credential and the credential file): the command line acts as a
// person of the directory by a file that only that person's user can read. A bare operating system user is break-glass:
// always audited, never an approver.
//
// Resolver loads the person anew for each decision, so that one whose service ended a moment ago is refused, evaluates, and
// appends refusals and every break-glass act to identity/audit in a transaction of its own.
//
// It never decides by itself, keeps no session, and shows no secret. It knows the directory and the job engine only by the
// small interfaces here (ActorSource, Enqueuer).
//
// Called by cmd and sync/provision; implemented by identity/directory (ActorSource) and sync (Enqueuer).
package access
