package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

func appointmentName(k identity.AppointmentKind) string {
	switch k {
	case identity.AppointmentCaretaker:
		return "管理代行"
	case identity.AppointmentApprover:
		return "承認代行"
	}
	return string(k)
}

// appointmentView is an appointment in --json answers. Days are in JST.
type appointmentView struct {
	Org    policies.OrgID           `json:"org"`
	Kind   identity.AppointmentKind `json:"kind"`
	Person policies.PersonID        `json:"person"`
	From   string                   `json:"from"`
	Until  string                   `json:"until,omitempty"`
}

// appointmentsDocument is the --json answer of orgs appoint.
type appointmentsDocument struct {
	Appointments []appointmentView `json:"appointments"`
}

func newOrgsAppoint(e *env) *cobra.Command {
	var as, from, until, why, of string
	var end bool
	cmd := &cobra.Command{
		Use: "appoint CODE [PERSON-ID | --of CODE STAFF-NUMBER]", Short: "管理代行・承認代行を決める、見る / say who stands in for an organization, or see who does",
		Long: `管理代行 (caretaker) は、管理ユーザのいない組織の職員を、ほかの組織の人が管理することです。承認代行 (approver) は、二人目のいない組織の承認者を、ほかの組織の人が務めることです。
人を書かなければ、その組織の一覧を表示します。
A caretaker, of another organization, administers the people of one that has no administrator. An approver, of another one, is the second approver
of one that has nobody else. Without a person the command lists who stands in.`,
		Example: "  musubi orgs appoint 011002 --as-kind caretaker --of 010006 S00001 --until 2028-04-01 --as planner.cred\n  musubi orgs appoint 011002 --as town.cred\n  musubi orgs appoint 011002 --of 010006 S00001 --end --as planner.cred",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := identity.Appointment{Org: policies.OrgID(args[0]), Kind: identity.AppointmentKind(as)}
			if a.Kind != identity.AppointmentCaretaker && a.Kind != identity.AppointmentApprover {
				return boot.Usage(fmt.Errorf("--as-kind %q: write caretaker (管理代行) or approver (承認代行)", as))
			}
			var err error
			if a.From, err = parseDay("--from", from); err != nil {
				return err
			}
			if a.Until, err = parseDay("--until", until); err != nil {
				return err
			}
			if end && (len(args) == 1 || a.From != 0 || a.Until != 0) {
				return boot.Usage(errors.New("--end takes a person and no dates: it ends now"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if len(args) == 2 {
					if err := e.appoint(ctx, h, a, args[1], of, why, end); err != nil {
						return err
					}
				}
				return e.listAppointments(ctx, h, a.Org)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&as, "as-kind", string(identity.AppointmentCaretaker), "caretaker (管理代行) or approver (承認代行)")
	f.StringVar(&of, "of", "", "number of the person's own organization, when the person is named by a staff number")
	f.StringVar(&from, "from", "", "first day (default: now)")
	f.StringVar(&until, "until", "", "day from which it is over (default: until further notice)")
	f.BoolVar(&end, "end", false, "end the appointment now")
	f.StringVar(&why, "why", "", "reason, kept in the change feed and in the audit log")
	return cmd
}

func (e *env) appoint(ctx context.Context, h *boot.Hub, a identity.Appointment, person, of, why string, end bool) error {
	scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
	if err != nil {
		return err
	}
	if a.Person, err = e.personID(ctx, h, person, of); err != nil {
		return err
	}
	if end {
		return h.Directory.EndAppointment(ctx, scope, a.Org, a.Kind, a.Person, author(actor, why))
	}
	return h.Directory.Appoint(ctx, scope, a, author(actor, why))
}

func (e *env) listAppointments(ctx context.Context, h *boot.Hub, org policies.OrgID) error {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return err
	}
	list, err := h.Directory.Appointments(ctx, scope, directory.AppointmentFilter{Org: org})
	if err != nil {
		return err
	}
	doc := appointmentsDocument{Appointments: []appointmentView{}}
	for _, a := range list {
		doc.Appointments = append(doc.Appointments, appointmentView{a.Org, a.Kind, a.Person, jst.Date(a.From), jst.Date(a.Until)})
	}
	if e.json {
		return e.printJSON("musubi.appointments.v1", doc)
	}
	if len(list) == 0 {
		say(e.stdout, "代行はいません。 / Nobody stands in.")
		return nil
	}
	t := newColumns("組織 / ORG", "代行 / KIND", "人 / PERSON", "開始 / FROM", "終了 / UNTIL")
	for _, a := range list {
		t.row(string(a.Org), appointmentName(a.Kind), string(a.Person), jst.Date(a.From), jst.Date(a.Until))
	}
	t.print(e.stdout)
	return nil
}
