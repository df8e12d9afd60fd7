package main

import (
	"context"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

func (e *env) exportServices(ctx context.Context, h *boot.Hub, x export, w *table.Writer, m *meter) (rows int, err error) {
	scope, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if err != nil {
		return 0, err
	}
	if err := w.Row(directory.ServiceHeader(x.locale)); err != nil {
		return 0, err
	}
	x.services.Limit = directory.MaxPage
	for {
		list, err := h.Directory.Services(ctx, scope, x.services)
		if err != nil {
			return rows, err
		}
		for _, v := range list {
			if err := w.Row(directory.ServiceCells(v)); err != nil {
				return rows, err
			}
			rows++
		}
		m.set(int64(rows), int64(rows), "")
		if len(list) < x.services.Limit {
			return rows, nil
		}
		x.services.After = rows
	}
}

func (e *env) exportTransfers(ctx context.Context, h *boot.Hub, x export, w *table.Writer, m *meter) (rows int, err error) {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return 0, err
	}
	if err := w.Row(directory.TransferHeader(x.locale)); err != nil {
		return 0, err
	}
	left, err := h.Directory.ExportTransfers(ctx, scope, x.people.Org, func(r directory.TransferRow) error {
		rows++
		return w.Row(directory.TransferCells(r))
	})
	m.set(int64(rows), int64(rows), "")
	if left > 0 && err == nil {
		say(e.stderr, "ほかの組織が登録する異動 %s 件は入れていません。 / %s transfers that other organizations record are left out.", group(left), group(left))
	}
	return rows, err
}
