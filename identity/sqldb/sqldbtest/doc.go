// Package sqldbtest runs a store's tests on both engines: SQLite in the test's folder, and a private PostgreSQL that it starts
// from the installed binaries, once per test process, in a temporary folder and on a unix socket only.
//
// Where no PostgreSQL is installed the PostgreSQL half is skipped with a message; with CI=true in the environment that is a
// failure instead, so that CI never passes by skipping. The server ends with the test process, however that ends.
//
// Called by tests only: Each for a store's suite, a Template where many tests want the same tables, EachURL and Start
// where a child process needs the URL.
package sqldbtest
