package provision

import (
	"context"
	"database/sql"
	"slices"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// settle writes down what goes with an outcome, in the transaction that closes the operation: once, however often it is finished.
func (s *Store) settle(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	switch e.Outcome {
	case OutcomeHeld:
		return s.withheld(ctx, tx, op, e)
	case OutcomeSplit:
		return s.split(ctx, tx, op, e.Parts)
	case OutcomeQuarantined:
		return s.isolate(ctx, tx, op, e)
	case OutcomeDone:
		if err := s.solve(ctx, tx, op, e); err != nil {
			return err
		}
		if op.Kind != OpRelease { // has a row of its own
			return s.receipt(ctx, tx, op, e)
		}
	}
	return nil
}

// peopleInRow is how many ids of people one audit row holds: its detail is bounded.
const peopleInRow = 150

// receipt appends the audit row of an outside effect. What was found as it should be had none.
func (s *Store) receipt(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	r := e.Receipt
	if r.How == "found" || r.How == "never made" || r.How == "" {
		return nil
	}
	row := audit.Row{
		At: s.now().UnixMicro(), Actor: string(policies.TaskProvision), ActorKind: audit.ActorSystem, Org: op.Org, Object: string(op.Person), Outcome: audit.Done, Reason: r.How,
		Detail: map[string]any{"product": string(op.Product), "run": op.Run, "seq": op.Seq},
	}
	put := func(key, value string) {
		if value != "" {
			row.Detail[key] = value
		}
	}
	put("account", r.AccountID)
	put("group", r.GroupID)
	put("request", r.RequestID)
	switch op.Kind {
	case OpGroup:
		row.Action, row.Object = "group."+r.How, r.GroupID
	case OpAccount, OpReplace, OpDisable:
		row.Action = "account." + r.How
	case OpAdd, OpRemove:
		row.Action, row.Object = "member."+r.How, r.GroupID
		people := e.Added
		if op.Kind == OpRemove {
			people = e.Removed
		}
		for part := range slices.Chunk(people, peopleInRow) {
			row.Detail["people"] = part
			if err := audit.Append(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	}
	return audit.Append(ctx, tx, row)
}
