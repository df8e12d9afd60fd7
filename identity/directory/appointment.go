package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

// ErrAppointment says that nobody can be appointed so.
var ErrAppointment = errors.New("not an appointment that can be made")

// Appoint makes a person stand in for an organization from a date on (people.write over the organization): as caretaker, who administers an organization
// without an administrator, or as approver, the second one of an organization that has nobody else. A caretaker comes from another organization;
// the operating agency has none. A From of 0 is now.
func (s *Store) Appoint(ctx context.Context, scope policies.Scope, a identity.Appointment, by Author) error {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return err
	}
	if s.enqueuer == nil {
		return errNoQueue
	}
	if !scope.Covers(a.Org) {
		return fmt.Errorf("appoint for organization %s: outside the scope: %w", clean(string(a.Org)), identity.ErrRefused)
	}
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err := s.openBook(ctx, tx, by, a.Person)
		if err != nil {
			return err
		}
		if a.From == 0 {
			a.From = b.at
		}
		if err := s.checkAppointment(ctx, tx, a); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO appointment (org, kind, person, valid_from, valid_until) VALUES ($1, $2, $3, $4, $5)",
			string(a.Org), string(a.Kind), string(a.Person), a.From, a.Until)
		if err != nil {
			return fmt.Errorf("directory: appoint: %w", err)
		}
		b.add(Change{Kind: AppointmentAdded, Org: a.Org, Object: string(a.Person), After: appointmentJSON(a)})
		for _, at := range []int64{a.From, a.Until} { // a vacancy ends or begins then
			if at > b.at {
				if err := s.enqueuer.EnqueueActivation(ctx, tx, access.Activation{At: at}); err != nil {
					return fmt.Errorf("enqueue the activation: %w", err)
				}
			}
		}
		if err := s.closeVacancies(ctx, tx, b, []policies.OrgID{a.Org}); err != nil {
			return err
		}
		if err := b.close(ctx, tx, s.db); err != nil {
			return err
		}
		return s.audit(ctx, tx, by, "appointment.add", a.Org, string(a.Person), map[string]any{"kind": string(a.Kind), "from": a.From, "until": a.Until})
	})
	if err != nil {
		return fmt.Errorf("appoint: %w", err)
	}
	return nil
}

func (s *Store) checkAppointment(ctx context.Context, tx *sql.Tx, a identity.Appointment) error {
	org, err := organization(ctx, tx, a.Org)
	if err != nil {
		return err
	}
	query := sqlText(personSelect)
	query.and("p.id = ?", storable(string(a.Person)))
	p, err := onePerson(ctx, tx, query, string(a.Person))
	switch {
	case err != nil:
		return err
	case a.Kind != identity.AppointmentCaretaker && a.Kind != identity.AppointmentApprover:
		return fmt.Errorf("%q is no kind of appointment; write caretaker or approver: %w", clean(string(a.Kind)), ErrAppointment)
	case a.Until != 0 && a.Until <= a.From:
		return fmt.Errorf("it would end before it begins: %w", ErrAppointment)
	case !p.Active():
		return notFound("person", string(a.Person)) // tells no more of another organization's people
	case a.Kind == identity.AppointmentCaretaker && org.Kind == policies.KindAgency:
		return fmt.Errorf("the operating agency has no caretaker: name a system administrator: %w", ErrAppointment)
	case a.Kind == identity.AppointmentCaretaker && p.Org == a.Org:
		return fmt.Errorf("a caretaker comes from another organization; make this person an administrator: %w", ErrAppointment)
	}
	have, err := appointments(ctx, tx, a.Org, a.Kind)
	if err != nil {
		return err
	}
	for _, h := range have {
		if h.Person == a.Person && (a.Until == 0 || h.From < a.Until) && (h.Until == 0 || a.From < h.Until) {
			return fmt.Errorf("the person is appointed so in that time: %w", identity.ErrExists)
		}
	}
	return nil
}

// EndAppointment ends a person's present appointment of a kind now, or takes back those to come (people.write over the organization). An organization
// that has nobody else is flagged vacant in the same transaction.
func (s *Store) EndAppointment(ctx context.Context, scope policies.Scope, org policies.OrgID, kind identity.AppointmentKind, person policies.PersonID, by Author) error {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return err
	}
	if s.enqueuer == nil {
		return errNoQueue
	}
	if !scope.Covers(org) {
		return fmt.Errorf("end an appointment for organization %s: outside the scope: %w", clean(string(org)), identity.ErrRefused)
	}
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err := s.openBook(ctx, tx, by)
		if err != nil {
			return err
		}
		have, err := appointments(ctx, tx, org, kind)
		if err != nil {
			return err
		}
		have = slices.DeleteFunc(have, func(a identity.Appointment) bool { return a.Person != person || a.Until != 0 && a.Until <= b.at })
		if len(have) == 0 {
			return notFound("appointment of", string(person))
		}
		if err := s.endAppointments(ctx, tx, b, have, b.at); err != nil {
			return err
		}
		if kind == identity.AppointmentCaretaker {
			if err := s.watchAdministrators(ctx, tx, b, []policies.OrgID{org}, "appointment "+string(person), b.at); err != nil {
				return err
			}
		}
		if err := b.close(ctx, tx, s.db); err != nil {
			return err
		}
		return s.audit(ctx, tx, by, "appointment.end", org, string(person), map[string]any{"kind": string(kind)})
	})
	if err != nil {
		return fmt.Errorf("end appointment: %w", err)
	}
	return nil
}

// endAppointments ends appointments at a time; those that would begin later never do.
func (s *Store) endAppointments(ctx context.Context, tx *sql.Tx, b *book, list []identity.Appointment, at int64) error {
	for _, a := range list {
		was := appointmentJSON(a)
		text := "UPDATE appointment SET valid_until = $1 WHERE org = $2 AND kind = $3 AND person = $4 AND valid_from = $5"
		a.Until = at
		if a.From >= at {
			text = "DELETE FROM appointment WHERE valid_from >= $1 AND org = $2 AND kind = $3 AND person = $4 AND valid_from = $5"
			a.Until = a.From
		}
		if _, err := tx.ExecContext(ctx, text, at, string(a.Org), string(a.Kind), string(a.Person), a.From); err != nil {
			return fmt.Errorf("directory: end appointment: %w", err)
		}
		b.add(Change{Kind: AppointmentEnded, Org: a.Org, Object: string(a.Person), Before: was, After: appointmentJSON(a)})
	}
	return nil
}

// dismiss ends every appointment of people whose service has ended, and tells which organizations lose a caretaker.
func (s *Store) dismiss(ctx context.Context, tx *sql.Tx, b *book, ids []policies.PersonID, ended map[policies.PersonID]int64, look func(policies.OrgID, string, int64)) error {
	q := sqlText(appointmentSelect)
	anyOf(q, "a.person", ids)
	q.page("a.org, a.kind, a.person, a.valid_from", 0)
	list, err := readAppointments(ctx, tx, q)
	if err != nil {
		return err
	}
	for _, a := range list {
		at := ended[a.Person]
		if a.Until != 0 && a.Until <= at {
			continue
		}
		if err := s.endAppointments(ctx, tx, b, []identity.Appointment{a}, at); err != nil {
			return err
		}
		if a.Kind == identity.AppointmentCaretaker {
			look(a.Org, "end "+string(a.Person), at)
		}
	}
	return nil
}

// AppointmentFilter narrows a list of appointments.
type AppointmentFilter struct {
	Org    policies.OrgID
	Person policies.PersonID
	At     int64 // in force then: UTC, microseconds; 0: all, past and future ones too
}

// Appointments lists the appointments for organizations of the scope (people.read), by organization, kind, person and beginning.
func (s *Store) Appointments(ctx context.Context, scope policies.Scope, filter AppointmentFilter) ([]identity.Appointment, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	q := sqlText(appointmentSelect)
	q.within(scope, "a.org")
	if filter.Org != "" {
		q.and("a.org = ?", storable(string(filter.Org)))
	}
	if filter.Person != "" {
		q.and("a.person = ?", storable(string(filter.Person)))
	}
	if filter.At != 0 {
		q.and("a.valid_from <= ? AND (a.valid_until = 0 OR a.valid_until > ?)", filter.At, filter.At)
	}
	q.page("a.org, a.kind, a.person, a.valid_from", 0)
	return readAppointments(ctx, s.db.Reader(), q)
}

const appointmentSelect = "SELECT a.org, a.kind, a.person, a.valid_from, a.valid_until FROM appointment a WHERE 1=1"

func appointments(ctx context.Context, q querier, org policies.OrgID, kind identity.AppointmentKind) ([]identity.Appointment, error) {
	query := sqlText(appointmentSelect)
	query.and("a.org = ?", storable(string(org)))
	query.and("a.kind = ?", storable(string(kind)))
	query.page("a.person, a.valid_from", 0)
	return readAppointments(ctx, q, query)
}

func readAppointments(ctx context.Context, q querier, query *statement) ([]identity.Appointment, error) {
	var list []identity.Appointment
	err := each(ctx, q, query, func(rows *sql.Rows) error {
		var a identity.Appointment
		var org, kind, person string
		if err := rows.Scan(&org, &kind, &person, &a.From, &a.Until); err != nil {
			return fmt.Errorf("directory: read appointment: %w", err)
		}
		a.Org, a.Kind, a.Person = policies.OrgID(org), identity.AppointmentKind(kind), policies.PersonID(person)
		list = append(list, a)
		return nil
	})
	return list, err
}

// closeVacancies ends the vacancies of organizations that have administrators enough again. It never opens one.
func (s *Store) closeVacancies(ctx context.Context, tx *sql.Tx, b *book, orgs []policies.OrgID) error {
	for _, id := range orgs {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM vacancy WHERE org = $1 AND ended_at = 0", string(id)).Scan(&n); err != nil {
			return fmt.Errorf("directory: read vacancy: %w", err)
		}
		if n > 0 {
			if err := s.watchAdministrators(ctx, tx, b, []policies.OrgID{id}, "", b.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// expireAppointments looks at organizations whose caretaker's time is over or has come, each once.
func (s *Store) expireAppointments(ctx context.Context) error {
	now := s.micros()
	q := sqlText(`SELECT a.org, a.person, a.valid_until FROM appointment a WHERE a.kind = 'caretaker' AND a.valid_until <> 0`)
	q.and("a.valid_until <= ?", now)
	q.text.WriteString(` AND NOT EXISTS (SELECT 1 FROM vacancy v WHERE v.org = a.org AND (v.ended_at = 0 OR v.since >= a.valid_until))`)
	type over struct {
		org    policies.OrgID
		person string
		at     int64
	}
	var list []over
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var org string
		var o over
		err := rows.Scan(&org, &o.person, &o.at)
		o.org = policies.OrgID(org)
		list = append(list, o)
		return err
	})
	if err != nil {
		return err
	}
	q = sqlText(`SELECT DISTINCT a.org FROM appointment a JOIN vacancy v ON v.org = a.org AND v.ended_at = 0 WHERE a.kind = 'caretaker'`)
	q.and("a.valid_from <= ? AND (a.valid_until = 0 OR a.valid_until > ?)", now, now)
	err = each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var org string
		err := rows.Scan(&org)
		list = append(list, over{org: policies.OrgID(org)})
		return err
	})
	if err != nil {
		return err
	}
	for _, o := range list {
		org, err := organization(ctx, s.db.Reader(), o.org)
		if err != nil {
			return err
		}
		if short, err := s.short(ctx, s.db.Reader(), org, now); err != nil || short == (o.person == "") {
			if err != nil {
				return err
			}
			continue
		}
		err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			b, err := s.openBook(ctx, tx, activator)
			if err != nil {
				return err
			}
			if err := s.watchAdministrators(ctx, tx, b, []policies.OrgID{o.org}, "appointment "+o.person, max(o.at, 1)); err != nil {
				return err
			}
			return b.close(ctx, tx, s.db)
		})
		if err != nil {
			return fmt.Errorf("directory: look at appointments that ended: %w", err)
		}
	}
	return nil
}
