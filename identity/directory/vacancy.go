package directory

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Vacancies lists the organizations of the scope (people.read) that have too few administrators since somebody left, oldest first. One that
// never had an administrator isn't vacant: it hasn't joined yet.
func (s *Store) Vacancies(ctx context.Context, scope policies.Scope) ([]identity.Vacancy, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	q := sqlText("SELECT v.org, v.since, v.cause FROM vacancy v WHERE v.ended_at = 0")
	q.within(scope, "v.org")
	q.page("v.since, v.org", 0)
	var list []identity.Vacancy
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var v identity.Vacancy
		var org string
		if err := rows.Scan(&org, &v.Since, &v.Cause); err != nil {
			return fmt.Errorf("directory: read vacancy: %w", err)
		}
		v.Org = policies.OrgID(org)
		list = append(list, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// An import fills posts without telling: what is filled isn't shown.
	open := list[:0]
	for _, v := range list {
		org, err := organization(ctx, s.db.Reader(), v.Org)
		if err != nil {
			return nil, err
		}
		short, err := s.short(ctx, s.db.Reader(), org, s.micros())
		if err != nil {
			return nil, err
		}
		if short {
			open = append(open, v)
		}
	}
	return open, nil
}

// short tells whether an organization has too few administrators and caretakers at a time.
func (s *Store) short(ctx context.Context, q querier, org identity.Organization, at int64) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+personTable+" p WHERE p.org = $1 AND p.role = $2 AND p.role <> 'general' AND p.ended_at = 0",
		string(org.ID), string(administratorRole(org.Kind))).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("directory: count administrators: %w", err)
	}
	if org.Kind != policies.KindAgency {
		var c int
		err := q.QueryRowContext(ctx, `SELECT COUNT(*) FROM appointment WHERE org = $1 AND kind = $2 AND valid_from <= $3 AND (valid_until = 0 OR valid_until > $3)`,
			string(org.ID), string(identity.AppointmentCaretaker), at).Scan(&c)
		if err != nil {
			return false, fmt.Errorf("directory: count caretakers: %w", err)
		}
		n += c
	}
	return n < administratorsNeeded(org.Kind), nil
}

// watchAdministrators opens and closes the vacancies of organizations whose administrators changed in this transaction. A planned transfer
// that is due and brings an administrator counts as there: the rest of its midnight follows, and if it is blocked this is asked again.
func (s *Store) watchAdministrators(ctx context.Context, tx *sql.Tx, b *book, orgs []policies.OrgID, cause string, since int64) error {
	for _, id := range orgs {
		org, err := organization(ctx, tx, id)
		if err != nil {
			return err
		}
		short, err := s.short(ctx, tx, org, max(since, b.at))
		if err != nil {
			return err
		}
		var begun int64
		var why string
		switch err := tx.QueryRowContext(ctx, "SELECT since, cause FROM vacancy WHERE org = $1 AND ended_at = 0", string(id)).Scan(&begun, &why); {
		case err == nil && !short:
			if _, err := tx.ExecContext(ctx, "UPDATE vacancy SET ended_at = $1 WHERE org = $2 AND ended_at = 0", max(b.at, begun+1), string(id)); err != nil {
				return fmt.Errorf("directory: end vacancy: %w", err)
			}
			b.add(Change{Kind: VacancyEnded, Org: id, Object: string(id), Before: record(vacancyRecord{begun, why}), After: record(vacancyRecord{begun, why})})
			continue
		case err == nil || !short:
			continue
		case err != sql.ErrNoRows:
			return fmt.Errorf("directory: read vacancy: %w", err)
		}
		var coming int
		err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM transfer WHERE state = $1 AND at <= $2 AND to_org = $3 AND role = $4 AND (from_org = to_org OR accepted_at <> 0)",
			string(identity.TransferPlanned), b.at, string(id), string(administratorRole(org.Kind))).Scan(&coming)
		if err != nil {
			return fmt.Errorf("directory: read vacancy: %w", err)
		}
		if coming > 0 {
			continue
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO vacancy (org, since, cause, ended_at) VALUES ($1, $2, $3, 0) ON CONFLICT (org, since, cause) DO UPDATE SET ended_at = 0",
			string(id), since, cause)
		if err != nil {
			return fmt.Errorf("directory: flag vacancy: %w", err)
		}
		b.add(Change{Kind: VacancyBegun, Org: id, Object: string(id), After: record(vacancyRecord{since, cause})})
		n := identity.Notice{
			ID: "vacancy/" + string(id) + "/" + strconv.FormatInt(since, 10) + "/" + cause, At: b.at, Kind: identity.NoticeVacancy, Org: id, Object: string(id), Detail: cause,
		}
		if err := s.enqueuer.EnqueueNotice(ctx, tx, n); err != nil {
			return fmt.Errorf("directory: tell of a vacancy: %w", err)
		}
	}
	return nil
}
