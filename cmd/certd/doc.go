// Command certd decides about certificates with identity/cert. For now it has the auditor's commands only: verify (a batch of decisions from JSON
// lines), recheck (a stored decision made again from its evidence) and profiles (the rules as configuration). It opens no network connection.
//
// It is a small trusted base: it imports identity/cert and the command-line library, and nothing of the hub. Exit codes: 0 ok, 2 usage,
// 3 refused (a verdict doesn't come out as it was stored), 4 partial (a line couldn't be read), 1 a fault of its own.
package main
