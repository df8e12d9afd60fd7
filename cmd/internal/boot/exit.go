package boot

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/sync/provision"
)

// The exit codes of every command.
const (
	ExitOK      = 0
	ExitFault   = 1 // a bug or a full disk: nothing that the caller did
	ExitUsage   = 2 // the command line, the configuration or a file that it names is wrong
	ExitRefused = 3 // policy, approval or the content of an import says no; nothing was changed
	ExitPartial = 4 // done in part: something was quarantined or is still waiting
	ExitOutside = 5 // a database, a SaaS or a port that isn't ours to fix
)

// ExitError is an error that carries its exit code.
type ExitError struct {
	Code int
	Err  error
}

// Error gives the cause's text.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// Usage marks err as a fault of the command line or of a file that it names.
func Usage(err error) error { return &ExitError{ExitUsage, err} }

// Refused marks err as refused.
func Refused(err error) error { return &ExitError{ExitRefused, err} }

// Partial marks err as done in part.
func Partial(err error) error { return &ExitError{ExitPartial, err} }

// Outside marks err as an outside failure.
func Outside(err error) error { return &ExitError{ExitOutside, err} }

// ExitCode gives the exit code for err.
func ExitCode(err error) int {
	var marked *ExitError
	var vendor *connectors.Error
	var dial *net.OpError
	var finding review.Finding
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &marked):
		return marked.Code
	case isAny(err, identity.ErrRefused, identity.ErrNewer, identity.ErrLocked, identity.ErrExists, identity.ErrNotFound,
		provision.ErrOwnPlan, provision.ErrNotApproved, provision.ErrExpired, provision.ErrBusy, provision.ErrOtherPolicy, provision.ErrStarted,
		provision.ErrNotRunning, directory.ErrEnded, directory.ErrInService, directory.ErrTransfer, directory.ErrSettled, directory.ErrAppointment, directory.ErrImportBusy, directory.ErrImportDropped,
		keys.ErrTooEarly, audit.ErrTampered):
		return ExitRefused
	case errors.As(err, &finding):
		return ExitRefused
	case errors.As(err, &vendor), errors.As(err, &dial), errors.Is(err, syscall.EADDRINUSE), errors.Is(err, context.DeadlineExceeded):
		return ExitOutside
	case errors.Is(err, context.Canceled):
		return ExitPartial
	case isAny(err, provision.ErrHash, fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, keys.ErrUnreadable):
		return ExitUsage
	}
	return ExitFault
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
