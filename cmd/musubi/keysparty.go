package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/policies"
)

// isRefusal reports whether somebody may not see something, or it isn't there.
func isRefusal(err error) bool {
	return errors.Is(err, identity.ErrRefused) || errors.Is(err, identity.ErrNotFound)
}

// standingOf gives how one service provider stands. An id that there isn't comes with those that may have been meant.
func standingOf(ctx context.Context, h *boot.Hub, id string) (rollover.Standing, rollover.Report, error) {
	r, all, err := readiness(ctx, h, samlidp.Purpose)
	if err != nil {
		return rollover.Standing{}, r, err
	}
	if i := slices.IndexFunc(r.Standings, func(s rollover.Standing) bool { return string(s.ID) == id }); i >= 0 {
		return r.Standings[i], r, nil
	}
	if _, err := h.Parties.Party(ctx, h.DB.Reader(), policies.RelyingPartyID(id)); err == nil {
		return rollover.Standing{}, r, boot.Refused(fmt.Errorf("%s speaks OpenID Connect: it fetches keys by itself, and nothing is to be done for it", id))
	}
	var known []string
	for _, c := range all {
		known = append(known, string(c.ID))
	}
	err = fmt.Errorf("service provider %q: %w", oneLine(id, 80), identity.ErrNotFound)
	if near := config.Near(id, known); len(near) > 0 {
		err = fmt.Errorf("%w: did you mean %v?", err, near)
	}
	return rollover.Standing{}, r, err
}

// partyKeyView is the --json answer of what was done about one provider's key.
type partyKeyView struct {
	ID      policies.RelyingPartyID `json:"id"`
	Key     string                  `json:"key"`
	Done    string                  `json:"done"` // switched, back, rehearses, accepted, told
	Network policies.Network        `json:"network,omitempty"`
	Until   string                  `json:"until,omitempty"`
}

func (e *env) tellPartyKey(v partyKeyView, format string, args ...any) error {
	if e.json {
		return e.printJSON("musubi.keys.party.v1", v)
	}
	say(e.stdout, format, args...)
	return nil
}

func newKeysSwitch(e *env) *cobra.Command {
	var back, untested bool
	var why string
	cmd := &cobra.Command{
		Use: "switch PARTY", Short: "この接続先だけ、先に次の鍵で署名する / sign by the next key towards one provider, ahead of the others", Args: cobra.ExactArgs(1),
		Long: `この接続先への応答に、次の鍵で署名します。証明書を一つしか持てない相手 (Slack など) では、相手の管理者が新しい証明書を入れるのと同じ時刻に行います。
うまく入れなければ --back で元に戻せます (全体の鍵を替えるまで、いつでも)。戻した相手は、もう一度試すまで「未了」です。
Answers this provider by the next key. Where it holds one certificate (Slack and others), do it at the minute in which its administrator enters the new
one. If people can't come in, --back undoes it, at any time until the key is rotated for all; such a provider is late until it is tried again.

受け入れる見込みのない相手には、断ります。--untested で進められます。
It is refused where the provider isn't known to take the key; --untested goes on.`,
		Example: "  musubi keys switch slack --as planner.cred\n  musubi keys switch slack --back --why ログインできない --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if back && untested {
				return boot.Usage(errors.New("--back needs no --untested"))
			}
			if why != "" {
				if err := checkWhy(why); err != nil {
					return err
				}
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, _, err := e.mayRotate(ctx, h)
				if err != nil {
					return err
				}
				s, r, err := standingOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				store, at := h.Rollover(samlidp.Purpose), h.Now().UnixMicro()
				if back {
					k, err := store.SwitchBack(ctx, actor, s.ID, r.Next.ID, why, at)
					if err != nil {
						return err
					}
					return e.tellPartyKey(partyKeyView{ID: s.ID, Key: r.Active.ID, Done: "back"},
						"%s への署名を今の鍵 %s に戻しました。次の鍵 %s は、もう一度試すまで使いません。 / %s is answered by the active key again.", s.ID, r.Active.ID, k.ID, s.ID)
				}
				if s.State != rollover.Ready && s.Reason != rollover.ReasonOneHeld && !untested {
					return boot.Refused(fmt.Errorf("%s: %s / %s. ログインが失敗します。試すには musubi keys rehearse、承知の上なら --untested / logins would fail: "+
						"musubi keys rehearse, or --untested", s.ID, s.Reason.Text().JA, s.Reason.Text().EN))
				}
				k, err := store.SwitchTo(ctx, actor, s.ID, r.Next.ID, why, at)
				if err != nil {
					return err
				}
				return e.tellPartyKey(partyKeyView{ID: s.ID, Key: k.ID, Done: "switched"},
					"%s へは、いまから次の鍵 %s で署名します。ログインを確かめてください (戻すには --back)。 / %s is answered by the next key from now on; try a login (--back undoes it).", s.ID, k.ID, s.ID)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&back, "back", false, "the active key signs towards it again")
	f.BoolVar(&untested, "untested", false, "even where logins are expected to fail")
	f.StringVar(&why, "why", "", "a reason, kept in the audit log; without personal data")
	return cmd
}

func newKeysRehearse(e *env) *cobra.Command {
	var q whyQuestion
	var person, org, network string
	cmd := &cobra.Command{
		Use: "rehearse PARTY --person ID", Short: "一人の次のログインだけを次の鍵で署名する / one login of one person by the next key", Args: cobra.ExactArgs(1),
		Long: `30 分以内の、この人のこの接続先への次のログイン一回だけを、次の鍵で署名します。ほかの人、ほかのログインは今の鍵のままです。
入れたら musubi keys accepted で記録してください。入れなければ、その人がもう一度ログインすれば、元どおりに入れます。
The person's next login at this provider within 30 minutes, that one alone, is signed by the next key; everything else as before. If they come in, record
it by musubi keys accepted. If not, they log in once more, and that is as ever.`,
		Example: "  musubi keys rehearse slack --person pabc... --as planner.cred\n  musubi keys rehearse jira --org 011002 --person S00001 --network lgwan --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if person == "" {
				return boot.Usage(errors.New("say whose login it is: --person ID, or --org CODE --person STAFF_NUMBER"))
			}
			if network != "" && !slices.Contains(policies.Networks(), policies.Network(network)) {
				return boot.Usage(fmt.Errorf("--network %q: write one of %q", oneLine(network, 40), policies.Networks()))
			}
			q.who, q.org = person, policies.OrgID(org)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.rehearse(ctx, h, args[0], q, policies.Network(network))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&person, "person", "", "who will log in: id, or with --org the staff number")
	f.StringVar(&org, "org", "", orgFlagText)
	f.StringVar(&network, "network", "", "where: internet, lgwan, government (needed where the provider is in several)")
	return cmd
}

func (e *env) rehearse(ctx context.Context, h *boot.Hub, party string, q whyQuestion, n policies.Network) error {
	actor, _, err := e.mayRotate(ctx, h)
	if err != nil {
		return err
	}
	s, r, err := standingOf(ctx, h, party)
	if err != nil {
		return err
	}
	switch {
	case n == "" && len(s.Networks) == 1:
		n = s.Networks[0]
	case n == "":
		return boot.Usage(fmt.Errorf("%s is in several networks: add --network, one of %v", s.ID, s.Networks))
	case !slices.Contains(s.Networks, n):
		return boot.Usage(fmt.Errorf("%s isn't reached in the network %s, only in %v", s.ID, n, s.Networks))
	}
	people, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return err
	}
	var p identity.Person
	if q.org != "" {
		p, err = h.Directory.FindPerson(ctx, people, q.org, q.who)
	} else {
		p, err = h.Directory.Person(ctx, people, policies.PersonID(q.who))
	}
	if err != nil {
		return err
	}
	if !p.Active() {
		return boot.Refused(fmt.Errorf("person %s isn't in service and can't log in", p.ID))
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	done, err := h.Rollover(samlidp.Purpose).Rehearse(ctx, actor, rollover.Rehearsal{ID: hex.EncodeToString(id[:]), Party: s.ID, Person: p.ID, Network: n, Key: r.Next.ID}, h.Now().UnixMicro())
	if err != nil {
		return err
	}
	return e.tellPartyKey(partyKeyView{ID: s.ID, Key: done.Key, Done: "rehearses", Network: n, Until: rfc3339(done.Until)},
		"%s までに、この人が %s から %s にログインすると、その一回だけ次の鍵 %s で署名します。入れたら musubi keys accepted %s / that one login is signed by the next key",
		showTime(time.UnixMicro(done.Until)), n, s.ID, done.Key, s.ID)
}

func newKeysAccepted(e *env) *cobra.Command {
	var told bool
	var why string
	cmd := &cobra.Command{
		Use: "accepted PARTY", Short: "次の鍵で入れたことを記録する / say that somebody came in by the next key", Args: cobra.ExactArgs(1),
		Long: `試しのログイン (keys rehearse) や切り替え (keys switch) の後、入れたことを記録します。次の鍵で署名したことがなければ断ります。
--told は、相手の管理者が「新しい証明書を登録した」と言ったことの記録です (--why に、だれから、どう聞いたか。個人の名前は書かない)。
Records that somebody came in, after a rehearsal or a switch; refused where nothing was signed by the next key yet. --told records an administrator's word
that the certificate was entered (--why: from which office, and how; no personal data).`,
		Example: "  musubi keys accepted slack --as planner.cred\n  musubi keys accepted jira --told --why '情報政策課から電話' --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, word := rollover.CameIn, "accepted"
			if told {
				kind, word = rollover.Told, "told"
			}
			if told || why != "" {
				if err := checkWhy(why); err != nil {
					return err
				}
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, _, err := e.mayRotate(ctx, h)
				if err != nil {
					return err
				}
				s, r, err := standingOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				k, err := h.Rollover(samlidp.Purpose).Confirm(ctx, actor, s.ID, kind, r.Next.ID, why, h.Now().UnixMicro())
				if errors.Is(err, rollover.ErrNoLogin) {
					return fmt.Errorf("%w: musubi keys rehearse %s --person ID; or --told, if its administrator says that the certificate was entered", err, s.ID)
				}
				if err != nil {
					return err
				}
				next := ""
				if s.Reason == rollover.ReasonOneHeld {
					next = fmt.Sprintf(" 証明書を一つしか持てない相手です。いますぐ musubi keys switch %s / it holds one certificate: switch it now", s.ID)
				}
				return e.tellPartyKey(partyKeyView{ID: s.ID, Key: k.ID, Done: word}, "記録しました / recorded: %s, %s.%s", s.ID, k.ID, next)
			})
		},
	}
	cmd.Flags().BoolVar(&told, "told", false, "its administrator says that the new certificate was entered")
	cmd.Flags().StringVar(&why, "why", "", "from whom, and how; kept in the audit log; without personal data")
	return cmd
}
