package entrance

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Names keeps the ids of one registry, by the protocol that its parties are answered in.
type Names struct{ Issuer identity.IssuerID }

// Take makes an id this registry's. The error wraps identity.ErrExists where it is another's; an id that is this registry's already is for the
// registry itself to refuse.
func (n Names) Take(ctx context.Context, tx *sql.Tx, id policies.RelyingPartyID) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO entrance (id, issuer) VALUES ($1, $2) ON CONFLICT DO NOTHING`, string(id), string(n.Issuer)); err != nil {
		return fmt.Errorf("relying party %q: %w", id, err)
	}
	var issuer identity.IssuerID
	if err := tx.QueryRowContext(ctx, `SELECT issuer FROM entrance WHERE id = $1`, string(id)).Scan(&issuer); err != nil {
		return fmt.Errorf("relying party %q: %w", id, err)
	}
	if issuer != n.Issuer {
		return fmt.Errorf("relying party %q: the id is registered already, of one that speaks %s; an id names one relying party, whatever it speaks: %w",
			id, protocol(issuer), identity.ErrExists)
	}
	return nil
}

// Free gives an id back. One that isn't there was registered by an older program beside this one.
func (n Names) Free(ctx context.Context, tx *sql.Tx, id policies.RelyingPartyID) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM entrance WHERE id = $1 AND issuer = $2`, string(id), string(n.Issuer)); err != nil {
		return fmt.Errorf("relying party %q: %w", id, err)
	}
	return nil
}

func protocol(i identity.IssuerID) string {
	if i == identity.IssuerSAML {
		return "SAML"
	}
	return "OpenID Connect"
}
