package notice

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/policies"
)

// Card is the card's login method, whose links are told to their person in the transaction that makes them.
type Card struct {
	*mynumber.Method
	Notices *Store
	People  People
}

// Link implements login.Linker.
func (c Card) Link(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string, at int64) error {
	if err := c.Method.Link(ctx, tx, person, credential, at); err != nil {
		return err
	}
	a, err := c.People.Person(ctx, person)
	if err != nil {
		return fmt.Errorf("notice: tell of a linked card: %w", err)
	}
	return c.Notices.Tell(ctx, tx, CardLinked, a.Person, at)
}
