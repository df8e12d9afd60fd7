// Package keylock serializes work on named things within one process: a group whose whole list is read, changed and written, a
// vendor that takes one update at a time of a resource. It implements connectors.Locker where the hub has one node.
//
// It waits on channels alone, never on a mutex, so that a caller's context ends the wait and simulated time goes on meanwhile.
// It keeps a name only while somebody holds it or waits for it. It knows nothing of other processes.
//
// Called by connectors/scimclient and the connector packages.
package keylock
