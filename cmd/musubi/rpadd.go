package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// rpFlags are the flags of rp add.
type rpFlags struct {
	profile, from, jwks, secretFile string
	set, networks, resources        []string
	redirects, postLogout, serves   []string
	backchannel, frontchannel       string
	name, auth, alg, sector, least  string
	scopes, functions, products     []string
	native, par, refresh, idClaim   bool
	replace, dryRun                 bool
}

func newRPAdd(e *env) *cobra.Command {
	var f rpFlags
	cmd := &cobra.Command{
		Use: "add ID", Short: "ログイン先を登録する、変える / register a relying party, or change one", Args: cobra.ExactArgs(1),
		Long: `ひな形 (--profile)、ファイル (--from、YAML か JSON)、フラグの順に重ねます。後のものが勝ちます。網ごとに違う値は、ファイルに書きます。
登録の前に rp check と同じ確認をして、誤りがあれば何も変えません。シークレットで証明する相手には、シークレットを作って一度だけ表示します
(--secret-file なら、0600 のファイルに書きます)。二度とは見られません。
--replace は、あるものを置き換えます。シークレットは、そのまま残ります (替えるのは rp secret rotate)。

A profile (--profile), a file (--from: YAML or JSON) and flags go over each other in this order. What differs by network is written in a file.
The checks of rp check run before; where one of them is an error nothing is changed. A party that proves itself by a secret gets one, which is shown
once (with --secret-file it is written to a file of mode 0600) and can't be read again. --replace puts the registration in the place of the one that
there is; its secrets stay (rp secret rotate changes them).`,
		Example: "  musubi rp add jira --profile atlassian-portal --set host=jira.example.jp --name お問い合わせ窓口 --jwks jira.json --as planner.cred\n" +
			"  musubi rp add survey --profile qualtrics --set host=t.example.jp --set redirect=https://t.example.jp/cb --secret-file survey.secret --as planner.cred\n" +
			"  musubi rp add wiki --from wiki.yaml --replace --as planner.cred\n" +
			"  musubi rp add wiki --from wiki.yaml --dry-run --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.registration(cmd, policies.RelyingPartyID(args[0]))
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.addParty(ctx, h, r, f) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.profile, "profile", "", "a ready registration to begin with (musubi rp profiles)")
	fl.StringArrayVar(&f.set, "set", nil, "NAME=VALUE for a gap of the profile; may be repeated")
	fl.StringVar(&f.from, "from", "", "registration file, YAML or JSON; - for standard input (musubi rp profiles --schema)")
	fl.StringVar(&f.name, "name", "", "what people call it")
	fl.StringSliceVar(&f.networks, "network", nil, "where it is reached: internet, lgwan, government, separated by commas")
	fl.StringArrayVar(&f.redirects, "redirect", nil, "redirect URI, in each of the networks; may be repeated")
	fl.StringArrayVar(&f.postLogout, "post-logout", nil, "where a browser may go after a logout; may be repeated")
	fl.StringVar(&f.backchannel, "backchannel", "", "back-channel logout URI")
	fl.StringVar(&f.frontchannel, "frontchannel", "", "front-channel logout URI")
	fl.StringVar(&f.auth, "auth", "", "how it proves itself: private_key_jwt, client_secret_basic, none (native applications)")
	fl.StringVar(&f.jwks, "jwks", "", "file of its public keys, a JSON Web Key Set")
	fl.StringVar(&f.alg, "alg", "", "signatures of what is signed for it: ES256, RS256")
	fl.StringVar(&f.sector, "sector", "", "parties of one sector see the same subject of a person")
	fl.StringVar(&f.least, "least", "", "what a login must reach: card, aal2, aal1, identifier")
	fl.StringSliceVar(&f.scopes, "scope", nil, "what it may ask for: profile, email, phone, organization")
	fl.StringSliceVar(&f.functions, "function", nil, "functions that it carries; who may use one of them enters: "+joinedBy(policies.Functions(), ", "))
	fl.StringSliceVar(&f.products, "product", nil, "who enters holds a seat in one of them: "+joinedBy(policies.Products(), ", "))
	fl.StringArrayVar(&f.resources, "resource", nil, "URI or URI=SCOPE,SCOPE: an API that it calls in its own name; may be repeated")
	fl.StringArrayVar(&f.serves, "serves", nil, "URI of an API that it is; may be repeated")
	fl.BoolVar(&f.native, "native", false, "it runs on a person's own machine")
	fl.BoolVar(&f.par, "par", false, "only pushed authorization requests are taken (RFC 9126)")
	fl.BoolVar(&f.refresh, "refresh", false, "it gets refresh tokens")
	fl.BoolVar(&f.idClaim, "id-claim", false, "the claims stand in the ID token too, for a party that doesn't ask userinfo")
	fl.BoolVar(&f.replace, "replace", false, "in the place of the one that there is")
	fl.BoolVar(&f.dryRun, "dry-run", false, "show what would be registered, and change nothing")
	fl.StringVar(&f.secretFile, "secret-file", "", "write a new secret to this file, mode 0600, instead of showing it")
	return cmd
}

func joinedBy[T ~string](all []T, sep string) string {
	return strings.ReplaceAll(joined(all), " ", sep)
}

// registration puts profile, file and flags over each other.
func (f rpFlags) registration(cmd *cobra.Command, id policies.RelyingPartyID) (r registration.Registration, err error) {
	var file registration.Registration
	if f.from != "" {
		text, err := readAll(cmd.InOrStdin(), f.from)
		if err != nil {
			return r, boot.Usage(fmt.Errorf("--from: %w", err))
		}
		if file, err = registration.Read(text); err != nil {
			return r, boot.Usage(fmt.Errorf("--from %s: %w", f.from, err))
		}
		if file.ID != "" && file.ID != id {
			return r, boot.Usage(fmt.Errorf("--from %s: its id is %s, not %s", f.from, file.ID, id))
		}
	}
	if f.profile == "" {
		f.profile = file.Profile
	}
	networks, err := f.knownNetworks()
	if err != nil {
		return r, err
	}
	if f.profile != "" {
		p, err := registration.Find(f.profile)
		if err != nil {
			return r, boot.Usage(err)
		}
		r = p.In(networks)
	}
	r = r.Over(file)
	flags, err := f.over(cmd, r, networks)
	if err != nil {
		return r, err
	}
	flags.ID = id
	r, err = r.Over(flags).Fill()
	var gaps registration.GapError
	if errors.As(err, &gaps) {
		return r, boot.Usage(fmt.Errorf("the profile %s has gaps: give --set %s=... (musubi rp profiles %s)", f.profile, strings.Join(gaps, "=... --set "), f.profile))
	}
	if r.Sector == "" {
		r.Sector = sectorOf(r)
	}
	if r.Name == "" {
		r.Name = string(id)
	}
	return r, err
}

func (f rpFlags) knownNetworks() (all []policies.Network, err error) {
	for _, n := range f.networks {
		if !slices.Contains(policies.Networks(), policies.Network(n)) {
			return nil, boot.Usage(fmt.Errorf("--network %q: write one of %q", n, policies.Networks()))
		}
		all = append(all, policies.Network(n))
	}
	return all, nil
}

// over gives what the flags say, in each of the networks.
func (f rpFlags) over(cmd *cobra.Command, base registration.Registration, networks []policies.Network) (r registration.Registration, err error) {
	r = registration.Registration{
		Name: f.name, Auth: party.AuthMethod(f.auth), Alg: jose.SignatureAlgorithm(f.alg), Sector: f.sector, Least: f.least, Scopes: f.scopes, Values: map[string]string{},
	}
	for _, x := range f.functions {
		r.Functions = append(r.Functions, policies.Function(x))
	}
	for _, x := range f.products {
		r.Products = append(r.Products, policies.Product(x))
	}
	for name, to := range map[string]**bool{"native": &r.Native, "par": &r.PAR, "refresh": &r.Refresh, "id-claim": &r.IDClaim} {
		if cmd.Flags().Changed(name) {
			v, err := cmd.Flags().GetBool(name)
			if err != nil {
				return r, err
			}
			*to = &v
		}
	}
	for _, pair := range f.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || value == "" {
			return r, boot.Usage(fmt.Errorf("--set %q: write NAME=VALUE", pair))
		}
		r.Values[name] = value
	}
	if f.jwks != "" {
		text, err := readAll(nil, f.jwks)
		if err != nil {
			return r, boot.Usage(fmt.Errorf("--jwks: %w", err))
		}
		if err := json.Unmarshal(text, &r.JWKS); err != nil {
			return r, boot.Usage(fmt.Errorf("--jwks %s: not a JSON Web Key Set: %w", f.jwks, err))
		}
	}
	face := registration.Face{Redirects: f.redirects, PostLogout: f.postLogout, Backchannel: f.backchannel, Frontchannel: f.frontchannel, Serves: f.serves}
	for _, text := range f.resources {
		uri, scopes, some := strings.Cut(text, "=")
		x := party.Resource{URI: uri}
		if some {
			x.Scopes = strings.Split(scopes, ",")
		}
		face.Resources = append(face.Resources, x)
	}
	if len(networks) == 0 {
		for n := range base.Networks {
			networks = append(networks, n)
		}
	}
	if len(networks) == 0 && (len(f.redirects) > 0 || len(f.resources) > 0 || len(f.serves) > 0) {
		networks = []policies.Network{policies.NetworkInternet}
	}
	if len(networks) > 0 {
		r.Networks = map[policies.Network]registration.Face{}
		for _, n := range networks {
			r.Networks[n] = face
		}
	}
	return r, nil
}

// sectorOf is the host of the redirect URIs where they have one in common (OpenID Connect Core 1.0, section 8.1).
func sectorOf(r registration.Registration) (host string) {
	for _, f := range r.Networks {
		for _, text := range f.Redirects {
			u, err := url.Parse(text)
			if err != nil || host != "" && u.Hostname() != host {
				return ""
			}
			host = u.Hostname()
		}
	}
	return host
}

// readAll reads a bounded file; - is standard input.
func readAll(in io.Reader, name string) (text []byte, err error) {
	if name != "-" || in == nil {
		file, err := os.Open(name) // #nosec G304 -- named by whoever runs the command
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err = io.ReadAll(io.LimitReader(in, registration.MaxFile+1))
	if err == nil && len(text) > registration.MaxFile {
		err = fmt.Errorf("%s: more than %d bytes", name, registration.MaxFile)
	}
	return text, err
}

// rpAdded is the --json answer of rp add.
type rpAdded struct {
	Party    rpView                 `json:"relying_party"`
	Replaced bool                   `json:"replaced"`
	DryRun   bool                   `json:"dry_run,omitempty"`
	Secret   string                 `json:"client_secret,omitempty"` // shown this once
	Findings []registration.Finding `json:"findings"`
}

func (e *env) addParty(ctx context.Context, h *boot.Hub, r registration.Registration, f rpFlags) error {
	_, actor, err := e.workspace(ctx, h, policies.ActionPartyWrite)
	if err != nil {
		return err
	}
	p, err := r.Party()
	if err != nil {
		return boot.Usage(err)
	}
	before, err := h.Parties.Party(ctx, h.DB.Reader(), p.ID)
	switch {
	case errors.Is(err, identity.ErrNotFound) && f.replace:
		return fmt.Errorf("relying party %q: %w: there is none to replace; leave --replace out", p.ID, identity.ErrNotFound)
	case err == nil && !f.replace:
		return fmt.Errorf("relying party %q: %w: --replace puts this in its place", p.ID, identity.ErrExists)
	case err != nil && !errors.Is(err, identity.ErrNotFound):
		return err
	}
	var text string
	if p.Auth == party.AuthSecretBasic {
		p.Secrets = before.Secrets
		if len(p.Secrets) == 0 {
			var s party.Secret
			if text, s, err = party.NewSecret(rand.Reader); err != nil {
				return err
			}
			p.Secrets = []party.Secret{s}
		}
	}
	around, err := surroundings(ctx, h)
	if err != nil {
		return err
	}
	doc := rpAdded{Party: viewParty(p, around.At), Replaced: f.replace, DryRun: f.dryRun, Secret: text, Findings: registration.Review(p, around)}
	if doc.Findings == nil {
		doc.Findings = []registration.Finding{}
	}
	if registration.Failed(doc.Findings) {
		e.tellFindings(doc.Findings)
		return boot.Refused(fmt.Errorf("relying party %q: %w; nothing was changed", p.ID, registration.ErrWrong))
	}
	if f.dryRun {
		doc.Secret = ""
	} else if err := putParty(f.secretFile, text, func() error {
		return h.Parties.Put(ctx, actor, p, f.replace, h.Now().UnixMicro())
	}); err != nil {
		return err
	}
	if f.secretFile != "" {
		doc.Secret = ""
	}
	if e.json {
		return e.printJSON("musubi.rp-added.v1", doc)
	}
	return e.tellAdded(h, p, doc, f)
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

func (e *env) tellAdded(h *boot.Hub, p party.Party, doc rpAdded, f rpFlags) error {
	switch {
	case f.dryRun:
		text, err := registration.Write(registration.Of(p))
		if err != nil {
			return err
		}
		say(e.stdout, "# 試行: 何も変えていません / dry run: nothing was changed\n%s", strings.TrimSuffix(string(text), "\n"))
	case f.replace:
		say(e.stdout, "置き換えました / replaced %s (%s)", p.ID, p.Name)
	default:
		say(e.stdout, "登録しました / registered %s (%s)", p.ID, p.Name)
	}
	if f.profile != "" {
		profile, err := registration.Find(f.profile)
		if err != nil {
			return err
		}
		say(e.stdout, "%s\n%s", profile.Note.JA, profile.Note.EN)
	}
	e.tellFindings(doc.Findings)
	if f.dryRun {
		return nil
	}
	e.tellOtherSide(h, p, "")
	e.tellSecret(doc.Secret, f.secretFile)
	return nil
}

func (e *env) tellSecret(secret, file string) {
	switch {
	case secret != "":
		say(e.stdout, "client_secret %s\n  この一度だけ表示します。相手に入れたら、どこにも残さないでください。 / Shown this once: put it into the other side and keep it nowhere else.", secret)
	case file != "":
		say(e.stdout, "シークレットは %s に書きました (0600)。相手に入れたら消してください。 / The secret is in that file: put it into the other side and remove the file.", file)
	}
}
