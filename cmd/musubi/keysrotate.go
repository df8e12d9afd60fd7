package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/policies"
)

// mayRotate gives the acting person, who may change the workspace's keys, with what begins the audit rows.
func (e *env) mayRotate(ctx context.Context, h *boot.Hub) (access.Actor, audit.Row, error) {
	scope, actor, err := e.scope(ctx, h, policies.ActionKeyRotate)
	if err == nil && !scope.All() {
		err = fmt.Errorf("keys: %w: the keys are the whole workspace's; ask a system administrator", identity.ErrRefused)
	}
	if err != nil {
		return actor, audit.Row{}, err
	}
	by := actor.AuditRow(h.Now().UnixMicro(), keys.Rotated, audit.Done)
	by.PolicyHash, by.Reason = scope.Hash(), scope.Reason()
	return actor, by, nil
}

func newKeysRotate(e *env) *cobra.Command {
	var how rollover.Promotion
	var leave []string
	var why string
	var l letterFlags
	cmd := &cobra.Command{
		Use: "rotate PURPOSE", Short: "次の鍵に署名させる / make the next key sign", Args: cobra.ExactArgs(1),
		Long: `次の鍵が署名を始め、今の鍵は退いて秘密部分を失い、新しい次の鍵が公開されます。動いているハブは止めずに続きます。
準備のできていない接続先があれば、何も変えず、組織ごとに名前を挙げて終了コード 3 で終わります (--letters で手紙を書きます)。
The next key begins to sign, the active one retires and loses its private part, and a new next key is published. Running hubs go on with the new key.
Where relying parties aren't ready nothing is changed: they are named by organization, with exit code 3; --letters writes a letter to each.

  --leave a,b    この接続先を置いて先に進む。新しい証明書を入れるまで、そこにはログインできない (--why が要る)
                 goes on without these: nobody can log in there until they take the new certificate (needs --why)
  --emergency    鍵を失った、盗まれた: 準備を待たず、いますぐ替える。古い証明書はメタデータから即座に消える (--why が要る)
                 the key was lost or stolen: at once, whoever is ready; the old certificate leaves the metadata at once (needs --why)

緊急時に何が止まるか / what an emergency breaks:
  新しい鍵を持たない接続先へのログイン。名前と手紙が出て、終了コードは 4 です。ハブへのログイン、開いているセッション、OpenID の接続先は止まりません。
  盗んだ者は、接続先が古い証明書を外すまで、職員になりすませます: 手紙の相手に、いま外してもらってください。次の鍵も盗まれたときは --unseen を付けます。
  Logins at providers that don't have the new key: they are named, with letters, and the exit code is 4. The hub's own login, open sessions and OpenID
  relying parties go on. A thief can pretend to be staff at each provider until it takes the old certificate out: have them do it now. Where the next key
  was stolen as well, add --unseen.

システム管理者が行い、監査記録に残ります。 / System administrators do this, and break-glass where nobody can log in; it is audited.`,
		Example: "  musubi keys rotate saml-rs256 --as planner.cred\n  musubi keys rotate saml-rs256 --letters letters --from '統合基盤係 内線 1234' --as planner.cred\n" +
			"  musubi keys rotate saml-rs256 --leave oldsurvey --why 契約終了 --as planner.cred\n  musubi keys rotate saml-rs256 --emergency --why 'HSM 紛失' --letters letters --from '統合基盤係' --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case how.Emergency && len(leave) > 0:
				return boot.Usage(errors.New("--emergency leaves nobody out: take --leave away"))
			case how.Unseen && !how.Emergency:
				return boot.Usage(errors.New("--unseen is for --emergency"))
			case how.Emergency || len(leave) > 0:
				if err := checkWhy(why); err != nil {
					return err
				}
			case why != "":
				return boot.Usage(errors.New("--why is for --emergency and --leave"))
			}
			if err := l.check(); err != nil {
				return err
			}
			for _, id := range leave {
				how.Leave = append(how.Leave, policies.RelyingPartyID(id))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.rotate(ctx, h, keys.Purpose(args[0]), how, why, l)
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&leave, "leave", nil, "relying parties that are left behind, separated by commas")
	f.BoolVar(&how.Emergency, "emergency", false, "the key was lost or stolen: rotate at once, and withdraw it")
	f.BoolVar(&how.Unseen, "unseen", false, "with --emergency: even where the next key is so new that nobody can have it, because it is lost as well")
	f.StringVar(&why, "why", "", "the reason, kept in the audit log; without personal data")
	l.add(cmd)
	return cmd
}

// rotationView is the --json answer of keys rotate.
type rotationView struct {
	Keys      []keyDocument `json:"keys"`      // that signs, the next one, the one before
	Readiness readinessView `json:"readiness"` // as it was decided by
}

func (e *env) rotate(ctx context.Context, h *boot.Hub, p keys.Purpose, how rollover.Promotion, why string, l letterFlags) error {
	_, by, err := e.mayRotate(ctx, h)
	if err != nil {
		return err
	}
	if err := h.Unseal(ctx); err != nil {
		return err
	}
	if why != "" {
		by.Detail = map[string]any{"why": why, "emergency": how.Emergency, "left_behind": how.Leave}
	}
	r, all, err := readiness(ctx, h, p)
	if err != nil {
		return err
	}
	if err := l.prepare(r); err != nil {
		return err
	}
	names, err := e.ownerNames(ctx, h, r)
	if err != nil {
		return err
	}
	how.Counterparties, how.Next, how.At = all, r.Next.ID, h.Now().UnixMicro()
	done, decided, err := h.Promote(ctx, p, how, by)
	if errors.Is(err, rollover.ErrNotReady) || errors.Is(err, keys.ErrTooEarly) {
		if terr := e.tellReadiness(ctx, h, decided, false, l); terr != nil {
			return errors.Join(err, terr)
		}
	}
	if err != nil {
		return err
	}
	return e.tellRotation(ctx, h, done, decided, how, names, l)
}

// tellRotation says what was done, and who is cut off. The keys have changed: nothing undoes that, so that whatever fails now is only told.
func (e *env) tellRotation(ctx context.Context, h *boot.Hub, done keys.Rotation, r rollover.Report, how rollover.Promotion, names map[policies.OrgID]string, l letterFlags) error {
	v := rotationView{Readiness: viewReadiness(r)}
	letters, lerr := l.write(ctx, h, r, names, how.Emergency)
	v.Readiness.Letters = letters
	if lerr != nil {
		lerr = boot.Partial(fmt.Errorf("the key has changed, but not every letter could be written: %w", lerr))
	}
	var err error
	if v.Keys, err = documentOf(ctx, h, []keys.Key{done.Active, done.Next, done.Retired}); err != nil {
		return errors.Join(err, lerr)
	}
	if e.json {
		err = e.printJSON("musubi.keys.v1", v)
	} else {
		say(e.stdout, "署名鍵を替えました / rotated %s: %s が署名 / signs, %s は退役 / retired", r.Purpose, done.Active.ID, done.Retired.ID)
		if how.Emergency && r.Purpose == samlidp.Purpose {
			say(e.stdout, "古い証明書は公開をやめました。外していない接続先では、なりすましがまだ可能です。 / The old certificate is published no more; impersonation stays possible wherever it isn't taken out.")
		}
		e.sayLetters(letters)
	}
	var cut []string
	for _, s := range r.Waiting() {
		cut = append(cut, string(s.ID))
	}
	if len(cut) > 0 {
		err = errors.Join(err, boot.Partial(fmt.Errorf("次の接続先には、新しい証明書を入れるまでログインできません / nobody can log in there until they take the new certificate: %s", strings.Join(cut, ", "))))
	}
	return errors.Join(err, lerr)
}
