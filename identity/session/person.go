package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// OfPerson gives a person's sessions that stand in a network, newest first, each looked at as a request would. It is for whoever explains a login;
// it notes no request. Who may ask is for the caller to know.
func (s *Store) OfPerson(ctx context.Context, person policies.PersonID, network policies.Network, now time.Time) ([]Session, error) {
	found, err := query(ctx, s.db.Reader(), `person_id = $1 AND ended_at = 0 AND network = $2 AND created_at > $3 ORDER BY created_at DESC, id LIMIT 100`,
		string(person), string(network), now.Add(-MaxAge).UnixMicro())
	if err != nil {
		return nil, err
	}
	var stand []Session
	for _, x := range found {
		_, err := s.standing(ctx, x, network, now)
		switch {
		case err == nil:
			stand = append(stand, x)
		case !errors.Is(err, identity.ErrRefused):
			return nil, err
		}
	}
	return stand, nil
}

// EndedForCard tells when sessions that a card opened were last ended because of the card; 0 for never.
func EndedForCard(ctx context.Context, q Querier, credential string) (at int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT COALESCE(MAX(ended_at), 0) FROM session WHERE credential = $1 AND method = $2 AND ended_why = $3`,
		credential, string(identity.MethodCard), string(WhyCard)).Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("session: read: %w", err)
	}
	return at, nil
}
