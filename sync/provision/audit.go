package provision

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// witness appends the audit row of something that was done to a plan, in the transaction that does it.
func (s *Store) witness(ctx context.Context, tx *sql.Tx, scope policies.Scope, hash string, detail map[string]any) error {
	row := audit.Row{
		At: s.now().UnixMicro(), Actor: string(scope.Actor()), ActorKind: audit.ActorPerson, Action: string(scope.Action()), Object: hash,
		Outcome: audit.Done, Reason: scope.Reason(), PolicyHash: scope.Hash(), Detail: detail,
	}
	if scope.Actor() == policies.BreakGlassActor {
		row.ActorKind = audit.ActorBreakGlass
	}
	return audit.Append(ctx, tx, row)
}

// witnessRelease appends the audit row of a leaver whose access to one product has ended.
func (s *Store) witnessRelease(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	row := audit.Row{
		At: s.now().UnixMicro(), Actor: string(policies.TaskProvision), ActorKind: audit.ActorSystem, Action: "account.release", Object: string(op.Person),
		Outcome: audit.Done, Reason: e.Receipt.How,
		Detail: map[string]any{"product": string(op.Product), "account": e.Receipt.AccountID, "cause": op.Cause, "groups_left": len(e.Out), "request": e.Receipt.RequestID},
	}
	if e.Account != nil {
		row.Org = e.Account.Org
	}
	return audit.Append(ctx, tx, row)
}
