// Package interop holds what Musubi is tested against that Musubi's engineers did not write: a strict SCIM server, a client of
// Jira that checks each answer, a browser with an accessibility checker. The programs are npm packages at exact versions
// (package-lock.json); the scripts beside this file start them.
//
// Nothing here is shipped and no package imports it. The tests carry the build tag interop, need node 20 or newer and Chromium,
// talk to loopback only, and are run by make interop.
package interop
