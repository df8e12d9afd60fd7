package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/policies"
)

func newKeys(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "署名鍵を見る・替える / look at signing keys, rotate them",
		Long: `署名鍵は最初の serve で作られ、封印鍵 (keys/sealing.key、または設定の keys.sealing_key_file) で暗号化してデータベースに置かれます。
Signing keys are made by the first serve and kept in the database, encrypted under the sealing key (keys/sealing.key, or
keys.sealing_key_file of the configuration). Private keys are never shown.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysList(e), newKeysRotate(e))
	return cmd
}

// keyDocument is one key as --json shows it. Times are RFC 3339; empty where there is none.
type keyDocument struct {
	ID          string `json:"id"`
	Purpose     string `json:"purpose"`
	Algorithm   string `json:"algorithm"`
	State       string `json:"state"`
	CreatedAt   string `json:"created_at"`
	ActivatedAt string `json:"activated_at,omitempty"`
	RetiredAt   string `json:"retired_at,omitempty"`
	Verifier    string `json:"verifier,omitempty"` // audit: the line that verifies checkpoints
}

func documentOf(ctx context.Context, h *boot.Hub, all []keys.Key) ([]keyDocument, error) {
	origin, err := audit.LogOrigin(ctx, h.DB)
	if err != nil && !errors.Is(err, identity.ErrNotFound) {
		return nil, err
	}
	out := []keyDocument{}
	for _, k := range all {
		d := keyDocument{
			ID: k.ID, Purpose: string(k.Purpose), Algorithm: string(k.Algorithm), State: string(k.State),
			CreatedAt: rfc3339(k.CreatedAt), ActivatedAt: rfc3339(k.ActivatedAt), RetiredAt: rfc3339(k.RetiredAt),
		}
		if k.Purpose == audit.Purpose && origin != "" {
			if d.Verifier, err = audit.VerifierKey(origin, k.Public); err != nil {
				return nil, err
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// rfc3339 shows microseconds in JST; empty for 0.
func rfc3339(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMicro(at).In(jst.Zone).Format("2006-01-02T15:04:05.000000Z07:00")
}

func newKeysList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "公開してよいことだけを並べる / list what may be told of each key",
		Long: `next は次に署名する鍵 (公開済み)、active は署名中の鍵、retired は退いた鍵です。audit の鍵の verifier の行を、ハブの外に控えておいてください。
A key is next (published, to sign next), active (signs) or retired. Keep the verifier lines of the audit keys elsewhere than the
hub: by them "musubi audit verify --key" believes nothing that stands in the database.`,
		Example: "  musubi keys list\n  musubi keys list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				all, err := h.Keys.List(ctx, h.DB.Reader(), "")
				if err != nil {
					return err
				}
				docs, err := documentOf(ctx, h, all)
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.keys.v1", struct {
						Keys []keyDocument `json:"keys"`
					}{docs})
				}
				if len(docs) == 0 {
					say(e.stdout, "鍵はまだありません。serve が作ります。 / There is no key yet: the first `musubi serve` makes them.")
				}
				for i, d := range docs {
					say(e.stdout, "%-8s %-8s %-8s %s  作成 / made %s", d.Purpose, d.State, d.Algorithm, d.ID, showTime(time.UnixMicro(all[i].CreatedAt)))
					if d.Verifier != "" {
						say(e.stdout, "  verifier %s", d.Verifier)
					}
				}
				return nil
			})
		},
	}
}

func newKeysRotate(e *env) *cobra.Command {
	var early bool
	cmd := &cobra.Command{
		Use:   "rotate PURPOSE",
		Short: "次の鍵に署名させる / make the next key sign",
		Long: `次の鍵が署名を始め、今の鍵は退いて秘密部分を失い、新しい次の鍵が公開されます。動いているハブは止めずに続きます。
The next key begins to sign, the active one retires and loses its private part, and a new next key is published. Running hubs go on
with the new key. System administrators do this, and break-glass where nobody can log in; it is audited.`,
		Example: "  musubi keys rotate audit --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				scope, err := h.Scope(ctx, actor, policies.ActionKeyRotate, policies.Context{})
				if err != nil {
					return err
				}
				if !scope.All() {
					return fmt.Errorf("keys rotate: %w: the keys are the whole workspace's; ask a system administrator", identity.ErrRefused)
				}
				if err := h.Unseal(ctx); err != nil {
					return err
				}
				by := actor.AuditRow(h.Now().UnixMicro(), keys.Rotated, audit.Done)
				by.PolicyHash, by.Reason = scope.Hash(), scope.Reason()
				done, err := h.Rotate(ctx, keys.Purpose(args[0]), keys.Turn{Early: early}, by)
				if err != nil {
					return err
				}
				docs, err := documentOf(ctx, h, []keys.Key{done.Active, done.Next, done.Retired})
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.keys.v1", struct {
						Keys []keyDocument `json:"keys"`
					}{docs})
				}
				say(e.stdout, "署名鍵を替えました / rotated %s: %s が署名 / signs, %s は退役 / retired", args[0], done.Active.ID, done.Retired.ID)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&early, "early", false, "even where the next key was published too recently: for a key that is lost or stolen")
	return cmd
}
