package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

func newSeats(e *env) *cobra.Command {
	var org, at string
	var rows int
	cmd := &cobra.Command{
		Use:   "seats",
		Short: "組織ごとの利用席と月額を見せる / show seats and what they cost, per organization",
		Long: `名簿と方針が求める利用席を、組織・SaaS・席の種別ごとに数え、月額を示します。単価は設定 (prices) の値で、既定値は仮定です。
Counts the seats that directory and policies want, by organization, SaaS and kind of seat, and what they cost a month. The prices
are configuration (prices); the defaults are assumptions. What the SaaS hold now is in the totals of musubi plan.

Which seat whom, by kind of organization and role: docs/ja/policies.md.`,
		Example: "  musubi seats --as planner.cred\n  musubi seats --org 011002 --as sapporo.cred\n  musubi seats --at 2027-04-01 --json --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.seats(ctx, h, policies.OrgID(org), at, rows)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "one organization: its number")
	cmd.Flags().StringVar(&at, "at", "", "as of this date (00:00 in Japan), with the transfers until then that you may know of")
	cmd.Flags().IntVar(&rows, "rows", 20, "how many organizations to show; 0 shows all")
	return cmd
}

// seatsDocument is the --json answer of seats.
type seatsDocument struct {
	At     time.Time             `json:"at"`
	Prices provision.Prices      `json:"prices"` // yen a month
	Seats  []provision.SeatTally `json:"seats"`
	Total  []provision.SeatTally `json:"total"` // over the organizations, by SaaS and kind of seat; org is empty
	Yen    int                   `json:"yen_per_month"`
}

func (e *env) seats(ctx context.Context, h *boot.Hub, org policies.OrgID, date string, rows int) error {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return err
	}
	day, err := parseDay("--at", date)
	if err != nil {
		return err
	}
	at := e.now()
	if day != 0 {
		at = time.UnixMicro(day).UTC()
	}
	scope, err := h.Scope(ctx, actor, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return err
	}
	if org != "" && !scope.Covers(org) {
		return fmt.Errorf("seats of organization %s: %w", org, identity.ErrRefused)
	}
	w, err := h.Planner.WantedAt(ctx, scope, at)
	if err != nil {
		return err
	}
	doc := seatsDocument{At: at, Prices: h.Planner.Prices(), Seats: []provision.SeatTally{}, Total: []provision.SeatTally{}}
	for _, t := range w.Tally(doc.Prices) {
		if org != "" && t.Org != org {
			continue
		}
		doc.Seats = append(doc.Seats, t)
		doc.Yen += t.Yen
		i := slices.IndexFunc(doc.Total, func(sum provision.SeatTally) bool { return sum.Product == t.Product && sum.Seat == t.Seat })
		if i < 0 {
			i = len(doc.Total)
			doc.Total = append(doc.Total, provision.SeatTally{Product: t.Product, Seat: t.Seat})
		}
		doc.Total[i].Count += t.Count
		doc.Total[i].Yen += t.Yen
	}
	order := policies.Reached()
	slices.SortStableFunc(doc.Total, func(a, b provision.SeatTally) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Product), slices.Index(order, b.Product)), cmp.Compare(b.Count, a.Count))
	})
	if e.json {
		return e.printJSON("musubi.seats.v1", doc)
	}
	names, err := orgNames(ctx, h, actor)
	if err != nil {
		return err
	}
	e.showSeats(doc, names, rows)
	return nil
}

func (e *env) showSeats(doc seatsDocument, names map[policies.OrgID]string, rows int) {
	if len(doc.Seats) == 0 {
		say(e.stdout, "利用席を持つ人はいません。 / Nobody holds a seat.")
		return
	}
	line := func(t provision.SeatTally) {
		n := t.Seat.Name()
		say(e.stdout, "  %-10s %8s 席  %s / %s  月額 / yen a month %s", t.Product, group(t.Count), n.JA, n.EN, group(t.Yen))
	}
	say(e.stdout, "合計 / total (%s): 月額 / yen a month %s", showTime(doc.At), group(doc.Yen))
	for _, t := range doc.Total {
		line(t)
	}
	shown := 0
	last := policies.OrgID("")
	for _, t := range doc.Seats {
		if t.Org != last {
			last = t.Org
			if shown++; rows > 0 && shown > rows {
				say(e.stdout, "\n… ほかの組織 / and more organizations (--rows 0 shows all, --json everything)")
				break
			}
			say(e.stdout, "\n%s %s", t.Org, names[t.Org])
		}
		line(t)
	}
	say(e.stdout, "\n単価は設定の prices です。既定値は仮定です。 / Prices are those of the configuration; its defaults are assumptions.")
}
