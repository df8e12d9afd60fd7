package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// TransferImport says how a file of transfers is taken in.
type TransferImport struct {
	DryRun  bool // say what would be recorded, and record nothing
	SkipBad bool // record the good rows; without it one bad row keeps all out
}

// staleTransfers is how old staged transfers are when their import is taken for dead.
const staleTransfers = time.Hour

// ImportTransfers records the transfers of a file (people.write), each as AddTransfer does, all or nothing. Rows are checked one by one against the
// directory and together for the administrators that they leave; staged in short transactions and published in one. A row that is
// planned already just so, or took effect just so, changes nothing. Those whose date has passed take effect at the end.
func (s *Store) ImportTransfers(ctx context.Context, scope policies.Scope, rows *TransferRows, by Author, progress Progress, opt TransferImport) (Result, *review.Report, error) {
	report := rows.Report.Clone()
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return Result{}, report, err
	}
	if s.enqueuer == nil {
		return Result{}, report, errNoQueue
	}
	if progress == nil {
		progress = func(int64, int64, string) {}
	}
	for range importTries {
		tried := report.Clone()
		result, err := s.importTransfers(ctx, scope, rows, tried, by, progress, opt)
		if errors.Is(err, errMoved) {
			continue // the directory changed meanwhile: check again
		}
		result.Refused = tried.Refused()
		if err != nil {
			return Result{}, tried, fmt.Errorf("import %s: %w", review.Visible(rows.Name, 200), err)
		}
		return result, tried, nil
	}
	return Result{}, report, ErrImportBusy
}

func (s *Store) importTransfers(ctx context.Context, scope policies.Scope, rows *TransferRows, report *review.Report, by Author, progress Progress, opt TransferImport) (Result, error) {
	var result Result
	var head int64
	if err := s.db.Reader().QueryRowContext(ctx, "SELECT last_number FROM feed_head WHERE id = 1").Scan(&head); err != nil {
		return result, fmt.Errorf("directory: read feed: %w", err)
	}
	good, unchanged, err := s.judgeTransfers(ctx, scope, rows, report, by, progress)
	if err != nil {
		return result, err
	}
	result.Added, result.Unchanged = len(good), unchanged
	take := report.OK() || opt.SkipBad && !report.Condemned() // of a file that couldn't be read to its end nothing is taken
	if opt.DryRun || !take || len(good) == 0 {
		result.Published = !opt.DryRun && take
		return result, nil
	}
	if err := s.sweepTransfers(ctx); err != nil {
		return result, err
	}
	var list []recorded
	late := false
	for _, g := range good {
		list = append(list, g.list...)
		late = late || g.list[0].Late
	}
	batch := string(s.newTransferID())
	if err := s.stageTransfers(ctx, batch, list, progress); err != nil {
		return result, errors.Join(err, s.dropTransfers(context.WithoutCancel(ctx), batch))
	}
	if err := s.publishTransfers(ctx, batch, head, list, by); err != nil {
		return result, errors.Join(err, s.dropTransfers(context.WithoutCancel(ctx), batch))
	}
	result.Published = true
	if late {
		if _, err := s.Activate(ctx); err != nil {
			return result, fmt.Errorf("the transfers are recorded, but those that are due could not take effect yet: %w", err)
		}
	}
	return result, nil
}

// judged is a good row.
type judged struct {
	line int
	list []recorded // the transfer, and the return that it plans
}

// errTwin says that a transfer is planned for that date already.
type errTwin struct{ identity.Transfer }

func (e errTwin) Error() string { return fmt.Sprintf("transfer %s says so for that date", e.ID) }

// Is makes it an identity.ErrExists.
func (e errTwin) Is(target error) bool { return target == identity.ErrExists }

// judgeTransfers checks each row, and all together.
func (s *Store) judgeTransfers(ctx context.Context, scope policies.Scope, rows *TransferRows, report *review.Report, by Author, progress Progress) (good []judged, unchanged int, err error) {
	q, now := s.db.Reader(), s.micros()
	seen := map[string]int{}
	earlier := map[policies.PersonID][]recorded{}
	total := int64(len(rows.Rows))
	for i, row := range rows.Rows {
		if i%500 == 0 {
			progress(int64(i), total, StageCompare)
		}
		t := row.Transfer
		if f, err := s.resolve(ctx, q, scope, row, &t); err != nil {
			return nil, 0, err
		} else if f != nil {
			report.Refuse(row.Line, *f)
			continue
		}
		k := fmt.Sprint(t.Person, t.Kind, t.At, t.To, t.Section, t.Title)
		if first, dup := seen[k]; dup {
			report.Refuse(row.Line, twice("staff_number", row.StaffNumber, first))
			continue
		}
		seen[k] = row.Line
		if t.Embargo && scope.Actor() == policies.BreakGlassActor {
			report.Refuse(row.Line, transferFault(fmt.Errorf("break-glass can't record a transfer under embargo: %w", identity.ErrRefused)))
			continue
		}
		list, err := s.prepare(ctx, q, scope, t, by, now, earlier[t.Person]...)
		var twin errTwin
		switch {
		case errors.As(err, &twin) && sameTransfer(redact(scope, twin.Transfer), t):
			unchanged++
			continue
		case err != nil && ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case err != nil && !expected(err):
			return nil, 0, err
		case err != nil:
			report.Refuse(row.Line, transferFault(err))
			continue
		}
		earlier[t.Person] = append(earlier[t.Person], list...)
		good = append(good, judged{row.Line, list})
	}
	progress(total, total, StageCompare)
	good, err = s.judgeAdministrators(ctx, scope, good, report)
	return good, unchanged, err
}

// expected tells what a row can be refused for from what is wrong with the hub.
func expected(err error) bool {
	return slices.ContainsFunc([]error{identity.ErrNotFound, identity.ErrRefused, identity.ErrExists, ErrEnded, ErrTransfer, ErrLastAdministrator}, func(e error) bool { return errors.Is(err, e) })
}

// sameTransfer tells whether what is planned says what a file says.
func sameTransfer(a, b identity.Transfer) bool {
	return a.StaffNumber == b.StaffNumber && a.Section == b.Section && a.Title == b.Title && a.Duties == b.Duties && a.Phone == b.Phone &&
		a.Extension == b.Extension && a.Fax == b.Fax && a.Email == b.Email && a.Role == b.Role && a.ReturnAt == b.ReturnAt &&
		a.HandoverUntil == b.HandoverUntil && a.Successor == b.Successor && a.Embargo == b.Embargo
}

// resolve finds the people whom a row names by staff numbers.
func (s *Store) resolve(ctx context.Context, q querier, scope policies.Scope, row TransferRow, t *identity.Transfer) (*fault, error) {
	find := func(column, number string) (policies.PersonID, *fault, error) {
		var id string
		err := q.QueryRowContext(ctx, "SELECT p.id FROM "+personTable+" p WHERE p.org = $1 AND p.staff_number = $2", storable(string(row.Org)), storable(number)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return "", &fault{
				Column: column, Value: number, Reason: review.Say("この職員番号の職員がいません", "nobody has this staff number"),
				Remedy: review.Say("職員番号を直すか、先に職員を取り込んでください", "correct the number, or import the person first"),
			}, nil
		}
		if err != nil {
			return "", nil, fmt.Errorf("directory: find person: %w", err)
		}
		return policies.PersonID(id), nil, nil
	}
	if t.Person == "" {
		if !scope.Covers(row.Org) {
			f := outsideScope("org", string(row.Org))
			return &f, nil
		}
		id, f, err := find("staff_number", row.StaffNumber)
		if f != nil || err != nil {
			return f, err
		}
		t.Person = id
	}
	if row.Successor != "" {
		id, f, err := find("successor", row.Successor)
		if f != nil || err != nil {
			return f, err
		}
		t.Successor = id
	}
	for _, n := range row.Named {
		id, f, err := find("named", n)
		if err != nil {
			return nil, err
		}
		if f != nil {
			id = policies.PersonID(n) // an id, which prepare looks for
		}
		t.Named = append(t.Named, id)
	}
	return nil, nil
}

// judgeAdministrators looks at the rows together: whom they take away, and whom they bring. Rows that leave an organization alone are
// refused.
func (s *Store) judgeAdministrators(ctx context.Context, scope policies.Scope, good []judged, report *review.Report) ([]judged, error) {
	of := map[policies.OrgID][]int{}
	for i, g := range good {
		for _, t := range g.list {
			of[t.From] = append(of[t.From], i)
			if t.Crosses() {
				of[t.To] = append(of[t.To], i)
			}
		}
	}
	refused := map[int]error{}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		org, err := organization(ctx, s.db.Reader(), id)
		if err != nil {
			return nil, err
		}
		before, _, err := s.administration(ctx, s.db.Reader(), scope, org)
		if err != nil {
			return nil, err
		}
		after := before
		after.changes = slices.Clone(before.changes)
		var losers []int
		for _, i := range of[id] {
			for _, t := range good[i].list {
				changes := administratorChanges(t, org)
				for _, c := range changes {
					if !c.gain && t.Kind == identity.TransferLeave {
						before.changes = append(before.changes, c) // a leaver is never refused, nor the reason to refuse another
					} else if !c.gain && slices.Contains(before.now, c.person) {
						losers = append(losers, i)
					}
				}
				after.changes = append(after.changes, changes...)
			}
		}
		if at, worse := worsens(before, after); worse && scope.Covers(id) {
			for _, i := range losers {
				refused[i] = fmt.Errorf("organization %s on %s: %w: %w", id, jst.Date(at), ErrLastAdministrator, identity.ErrRefused)
			}
		}
	}
	kept := good[:0:0]
	for i, g := range good {
		if err := refused[i]; err != nil {
			report.Refuse(g.line, transferFault(err))
			continue
		}
		kept = append(kept, g)
	}
	return kept, nil
}

// transferFault puts into words why a row can't be recorded.
func transferFault(err error) fault {
	var f fault
	if errors.As(err, &f) {
		return f
	}
	text := review.Visible(err.Error(), 300)
	for _, w := range []struct {
		err            error
		column         string
		ja, toDo, doIt string
	}{
		{ErrLastAdministrator, "kind", "この異動で組織の管理ユーザがいなくなります", "後任 (successor) を書くか、先に管理代行を任命してください", "name a successor, or first appoint a caretaker"},
		{ErrEnded, "staff_number", "在職を終了した職員です", "行を消してください", "delete the row"},
		{identity.ErrExists, "date", "同じ日の別の異動が予定されています", "予定されている異動を先に取り消してください", "cancel what is planned first"},
		{ErrTransfer, "to_org", "この異動は登録できません", "異動先と異動先職員番号を確かめてください", "check the receiving organization and the staff number there"},
		{identity.ErrRefused, "to_org", "あなたが登録できる異動ではありません", "相手の組織の管理者が受入れの際に記入する欄は空にしてください", "leave empty what the other organization fills in when it accepts"},
		{identity.ErrNotFound, "to_org", "登録されていない組織または職員です", "コードと番号を確かめてください", "check the codes and numbers"},
	} {
		if errors.Is(err, w.err) {
			return fault{Column: w.column, Reason: review.Say(w.ja+" ("+text+")", text), Remedy: review.Say(w.toDo, w.doIt)}
		}
	}
	return fault{Reason: review.Say(text, text), Remedy: review.Say("行を確かめてください", "check the row")}
}

// stageTransfers writes the rows where nobody sees them yet, in short transactions. number counts them from 1.
func (s *Store) stageTransfers(ctx context.Context, batch string, list []recorded, progress Progress) error {
	columns := append(slices.Clone(transferData), "number", "parent", "batch", "staged_json")
	total := len(list)
	for from := 0; from < total; {
		to := min(from+chunkFirst, total)
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			var named [][]any
			_, err := s.db.Bulk(ctx, tx, "transfer", columns, "", func(yield func([]any) bool) {
				for i := from; i < to; i++ {
					t := list[i].Transfer
					parent := ""
					if t.Kind == identity.TransferReturn && i > 0 && list[i-1].ReturnAt == t.At && list[i-1].Person == t.Person {
						parent = string(list[i-1].ID)
					}
					after := transferJSON(&t)
					t.State = staged
					for _, p := range t.Named {
						named = append(named, []any{string(t.ID), string(p)})
					}
					if !yield(append(transferValues(&t), i+1, parent, batch, string(after))) {
						return
					}
				}
			})
			if err != nil {
				return err
			}
			_, err = s.db.Bulk(ctx, tx, "transfer_named", []string{"transfer", "person"}, "", slices.Values(named))
			return err
		})
		if err != nil {
			return err
		}
		from = to
		progress(int64(from), int64(total), StageStage)
	}
	return nil
}

// staged is the state of a transfer that an import has written and not published: nobody sees it.
const staged identity.TransferState = "staged"

// publishTransfers makes the staged transfers planned, in one transaction, if nothing that they were checked against has changed since.
func (s *Store) publishTransfers(ctx context.Context, batch string, head int64, list []recorded, by Author) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, len(list))
		if err != nil {
			return err
		}
		if base != head {
			var n int
			err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM feed_now f WHERE f.number > $1 AND f.number <= $2 AND (f.kind NOT LIKE 'transfer.%'
				OR EXISTS (SELECT 1 FROM transfer x JOIN transfer y ON y.person = x.person AND y.batch = $3 WHERE x.id = f.object))`, head, base, batch).Scan(&n)
			if err != nil {
				return fmt.Errorf("publish transfers: %w", err)
			}
			if n > 0 {
				return errMoved
			}
		}
		now := s.micros()
		res, err := tx.ExecContext(ctx, `INSERT INTO feed (number, at, actor, source, why, kind, org, object, before_json, after_json)
			SELECT CAST($1 AS BIGINT) + t.number, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), 'transfer.added', t.from_org, t.id, '', t.staged_json
			FROM transfer t WHERE t.batch = $6`, base, now, string(by.Actor), clean(by.Source), clean(by.Why), batch)
		if err != nil {
			return fmt.Errorf("publish transfers: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != int64(len(list)) {
			return errors.Join(err, fmt.Errorf("publish transfers: %d of %d rows: %w", n, len(list), ErrImportDropped))
		}
		_, err = tx.ExecContext(ctx, "UPDATE transfer SET state = 'planned', number = number + $1, batch = '', staged_json = '' WHERE batch = $2", base, batch)
		if err != nil {
			return fmt.Errorf("publish transfers: %w", err)
		}
		instants := map[int64]bool{}
		for _, t := range list {
			if t.At > now && !instants[t.At] {
				instants[t.At] = true
				if err := s.enqueuer.EnqueueActivation(ctx, tx, access.Activation{At: t.At}); err != nil {
					return fmt.Errorf("enqueue the activation: %w", err)
				}
			}
		}
		// One row for the file: which organizations and people it concerns would tell of what is under embargo.
		by.Why = ""
		return s.audit(ctx, tx, by, "transfer.import", "", batch, map[string]any{"transfers": len(list)})
	})
}

func (s *Store) dropTransfers(ctx context.Context, batch string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanWithin)
	defer cancel()
	return s.deleteStaged(ctx, "batch = $1", batch)
}

// sweepTransfers drops what imports left that died.
func (s *Store) sweepTransfers(ctx context.Context) error {
	return s.deleteStaged(ctx, "batch <> '' AND recorded_at < $1", s.micros()-staleTransfers.Microseconds())
}

func (s *Store) deleteStaged(ctx context.Context, where string, arg any) error {
	for {
		var n int64
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			some := "(SELECT id FROM transfer WHERE state = 'staged' AND " + where + " ORDER BY id LIMIT 1000)"
			if _, err := tx.ExecContext(ctx, "DELETE FROM transfer_named WHERE transfer IN "+some, arg); err != nil {
				return err
			}
			res, err := tx.ExecContext(ctx, "DELETE FROM transfer WHERE id IN "+some, arg)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("drop staged transfers: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}
