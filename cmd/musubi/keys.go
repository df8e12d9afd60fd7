package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
)

func newKeys(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "署名鍵を見る・替える / look at signing keys, rotate them",
		Long: `署名鍵は最初の serve で作られ、封印鍵 (keys/sealing.key、または設定の keys.sealing_key_file) で暗号化してデータベースに置かれます。
Signing keys are made by the first serve and kept in the database, encrypted under the sealing key (keys/sealing.key, or
keys.sealing_key_file of the configuration). Private keys are never shown.

SAML の鍵を年に一度替える手順 (docs/saml.md) / how the SAML key is changed once a year:
  musubi keys readiness                                だれの準備ができているか / who is ready
  musubi keys readiness --letters DIR --from 係名       遅れている組織への手紙 / letters to those who are late
  musubi keys rehearse slack --person ID               一人だけ新しい鍵で試す / one login of one person by the next key
  musubi keys accepted slack                           入れたことを記録する / say that they came in
  musubi keys switch slack                             この相手だけ先に替える / this provider ahead of the others
  musubi keys rotate saml-rs256                        全員そろったら替える / when all are ready
  musubi keys rotate saml-rs256 --emergency --why ...  鍵を失った、盗まれた / the key was lost or stolen`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysList(e), newKeysReadiness(e), newKeysRotate(e), newKeysSwitch(e), newKeysRehearse(e), newKeysAccepted(e))
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
	WithdrawnAt string `json:"withdrawn_at,omitempty"` // published no more since then: it was lost or stolen
	Verifier    string `json:"verifier,omitempty"`     // audit: the line that verifies checkpoints

	Certificate *certificateView `json:"certificate,omitempty"` // SAML
}

// certificateView is the certificate of a SAML key.
type certificateView struct {
	SHA256 string `json:"sha256"`
	Until  string `json:"until"`
	Within *int   `json:"within,omitempty"` // it ends within so many days: 90, 30, 7; 0: it has ended
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
			CreatedAt: rfc3339(k.CreatedAt), ActivatedAt: rfc3339(k.ActivatedAt), RetiredAt: rfc3339(k.RetiredAt), WithdrawnAt: rfc3339(k.WithdrawnAt),
		}
		if k.Purpose == samlidp.Purpose && k.State != keys.Retired {
			d.Certificate, err = certificateOf(ctx, h, k)
			if err != nil && !errors.Is(err, identity.ErrNotFound) { // a serving hub makes one where there is none yet
				return nil, err
			}
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

// certificateOf gives the certificate of a key; the error wraps identity.ErrNotFound where it has none.
func certificateOf(ctx context.Context, h *boot.Hub, k keys.Key) (*certificateView, error) {
	der, err := samlidp.Certificate(ctx, h.DB.Reader(), k.ID)
	if err != nil {
		return nil, err
	}
	ending, err := rollover.EndingOf(k, der, h.Now().UnixMicro())
	if err != nil {
		return nil, err
	}
	v := &certificateView{SHA256: sp.Fingerprint(der), Until: rfc3339(ending.Until)}
	if ending.Soon {
		v.Within = &ending.Days
	}
	return v, nil
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
					if c := d.Certificate; c != nil {
						say(e.stdout, "  証明書 / certificate SHA-256 %s  期限 / until %s", c.SHA256, c.Until)
						switch {
						case c.Within == nil:
						case *c.Within == 0:
							say(e.stdout, "  !! 期限切れです / has ended: musubi keys readiness")
						default:
							say(e.stdout, "  !! あと %d 日以内に期限です / ends within %d days: musubi keys readiness", *c.Within, *c.Within)
						}
					}
				}
				return nil
			})
		},
	}
}
