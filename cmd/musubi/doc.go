// Command musubi is the hub: its server, its demonstration, and the administrator's commands.
//
// A command is thin: it reads flags, opens the hub through cmd/internal/boot, calls one package, and shows the answer, for people
// or as one JSON document. Exit codes: 0 ok, 2 usage, 3 refused, 4 partial, 5 outside failure, 1 a fault of the hub's own.
package main
