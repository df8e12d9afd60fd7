package connectors

import "context"

// CredentialState is what the vendor says of one credential that the hub holds. It never holds the credential.
type CredentialState struct {
	Name    string   // which one: "bot token", "SCIM token"
	Valid   bool     // the vendor takes it
	Problem string   // the vendor's own code where it doesn't: "token_expired"
	Missing []string // permissions that the hub's functions need and this credential lacks, sorted
}

// CredentialChecker asks the vendor about the credentials: for the state page and at start, not before each call.
type CredentialChecker interface {
	// CheckCredentials gives the state of each. A credential that is refused or lacks a permission is a state, not an error; an
	// error means that the vendor couldn't be asked.
	CheckCredentials(ctx context.Context) ([]CredentialState, error)
}
