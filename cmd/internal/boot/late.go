package boot

import (
	"context"
	"database/sql"
	"errors"

	"github.com/musubi-hub/musubi/identity"
)

// late stands for the jobs of login until they are bound.
type late struct{}

var errUnbound = errors.New("the engine of jobs isn't bound yet")

func (late) CardReleased(context.Context, *sql.Tx, identity.Person, int64) error { return errUnbound }
