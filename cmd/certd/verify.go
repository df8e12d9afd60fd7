package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func newVerify() *cobra.Command {
	var (
		lines    bool
		profiles string
		keep     string
	)
	cmd := &cobra.Command{
		Use:   "verify --batch [FILE]",
		Short: "証明書を一括して検証する / decide about certificates, one JSON line each",
		Long: `JSON Lines を標準入力 (または FILE) から読み、1 行ごとに検証結果を標準出力へ書きます。読めない行があっても止まりません。
Reads JSON lines from standard input (or FILE) and writes one verdict a line. A line that can't be read gets a verdict too (code bad-input).

In, one object a line:
  {"id": anything, "time": "2026-04-01T00:00:00Z" (RFC 3339),
   "profile": "generic" | "jpki-auth" | "jpki-sign" | ... (default generic),
   "anchors": [PEM], "intermediates": [PEM], "leaf": PEM,
   "crls": [PEM or base64 DER], "ocsp": [base64 DER],
   "policies": [OID], "require_explicit_policy": bool, "inhibit_policy_mapping": bool, "inhibit_any_policy": bool,
   "revocation": "require" | "if-present" | "none" (default: the profile's),
   "ku": ["digitalSignature", ...], "eku": ["serverAuth" or OID, ...], "dns_name": "host"}
Out:
  {"id", "valid": bool, "code", "reason": "日本語 / English", "evidence"}

The evidence holds the certificate that was given: keep it as personal data. With --archive the lists are kept by their SHA-256, which
"certd recheck" needs. Codes are listed in docs/certificates.md.
Exit code: 0 all lines were decided, 4 some couldn't be read, 2 usage.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !lines {
				return usage("verify decides about JSON lines only: give --batch")
			}
			b := &batch{warn: cmd.ErrOrStderr()}
			var err error
			if b.profiles, err = loadProfiles(profiles); err != nil {
				return err
			}
			if keep != "" {
				b.archive = &archive{keep}
			}
			in, closeInput, err := open(cmd, args)
			if err != nil {
				return err
			}
			defer closeInput()
			n, err := b.do(cmd.Context(), in, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if n.bad > 0 {
				return &exitError{exitPartial, fmt.Errorf("%d valid, %d not valid, %d lines couldn't be read", n.valid, n.invalid, n.bad)}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&lines, "batch", false, "read JSON lines")
	f.StringVar(&profiles, "profiles", "", "file of profiles, as `certd profiles` prints it; replaces built-in ones of the same name")
	f.StringVar(&keep, "archive", "", "folder that keeps every list by its SHA-256")
	return cmd
}

// open gives the file that is named, or standard input.
func open(cmd *cobra.Command, args []string) (io.Reader, func(), error) {
	if len(args) == 0 || args[0] == "-" {
		return cmd.InOrStdin(), func() {}, nil
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, nil, usage("%w", err)
	}
	return f, func() { f.Close() }, nil
}
