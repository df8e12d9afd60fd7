package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/metadata"
)

// sourceFlags are the flags of rp metadata source.
type sourceFlags struct {
	address           string
	signers, networks []string
	noSigner          bool
	harmless, remove  bool
	dryRun            bool
}

func newMetadataSource(e *env) *cobra.Command {
	var f sourceFlags
	cmd := &cobra.Command{
		Use: "source ID [--address URL] [--signer FILE]... [--harmless]", Short: "取得元を見る、決める、やめる / show, set or end where metadata comes from", Args: cobra.ExactArgs(1),
		Long: `フラグがなければ、今の取得元を示します。フラグは、書いたところだけを変えます。
--signer は、相手から別の経路 (電話、書面) で確かめた証明書です。指紋 (SHA-256) を表示するので、照らし合わせてください。替わるときは、今と次の二枚を書けます。
--harmless は、固定した署名者が署名した無害な違い (知っている鍵の横に増えた署名鍵、同じ鍵の新しい証明書、期限) を、人を待たずに取り入れます。ほかは必ず人が確かめます。
--remove は、取得をやめます。受け入れた内容は残ります。

Without flags it shows the source. A flag changes what it names and nothing else. --signer is a certificate that you had from the provider another way
(by telephone, on paper): compare the fingerprint that is shown. Two may be given while it changes. --harmless takes what opens nothing and is signed by
the pinned signer without waiting for a person: a signing key beside the known one, a new certificate of a known key, a new time of validity. Everything
else waits for a person. --remove ends the fetching; what was accepted stays.`,
		Example: "  musubi rp metadata source jira --address https://jira.example.jp/saml/metadata --signer signer.pem --as planner.cred\n" +
			"  musubi rp metadata source jira --harmless --as planner.cred\n  musubi rp metadata source jira --remove --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			changes := slices.ContainsFunc([]string{"address", "signer", "network", "no-signer", "harmless", "remove"}, cmd.Flags().Changed)
			if f.remove && (f.address != "" || len(f.signers) > 0 || f.harmless) {
				return boot.Usage(errors.New("--remove ends the fetching: give nothing else with it"))
			}
			if f.noSigner && len(f.signers) > 0 {
				return boot.Usage(errors.New("give --signer or --no-signer"))
			}
			signers, err := readSigners(f.signers)
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				action := policies.ActionPartyRead
				if changes {
					action = policies.ActionPartyWrite
				}
				_, actor, err := e.workspace(ctx, h, action)
				if err != nil {
					return err
				}
				o, err := publishedOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				if changes {
					if o, err = e.setSource(ctx, h, actor, o, f.over(o.Status.Source, signers, cmd.Flags().Changed), f.dryRun); err != nil {
						return err
					}
				}
				v := viewMetadata(o, h.Now().UnixMicro())
				if e.json {
					return e.printJSON("musubi.rp-metadata.v1", v)
				}
				if f.dryRun && changes {
					say(e.stdout, "試行: 何も変えていません / dry run: nothing was changed")
				}
				e.tellSource(v)
				if changes && !f.dryRun && v.Address != "" {
					say(e.stdout, "稼働中のハブが 15 分以内に読みます。今読むには / a serving hub reads it within 15 minutes; to read it now: musubi rp metadata fetch %s", v.ID)
				}
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.address, "address", "", "https address of the metadata")
	fl.StringArrayVar(&f.signers, "signer", nil, "certificate (PEM or DER file) of the key that signs the metadata; may be repeated")
	fl.BoolVar(&f.noSigner, "no-signer", false, "pin nobody: a person looks at every difference")
	fl.StringSliceVar(&f.networks, "network", nil, "the networks whose addresses it lists (default: all of the provider's)")
	fl.BoolVar(&f.harmless, "harmless", false, "take what is harmless and signed without a person (--harmless=false: don't)")
	fl.BoolVar(&f.remove, "remove", false, "end the fetching")
	fl.BoolVar(&f.dryRun, "dry-run", false, "check, and change nothing")
	return cmd
}

// over lays the flags that were given over a source.
func (f sourceFlags) over(s sp.Source, signers [][]byte, given func(string) bool) sp.Source {
	if f.remove {
		return sp.Source{}
	}
	if given("address") {
		s.Address = f.address
	}
	if given("signer") || f.noSigner {
		s.Signers = signers
	}
	if given("harmless") {
		s.Harmless = f.harmless
	}
	if given("network") {
		s.Networks = nil
		for _, n := range f.networks {
			s.Networks = append(s.Networks, policies.Network(n))
		}
	}
	return s
}

func (e *env) setSource(ctx context.Context, h *boot.Hub, by access.Actor, o sp.Overview, s sp.Source, dry bool) (sp.Overview, error) {
	if err := s.Check(o.SP); err != nil {
		return o, boot.Usage(err)
	}
	if dry {
		o.Status.Source = s
		return o, nil
	}
	if err := h.Metadata.Set(ctx, by, o.SP.ID, s, h.Now().UnixMicro()); err != nil {
		return o, err
	}
	return h.Metadata.Of(ctx, o.SP.ID)
}

// readSigners reads certificates, PEM or DER.
func readSigners(files []string) (ders [][]byte, err error) {
	for _, file := range files {
		text, err := config.ReadPublic(file)
		if err != nil {
			return nil, boot.Usage(fmt.Errorf("--signer: %w", err))
		}
		found := 0
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				return nil, boot.Usage(fmt.Errorf("--signer %s: it holds %s; only certificates belong there", file, oneLine(block.Type, 40)))
			}
			ders = append(ders, block.Bytes)
			found++
		}
		if found > 0 {
			continue
		}
		if _, err := x509.ParseCertificate(text); err != nil {
			return nil, boot.Usage(fmt.Errorf("--signer %s: neither PEM nor DER of a certificate", file))
		}
		ders = append(ders, text)
	}
	return ders, nil
}

// fetchedView is what came of one document, in --json answers.
type fetchedView struct {
	ID       policies.RelyingPartyID `json:"id"`
	Outcome  sp.Outcome              `json:"outcome"`
	Why      string                  `json:"why,omitempty"`
	Error    string                  `json:"error,omitempty"`
	Proposal *proposalView           `json:"proposal,omitempty"`
}

// fetchFlags are the flags of rp metadata fetch and diff.
type fetchFlags struct {
	all, dryRun bool
	file        string
}

func newMetadataFetch(e *env) *cobra.Command {
	var f fetchFlags
	cmd := &cobra.Command{
		Use: "fetch ID... | --all | ID --file FILE", Short: "今すぐ読み直す / read metadata anew, now",
		Long: `取得元から (--file ならファイルから、- は標準入力) 読み、登録との違いを、確認を待つものとして残します。違いは、受け入れるまで効きません。
--dry-run は、違いを示すだけで、何も残しません。終了コード: 0 読めた、3 署名や内容が受け入れられない、4 一部だけ、5 相手に届かない。
Reads the document from its address (with --file from a file; - is standard input), and keeps the differences for a person to look at. They don't count
until they are accepted. --dry-run shows them and keeps nothing. Exit codes: 0 read, 3 the signature or the content isn't taken, 4 some weren't, 5 the
other side can't be reached.`,
		Example: "  musubi rp metadata fetch jira --as planner.cred\n  musubi rp metadata fetch --all --as planner.cred\n" +
			"  musubi rp metadata fetch jira --file jira.xml --dry-run --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.all == (len(args) > 0):
				return boot.Usage(errors.New("give the providers' ids, or --all"))
			case f.file != "" && len(args) != 1:
				return boot.Usage(errors.New("--file is one provider's: give its id"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.fetchMetadataOf(ctx, h, args, f) })
		},
	}
	cmd.Flags().BoolVar(&f.all, "all", false, "every provider that has an address")
	cmd.Flags().StringVar(&f.file, "file", "", "read this file instead of the address; - for standard input")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the differences, and keep nothing")
	return cmd
}

func newMetadataDiff(e *env) *cobra.Command {
	f := fetchFlags{dryRun: true}
	cmd := &cobra.Command{
		Use: "diff ID [--file FILE]", Short: "登録との違いを見る / how a document differs from the registration", Args: cobra.ExactArgs(1),
		Long: `今の文書 (--file ならファイル) と登録との違いを示します。何も残さず、何も変えません。確認を待つ違いは show で見ます。
Shows how the document that is published now, or a file, differs from the registration. It keeps and changes nothing. What waits is shown by show.`,
		Example: "  musubi rp metadata diff jira --as planner.cred\n  musubi rp metadata diff jira --file new.xml --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.fetchMetadataOf(ctx, h, args, f) })
		},
	}
	cmd.Flags().StringVar(&f.file, "file", "", "compare this file instead; - for standard input")
	return cmd
}

// fetchMetadataOf reads the providers' documents, one after the other, and tells of each as soon as it is there.
func (e *env) fetchMetadataOf(ctx context.Context, h *boot.Hub, ids []string, f fetchFlags) error {
	action := policies.ActionPartyWrite
	if f.dryRun {
		action = policies.ActionPartyRead
	}
	_, actor, err := e.workspace(ctx, h, action)
	if err != nil {
		return err
	}
	if f.all {
		all, err := h.Metadata.All(ctx)
		if err != nil {
			return err
		}
		for _, o := range all {
			if o.Status.Source.Address != "" {
				ids = append(ids, string(o.SP.ID))
			}
		}
	}
	way, err := h.RefreshMetadata()
	if err != nil {
		return err
	}
	doc := struct {
		Fetched []fetchedView `json:"fetched"`
		DryRun  bool          `json:"dry_run"`
	}{[]fetchedView{}, f.dryRun}
	var failed []error
	for i, id := range ids {
		if f.all && len(ids) > 1 {
			say(e.stderr, "%d/%d %s", i+1, len(ids), id)
		}
		v, err := e.fetchOne(ctx, h, way, actor, id, f)
		if err != nil {
			return err
		}
		doc.Fetched = append(doc.Fetched, v)
		if v.Outcome == sp.OutcomeFailed {
			failed = append(failed, metadataFailure(v))
		}
		if !e.json {
			e.tellFetched(v, f.dryRun)
		}
	}
	switch {
	case e.json:
		if err := e.printJSON("musubi.rp-metadata-fetch.v1", doc); err != nil {
			return err
		}
	case len(ids) == 0:
		say(e.stdout, "取得元のあるログイン先がありません。 / No provider has an address of metadata: musubi rp metadata source ID --address URL")
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(failed) == len(ids):
		return failed[0]
	}
	return boot.Partial(fmt.Errorf("%d of %d weren't taken; the first: %w", len(failed), len(ids), failed[0]))
}

// metadataFailure is the error of a document that wasn't taken: of the other side, or refused.
func metadataFailure(v fetchedView) error {
	err := fmt.Errorf("%s: %s (%s)", v.ID, untakenText(v.Why, v.Error), v.Why)
	if slices.Contains([]string{"unreachable", "timeout", "status", "redirect"}, v.Why) {
		return boot.Outside(err)
	}
	return boot.Refused(err)
}

func (e *env) fetchOne(ctx context.Context, h *boot.Hub, way metadata.Refresher, by access.Actor, id string, f fetchFlags) (fetchedView, error) {
	o, err := publishedOf(ctx, h, id)
	if err != nil {
		return fetchedView{}, err
	}
	var out sp.Result
	switch {
	case f.file != "":
		out, err = readMetadataFile(ctx, h, by, o, f)
	case o.Status.Source.Address == "":
		return fetchedView{}, boot.Refused(fmt.Errorf("%s: 取得元がありません。--file でファイルを読むか、アドレスを決めてください / it has no address of metadata: give --file, or `musubi rp metadata source %[1]s --address URL`", id))
	case f.dryRun:
		out, err = lookAt(ctx, h, way, o)
	default:
		out, err = way.Refresh(ctx, by, o.SP.ID, true)
	}
	if err != nil {
		return fetchedView{}, err
	}
	v := fetchedView{ID: o.SP.ID, Outcome: out.Outcome, Why: out.Why, Error: out.Error}
	if out.Proposal != nil {
		v.Proposal = viewProposal(*out.Proposal, false)
	}
	return v, nil
}

// lookAt reads the document of the address and keeps nothing.
func lookAt(ctx context.Context, h *boot.Hub, way metadata.Refresher, o sp.Overview) (sp.Result, error) {
	r, err := way.Look(ctx, o.SP.ID)
	if err != nil {
		return untaken(ctx, err)
	}
	return h.Metadata.Dry(ctx, o.SP.ID, r)
}

// untaken makes a result of a document that isn't there or isn't taken.
func untaken(ctx context.Context, err error) (sp.Result, error) {
	if ctx.Err() != nil {
		return sp.Result{}, ctx.Err()
	}
	var f *metadata.Fault
	if errors.As(err, &f) {
		return sp.Result{Outcome: sp.OutcomeFailed, Why: f.Why, Error: f.Text}, nil
	}
	return sp.Result{Outcome: sp.OutcomeFailed, Why: metadata.Reason(err), Error: err.Error()}, nil
}

func readMetadataFile(ctx context.Context, h *boot.Hub, by access.Actor, o sp.Overview, f fetchFlags) (sp.Result, error) {
	in := io.Reader(os.Stdin)
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return sp.Result{}, boot.Usage(fmt.Errorf("--file: %w", err))
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, int64(wire.MetadataLimits.Bytes)+1))
	if err != nil {
		return sp.Result{}, boot.Usage(fmt.Errorf("--file: %w", err))
	}
	at := h.Now().UnixMicro()
	r, err := sp.Read(data, "file", at, o.Status.Source)
	if err != nil {
		return untaken(ctx, err)
	}
	if f.dryRun {
		return h.Metadata.Dry(ctx, o.SP.ID, r)
	}
	return h.Metadata.Take(ctx, by, o.SP.ID, r, sp.Validators{}, at)
}

var outcomeNames = map[sp.Outcome]string{
	sp.OutcomeSame: "登録のとおりです / it is as registered", sp.OutcomePending: "違いがあります。確認を待ちます / it differs, and waits for a person",
	sp.OutcomeAccepted: "無害で署名された違いを取り入れました / what is harmless and signed was taken",
	sp.OutcomeRejected: "前に断ったものと同じです / it was rejected before", sp.OutcomeFailed: "読めませんでした。受け入れた内容はそのままです / it wasn't taken; what was accepted stays",
}

func (e *env) tellFetched(v fetchedView, dry bool) {
	name := outcomeNames[v.Outcome]
	switch {
	case dry && v.Outcome == sp.OutcomePending:
		name = "違いがあります。受け入れには人の確認が要ります / it differs; a person would have to accept it"
	case dry && v.Outcome == sp.OutcomeAccepted:
		name = "違いがあります。無害で署名されているので、自動で取り入れます / it differs; harmless and signed, it would be taken by itself"
	}
	say(e.stdout, "%s: %s", v.ID, name)
	if v.Why != "" {
		say(e.stdout, "  %s: %s", v.Why, untakenText(v.Why, v.Error))
	}
	if v.Proposal != nil {
		e.tellProposal(v.ID, *v.Proposal)
	}
	if dry {
		say(e.stdout, "試行: 何も残していません / dry run: nothing was kept")
	}
}

func newMetadataAccept(e *env) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "accept ID HASH", Short: "違いを受け入れ、登録に反映する / let differences count", Args: cobra.ExactArgs(2),
		Long: `show で見た違いを登録に反映します。HASH は、見た内容のハッシュ (先頭 12 文字以上) です。見たあとで文書や登録が変わっていれば、断ります (終了コード 3)。
相手から別の経路で確かめてから受け入れてください。だれが受け入れたかは、監査記録に残ります。名簿の人だけが受け入れられます (--as)。
Lets what show has shown count. HASH is the hash of what you saw, its first 12 characters or more. Where the document or the registration has changed
since, it is refused (exit code 3). Make sure of it with the provider another way first. Who accepted it is audited; a person of the directory has to (--as).`,
		Example: "  musubi rp metadata show jira --as planner.cred\n  musubi rp metadata accept jira 5f2c0a9b31de --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.decideMetadata(cmd.Context(), args[0], func(ctx context.Context, h *boot.Hub, by access.Actor, o sp.Overview) (sp.Proposal, string, error) {
				if dry {
					p, err := h.Metadata.Decidable(ctx, by, o.SP.ID, args[1], h.Now().UnixMicro())
					return p, "試行: 受け入れられます。何も変えていません / dry run: it can be accepted; nothing was changed", err
				}
				p, err := h.Metadata.Accept(ctx, by, o.SP.ID, args[1], h.Now().UnixMicro())
				return p, "受け入れ、登録に反映しました / accepted; the registration is changed", err
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say whether it could be accepted, and change nothing")
	return cmd
}

func newMetadataReject(e *env) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "reject ID HASH --why TEXT", Short: "違いを断る / keep differences from counting", Args: cobra.ExactArgs(2),
		Long: `show で見た違いを断ります。同じ内容は、登録が変わらないかぎり、もう確認を求めません。理由は監査記録に残ります。
Rejects what show has shown. The same isn't proposed again as long as the registration is what it is. The reason is audited.`,
		Example: "  musubi rp metadata reject jira 5f2c0a9b31de --why 相手は知らないと言っている --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkWhy(why); err != nil {
				return err
			}
			return e.decideMetadata(cmd.Context(), args[0], func(ctx context.Context, h *boot.Hub, by access.Actor, o sp.Overview) (sp.Proposal, string, error) {
				p, err := h.Metadata.Reject(ctx, by, o.SP.ID, args[1], why, h.Now().UnixMicro())
				return p, "断りました。登録はそのままです / rejected; the registration stays as it is", err
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept in the audit log; without personal data")
	return cmd
}

func (e *env) decideMetadata(ctx context.Context, id string, decide func(ctx context.Context, h *boot.Hub, by access.Actor, o sp.Overview) (sp.Proposal, string, error)) error {
	return e.withHub(ctx, false, func(ctx context.Context, h *boot.Hub) error {
		_, actor, err := e.workspace(ctx, h, policies.ActionPartyWrite)
		if err != nil {
			return err
		}
		o, err := publishedOf(ctx, h, id)
		if err != nil {
			return err
		}
		p, text, err := decide(ctx, h, actor, o)
		for _, refused := range []error{sp.ErrSwapped, sp.ErrStale, sp.ErrExpired} {
			if errors.Is(err, refused) {
				return boot.Refused(err)
			}
		}
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON("musubi.rp-metadata-decision.v1", struct {
				ID       policies.RelyingPartyID `json:"id"`
				Proposal *proposalView           `json:"proposal"`
			}{o.SP.ID, viewProposal(p, false)})
		}
		say(e.stdout, "%s: %s", o.SP.ID, text)
		e.tellChanges(viewProposal(p, false).Changes)
		return nil
	})
}
