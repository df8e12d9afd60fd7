package directory

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// EditOrganization changes one organization (org.write; org.contact for its contacts and nothing else): edit gets it as it is, inside the
// transaction, and changes what it wants. Number and kind never change. What edit leaves as it was makes no change. The organization as
// stored is returned.
//
// identity.ErrRefused outside the scope (everyone sees that it exists); a review.Finding where the result isn't sound. An organization that has people in service can't
// have ceased: they have to be transferred first, or with the same date.
func (s *Store) EditOrganization(
	ctx context.Context, scope policies.Scope, id policies.OrgID, by Author, edit func(*identity.Organization) error,
) (identity.Organization, error) {
	contactsOnly := scope.For(policies.ActionOrgContact) && !scope.For(policies.ActionOrgWrite)
	if err := permitAuthor(scope, either(contactsOnly, policies.ActionOrgContact, policies.ActionOrgWrite), by); err != nil {
		return identity.Organization{}, err
	}
	if !scope.Covers(id) {
		return identity.Organization{}, fmt.Errorf("change organization %s: outside the scope: %w", review.Visible(string(id), review.MaxShown), identity.ErrRefused)
	}
	var after identity.Organization
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 0)
		if err != nil {
			return err
		}
		before, err := organization(ctx, tx, id)
		if err != nil {
			return err
		}
		after = before
		if err := edit(&after); err != nil {
			return err
		}
		if after == before {
			return nil
		}
		others := after
		others.Duty, others.Night = before.Duty, before.Night
		if contactsOnly && others != before {
			return fmt.Errorf("change organization %s: with %s only its contacts change: %w", id, policies.ActionOrgContact, identity.ErrRefused)
		}
		if err := s.checkEdit(ctx, tx, before, &after); err != nil {
			return fmt.Errorf("change organization %s: %w", id, err)
		}
		if _, err := takeNumbers(ctx, tx, 1); err != nil {
			return err
		}
		after.UpdatedAt = s.micros()
		if err := s.publishOrganizations(ctx, tx, base, []orgChange{{before: before, after: after}}, by); err != nil {
			return err
		}
		return s.audit(ctx, tx, by, "org.change", id, string(id), map[string]any{"fields": orgDifference(before, after), "feed": base + 1})
	})
	return after, err
}

func either(first bool, a, b policies.Action) policies.Action {
	if first {
		return a
	}
	return b
}

// checkEdit refuses an organization that isn't sound, alone or beside the others.
func (s *Store) checkEdit(ctx context.Context, tx *sql.Tx, before identity.Organization, after *identity.Organization) error {
	if after.ID != before.ID || after.Kind != before.Kind {
		return fmt.Errorf("number and kind never change: %w", identity.ErrRefused)
	}
	if faults := checkOrganization(after); faults != nil {
		return faults[0]
	}
	if after.Parent != "" && after.Parent != before.Parent {
		parent, err := organization(ctx, tx, after.Parent)
		if err != nil {
			return fmt.Errorf("parent: %w", err)
		}
		if f := family(after.Kind, parent.Kind, after.Parent); f != nil {
			return *f
		}
	}
	if after.Successor != "" && after.Successor != before.Successor {
		next, err := organization(ctx, tx, after.Successor)
		if err != nil {
			return fmt.Errorf("successor: %w", err)
		}
		if !next.Exists(after.Until) {
			return fault{
				Column: "successor", Value: string(after.Successor),
				Reason: review.Say("その日に存在しない組織です", "this organization doesn't exist on that day"),
				Remedy: review.Say("後継の組織を先に登録するか、日付を直してください", "register the successor first, or correct the date"),
			}
		}
	}
	if after.Until == before.Until || after.Until == 0 || after.Until > s.micros() {
		return nil
	}
	var people int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+personTable+" p WHERE p.org = $1 AND p.ended_at = 0", string(after.ID)).Scan(&people); err != nil {
		return err
	}
	if people > 0 {
		return fault{
			Column: "until", Value: string(after.ID),
			Reason: review.Say(fmt.Sprintf("在職者が %d 人いる組織は廃止できません", people), fmt.Sprintf("it has %d people in service", people)),
			Remedy: review.Say("先に全員を異動させるか、将来の日付にして、その日の異動を登録してください", "transfer them first, or give a date to come and record their transfers for it"),
		}
	}
	return nil
}

// checkDates checks existence, successor, state and contacts of an organization alone.
func checkDates(o *identity.Organization) []fault {
	var faults []fault
	add := func(column, value string, reason, remedy review.Text) {
		faults = append(faults, fault{Column: column, Value: value, Reason: reason, Remedy: remedy})
	}
	if o.From < 0 || o.Until < 0 || o.Until != 0 && o.Until <= o.From {
		add("until", "", review.Say("廃止日が設置日より前です", "it ceases before it exists"), review.Say("日付を直してください", "correct the dates"))
	}
	if o.Successor != "" {
		if _, err := code.Parse(string(o.Successor)); err != nil {
			faults = append(faults, badNumber("successor", string(o.Successor), err))
		}
		switch {
		case o.Successor == o.ID:
			add("successor", string(o.Successor), review.Say("後継が自分自身です", "it would succeed itself"), review.Say("後継の組織のコードを書いてください", "write the code of the successor"))
		case o.Until == 0:
			add("successor", string(o.Successor), review.Say("廃止日がないのに後継があります", "it has a successor but no day on which it ceases"), review.Say("廃止日を書いてください", "write the day"))
		}
	}
	if o.State != "" && !slices.Contains(identity.Onboardings(), o.State) {
		var words []string
		for _, state := range identity.Onboardings() {
			words = append(words, string(state))
		}
		faults = append(faults, unknownWord("state", string(o.State), words))
	}
	for _, c := range []struct {
		prefix string
		identity.Contact
	}{{"duty_", o.Duty}, {"night_", o.Night}} {
		faults = append(faults, cell(c.prefix+"name", c.Name, maxName, false)...)
		faults = append(faults, checkPhone(c.prefix+"phone", c.Phone)...)
		if c.Email != "" {
			for _, f := range checkEmail(c.Email) {
				f.Column = c.prefix + "email"
				faults = append(faults, f)
			}
		}
	}
	return faults
}

const maxPhone = 40 // characters

// checkPhone accepts what Japanese offices write: digits, + ( ) - . # * and spaces, 内線 and 代表, full-width too; a number has to be in it:
// of two digits at least, but for an extension.
func checkPhone(column, value string) []fault {
	if faults := cell(column, value, maxPhone, false); faults != nil || value == "" {
		return faults
	}
	digits := 0
	for _, r := range value {
		switch {
		case r >= '0' && r <= '9', r >= '０' && r <= '９':
			digits++
		case strings.ContainsRune("+()-.#*, /　（）－ー−‐〜~内線代表直通夜間転", r):
		default:
			digits = -1 << 20
		}
	}
	if digits < 1 || digits < 2 && column != "extension" {
		return []fault{{
			Column: column, Value: value,
			Reason: review.Say("電話番号ではありません", "it is not a telephone number"),
			Remedy: review.Say("03-1234-5678 や 03-1234-5678 (内線 1234) の形で書いてください", "write it like 03-1234-5678 or 03-1234-5678 (内線 1234)"),
		}}
	}
	return nil
}

// orgDifference names the fields in which two states differ, for the audit log: names only, no values.
func orgDifference(before, after identity.Organization) []string {
	b, a := orgValues(&before), orgValues(&after)
	var names []string
	for i, column := range orgData {
		if b[i] != a[i] {
			names = append(names, column)
		}
	}
	return names
}

// audit records what a person or the hub did to the directory, in the transaction that does it. An author without By is somebody
// whose act is recorded elsewhere: at an import's end, or by the hub's own task.
func (s *Store) audit(ctx context.Context, tx *sql.Tx, by Author, action string, org policies.OrgID, object string, detail map[string]any) error {
	if by.By.Kind == "" {
		return nil
	}
	row := by.By.AuditRow(s.micros(), action, audit.Done)
	row.Org, row.Object, row.Detail, row.Reason = org, object, detail, clean(by.Why)
	return audit.Append(ctx, tx, row)
}
