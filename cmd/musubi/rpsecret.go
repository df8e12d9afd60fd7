package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

func newRPSecret(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "ログイン先のシークレット / a relying party's secret", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRPRotate(e))
	return cmd
}

// maxOverlap is how long two secrets may count: a former one is to be forgotten, not to be kept.
const maxOverlap = 90 * 24 * time.Hour

func newRPRotate(e *env) *cobra.Command {
	var overlap time.Duration
	var file string
	cmd := &cobra.Command{
		Use: "rotate ID", Short: "シークレットを替える / another secret", Args: cobra.ExactArgs(1),
		Long: `新しいシークレットを作ります。今のものは --overlap の間だけ両方が有効です。漏れたときは --overlap 0 で、今のものを直ちに無効にします。
それより前のものは無効になります。新しいものは一度だけ表示します。
Makes a new secret. The one in use counts beside it for --overlap; for one that leaked use --overlap 0, which voids it at once. Older ones are void.
The new one is shown once.`,
		Example: "  musubi rp secret rotate survey --as planner.cred\n  musubi rp secret rotate survey --overlap 0 --secret-file survey.secret --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if overlap < 0 || overlap > maxOverlap {
				return boot.Usage(fmt.Errorf("--overlap %s: write 0 to %s", overlap, maxOverlap))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				_, actor, err := e.workspace(ctx, h, policies.ActionPartyWrite)
				if err != nil {
					return err
				}
				p, err := partyOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				if p.oidc == nil {
					return boot.Refused(fmt.Errorf("%s: %w: it speaks SAML and proves itself by the signatures of its requests, if by anything", p.id(), party.ErrNoSecret))
				}
				text, fresh, err := party.NewSecret(rand.Reader)
				if err != nil {
					return err
				}
				now := h.Now()
				until := now.Add(overlap)
				err = putParty(file, text, func() error {
					return h.Parties.Rotate(ctx, actor, p.oidc.ID, fresh, until.UnixMicro(), now.UnixMicro())
				})
				if errors.Is(err, party.ErrNoSecret) {
					return boot.Refused(err)
				}
				if err != nil {
					return err
				}
				if file != "" {
					text = ""
				}
				if e.json {
					return e.printJSON("musubi.rp-secret.v1", struct {
						ID          policies.RelyingPartyID `json:"id"`
						Secret      string                  `json:"client_secret,omitempty"` // shown this once
						FormerUntil time.Time               `json:"former_until"`
					}{p.oidc.ID, text, until.UTC()})
				}
				say(e.stdout, "%s のシークレットを替えました。前のものは %s まで有効です。 / Rotated; the former one counts until then.", p.oidc.ID, showTime(until))
				e.tellSecret(text, file)
				return nil
			})
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 7*24*time.Hour, "how long the secret in use goes on counting, e.g. 72h; 0: not at all")
	cmd.Flags().StringVar(&file, "secret-file", "", "write the secret to this file, mode 0600, instead of showing it")
	return cmd
}
