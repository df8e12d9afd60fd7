package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// readStandings reads the people of transfers and their successors, with their posts.
func readStandings(ctx context.Context, q querier, list []recorded) (map[policies.PersonID]*standing, error) {
	ids := concernedIn(list)
	found := make(map[policies.PersonID]*standing, len(ids))
	query := sqlText(personSelect)
	anyOf(query, "p.id", ids)
	err := each(ctx, q, query, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		found[p.ID] = &standing{person: p}
		return err
	})
	if err != nil {
		return nil, err
	}
	query = sqlText(postSelect)
	anyOf(query, "o.person", ids)
	query.page("o.id", 0)
	err = each(ctx, q, query, func(rows *sql.Rows) error {
		p, err := scanPost(rows)
		if st := found[p.Person]; st != nil {
			st.posts = append(st.posts, p)
		}
		return err
	})
	return found, err
}

// readLater reads, for each transfer that was recorded late, the person's transfers of later dates that have taken effect already.
func readLater(ctx context.Context, q querier, list []recorded) (map[identity.TransferID][]identity.Transfer, error) {
	later := map[identity.TransferID][]identity.Transfer{}
	of := map[policies.PersonID][]recorded{}
	var ids []policies.PersonID
	for _, t := range list {
		if t.Late {
			of[t.Person] = append(of[t.Person], t)
			ids = append(ids, t.Person)
		}
	}
	if len(ids) == 0 {
		return later, nil
	}
	query := sqlText(transferSelect)
	anyOf(query, "t.person", ids)
	query.and("t.state = 'done'")
	query.and("t.kind NOT IN ('concurrent', 'release')")
	done, err := transfers(ctx, q, query)
	for _, d := range done {
		for _, t := range of[d.Person] {
			if d.At > t.At {
				later[t.ID] = append(later[t.ID], d.Transfer)
			}
		}
	}
	return later, err
}

// keyHolders finds out who holds what the candidates want. It reads the table below person_now, whose indexes hold the keys: the caller has
// made sure that no import is published and unsettled.
func keyHolders(ctx context.Context, q querier, list []*candidate) (map[key]policies.PersonID, error) {
	holders := map[key]policies.PersonID{}
	var numbers []key
	var emails []string
	for _, c := range list {
		for _, k := range c.wants {
			if k.org == "" {
				emails = append(emails, k.number)
			} else {
				numbers = append(numbers, k)
			}
		}
	}
	if len(emails) > 0 {
		query := sqlText("SELECT p.id, p.email_key FROM person p WHERE p.ended_at = 0")
		anyOf(query, "p.email_key", emails)
		err := each(ctx, q, query, func(rows *sql.Rows) error {
			var id, email string
			err := rows.Scan(&id, &email)
			holders[key{"", email}] = policies.PersonID(id)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(numbers) > 0 {
		query := &statement{}
		query.text.WriteString("WITH w (org, number) AS (VALUES ")
		for i, k := range numbers {
			if i > 0 {
				query.text.WriteByte(',')
			}
			query.args = append(query.args, string(k.org), k.number)
			query.text.WriteString("(" + placeholders(2*i+1, 2) + ")")
		}
		query.text.WriteString( // CROSS JOIN keeps SQLite from reading all people once per statement.
			") SELECT p.id, p.org, p.staff_number FROM w CROSS JOIN person p WHERE p.org = w.org AND p.staff_number = w.number")
		err := each(ctx, q, query, func(rows *sql.Rows) error {
			var id, org, number string
			err := rows.Scan(&id, &org, &number)
			holders[key{policies.OrgID(org), number}] = policies.PersonID(id)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("directory: read staff numbers: %w", err)
		}
	}
	return holders, nil
}
