package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/metadata"
)

func newRPAdd(e *env) *cobra.Command {
	var f rpFlags
	cmd := &cobra.Command{
		Use: "add ID", Short: "ログイン先を登録する、変える / register a relying party, or change one", Args: cobra.ExactArgs(1),
		Long: `ひな形 (--profile)、相手のメタデータ (--metadata、SAML)、ファイル (--from、YAML か JSON)、フラグの順に重ねます。後のものが勝ちます。
網ごとに違う値は、ファイルに書きます。登録の前に rp check と同じ確認をして、誤りがあれば何も変えません。
--metadata はファイルか https のアドレスです。--pin で、署名した鍵の証明書を指定すると、それで署名されたものだけを読みます。使わなかった部分は、
理由とともに示します。ひな形を指定しなければ generic-saml です。
シークレットで証明する相手 (OpenID) には、シークレットを作って一度だけ表示します (--secret-file なら、0600 のファイルに書きます)。二度とは見られません。
--replace は、あるものを置き換えます。シークレットは、そのまま残ります (替えるのは rp secret rotate)。

A profile (--profile), the other side's metadata (--metadata, for SAML), a file (--from: YAML or JSON) and flags go over each other in this order. What
differs by network is written in a file. The checks of rp check run before; where one of them is an error nothing is changed.
--metadata takes a file or an https address. With --pin, the certificate of the key that signs it, nothing is read but what that key signed. What isn't
taken of it is told, with the reason. Without a profile it is generic-saml.
A party that proves itself by a secret (OpenID) gets one, which is shown once (with --secret-file it is written to a file of mode 0600) and can't be read
again. --replace puts the registration in the place of the one that there is; its secrets stay (rp secret rotate changes them).`,
		Example: "  musubi rp add slack --profile slack --set host=example.slack.com --as planner.cred\n" +
			"  musubi rp add wiki --metadata wiki.xml --function documents --contact saml@wiki.example.jp --as planner.cred\n" +
			"  musubi rp add app --profile generic-web --set host=app.example.jp --function faq --jwks app.json --as planner.cred\n" +
			"  musubi rp add wiki --from wiki.yaml --replace --as planner.cred\n" +
			"  musubi rp add wiki --from wiki.yaml --dry-run --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			id := policies.RelyingPartyID(args[0])
			if isAddress(f.metadata) { // the hub's own way out is needed
				return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
					if _, _, err := e.workspace(ctx, h, policies.ActionPartyWrite); err != nil {
						return err
					}
					r, err := f.registration(cmd, id, e.now().UnixMicro(), func(address string) ([]byte, error) { return fetchMetadata(ctx, h, address) })
					if err != nil {
						return err
					}
					return e.addParty(ctx, h, r, f)
				})
			}
			r, err := f.registration(cmd, id, e.now().UnixMicro(), nil)
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.addParty(ctx, h, r, f) })
		},
	}
	f.define(cmd.Flags())
	return cmd
}

// rpAdded is the --json answer of rp add.
type rpAdded struct {
	Party    rpView                 `json:"relying_party"`
	Replaced bool                   `json:"replaced"`
	DryRun   bool                   `json:"dry_run,omitempty"`
	Secret   string                 `json:"client_secret,omitempty"` // shown this once
	Left     []string               `json:"left_out,omitempty"`      // of the metadata, with the reason
	Findings []registration.Finding `json:"findings"`
}

func (e *env) addParty(ctx context.Context, h *boot.Hub, w written, f rpFlags) error {
	_, actor, err := e.workspace(ctx, h, policies.ActionPartyWrite)
	if err != nil {
		return err
	}
	p, err := w.party()
	if err != nil {
		return boot.Usage(err)
	}
	before, err := find(ctx, h, w.ID)
	switch {
	case errors.Is(err, identity.ErrNotFound) && f.replace:
		return fmt.Errorf("relying party %q: %w: there is none to replace; leave --replace out", w.ID, identity.ErrNotFound)
	case err == nil && !f.replace:
		return fmt.Errorf("relying party %q: %w: --replace puts this in its place", w.ID, identity.ErrExists)
	case err == nil && before.protocol() != p.protocol():
		return boot.Refused(fmt.Errorf("relying party %q: it speaks %s; one that speaks %s can't take its place: take it out first (musubi rp remove)", w.ID, before.protocol(), p.protocol()))
	case err != nil && !errors.Is(err, identity.ErrNotFound):
		return err
	}
	text, err := p.secret(before)
	if err != nil {
		return err
	}
	around, err := surroundings(ctx, h, p)
	if err != nil {
		return err
	}
	doc := rpAdded{Party: p.view(around.At), Replaced: f.replace, DryRun: f.dryRun, Secret: text, Left: w.left, Findings: p.review(around)}
	if w.source != nil && len(w.source.Signers) == 0 {
		doc.Findings = append(doc.Findings, unpinned)
	}
	if doc.Findings == nil {
		doc.Findings = []registration.Finding{}
	}
	if registration.Failed(doc.Findings) {
		e.tellLeft(doc.Left)
		e.tellFindings(doc.Findings)
		return boot.Refused(fmt.Errorf("relying party %q: %w; nothing was changed", w.ID, registration.ErrWrong))
	}
	if f.dryRun {
		doc.Secret = ""
	} else if err := putParty(f.secretFile, text, func() error {
		return p.put(ctx, h, actor, f.replace)
	}); err != nil {
		return err
	} else if err := keepSource(ctx, h, actor, w); err != nil {
		return err
	}
	if f.secretFile != "" {
		doc.Secret = ""
	}
	if e.json {
		return e.printJSON("musubi.rp-added.v1", doc)
	}
	return e.tellAdded(ctx, h, p, doc, w)
}

// secret gives an OpenID party its secrets: those that it had, else a new one, whose text comes back.
func (p relyingParty) secret(before relyingParty) (text string, err error) {
	if p.oidc == nil || p.oidc.Auth != party.AuthSecretBasic {
		return "", nil
	}
	if before.oidc != nil {
		p.oidc.Secrets = before.oidc.Secrets
	}
	if len(p.oidc.Secrets) == 0 {
		var s party.Secret
		if text, s, err = party.NewSecret(rand.Reader); err != nil {
			return "", err
		}
		p.oidc.Secrets = []party.Secret{s}
	}
	return text, nil
}

func (p relyingParty) put(ctx context.Context, h *boot.Hub, by access.Actor, replace bool) error {
	at := h.Now().UnixMicro()
	switch {
	case p.saml == nil:
		return h.Parties.Put(ctx, by, *p.oidc, replace, at)
	case replace:
		return h.SPs.Change(ctx, by, *p.saml, at)
	}
	return h.SPs.Add(ctx, by, *p.saml, at)
}

// putParty writes the secret's file before the registry is changed, so that no secret counts that nobody has.
func putParty(file, secret string, put func() error) error {
	if file == "" || secret == "" {
		return put()
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- named by whoever runs the command
	if err != nil {
		return boot.Usage(fmt.Errorf("--secret-file: %w", err))
	}
	_, err = io.WriteString(out, secret+"\n")
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = put()
	}
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

func (e *env) tellAdded(ctx context.Context, h *boot.Hub, p relyingParty, doc rpAdded, w written) error {
	switch {
	case doc.DryRun:
		text, err := registration.Write(p.registration())
		if err != nil {
			return err
		}
		say(e.stdout, "# 試行: 何も変えていません / dry run: nothing was changed\n%s", strings.TrimSuffix(string(text), "\n"))
	case doc.Replaced:
		say(e.stdout, "置き換えました / replaced %s (%s)", p.id(), p.name())
	default:
		say(e.stdout, "登録しました / registered %s (%s)", p.id(), p.name())
	}
	if w.Profile != "" {
		profile, err := registration.Find(w.Profile)
		if err != nil {
			return err
		}
		say(e.stdout, "%s\n%s", profile.Note.JA, profile.Note.EN)
	}
	e.tellLeft(doc.Left)
	e.tellFindings(doc.Findings)
	if doc.DryRun {
		return nil
	}
	if err := e.tellOtherSide(ctx, h, p, ""); err != nil {
		return err
	}
	e.tellSecret(doc.Secret, w.secretFile)
	return nil
}

// unpinned is about metadata that nobody was seen to sign.
var unpinned = registration.Finding{
	Severity: registration.Risky, Code: "metadata_unpinned", Where: "--metadata", Says: policies.Text{
		JA: "メタデータの署名を確かめていません。署名した鍵の証明書が別の道で分かるなら、--pin に指定してください。分からなければ、登録した内容 (rp show) を相手に確かめてください",
		EN: "nobody's signature of the metadata was checked: where the signer's certificate is known from elsewhere, give it by --pin; else ask the other side whether what is registered (rp show) is theirs",
	},
}

// tellLeft says what of the metadata isn't taken.
func (e *env) tellLeft(left []string) {
	for _, text := range left {
		say(e.stdout, "メタデータから使わなかったもの / left out of the metadata: %s", oneLine(text, 1000))
	}
}

func (e *env) tellSecret(secret, file string) {
	switch {
	case secret != "":
		say(e.stdout, "client_secret %s\n  この一度だけ表示します。相手に入れたら、どこにも残さないでください。 / Shown this once: put it into the other side and keep it nowhere else.", secret)
	case file != "":
		say(e.stdout, "シークレットは %s に書きました (0600)。相手に入れたら消してください。 / The secret is in that file: put it into the other side and remove the file.", file)
	}
}

// fetchMetadata gets a provider's metadata from its address.
func fetchMetadata(ctx context.Context, h *boot.Hub, address string) ([]byte, error) {
	way, err := h.Outward()
	if err != nil {
		return nil, err
	}
	doc, err := metadata.Fetcher{Transport: way}.Fetch(ctx, address, sp.Validators{})
	if err != nil {
		return nil, boot.Outside(fmt.Errorf("--metadata: %w", err))
	}
	return doc.Data, nil
}

// keepSource notes where a provider's metadata comes from, so that it is read anew, or who has to have signed it.
func keepSource(ctx context.Context, h *boot.Hub, by access.Actor, w written) error {
	if w.source == nil || w.source.Address == "" && len(w.source.Signers) == 0 {
		return nil
	}
	err := sp.NewSources(h.DB, nil).Set(ctx, by, w.ID, *w.source, h.Now().UnixMicro())
	if err != nil {
		err = fmt.Errorf("%s is registered; where its metadata comes from isn't: %w", w.ID, err)
	}
	return err
}
