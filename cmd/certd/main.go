package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

// The exit codes of every command, the same as musubi's.
const (
	exitOK      = 0
	exitFault   = 1
	exitUsage   = 2
	exitRefused = 3
	exitPartial = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exitError is an error with its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// run does one command and gives its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "certd: %s\n", err)
	var marked *exitError
	if errors.As(err, &marked) {
		return marked.code
	}
	if errors.Is(err, context.Canceled) {
		return exitPartial
	}
	return exitFault
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "certd",
		Short: "証明書の検証 / decides about certificates",
		Long: `certd は、マイナンバーカードの証明書と一般の証明書を検証します。ネットワークには接続しません。
certd decides about My Number Card certificates and others after RFC 5280. It opens no network connection.

  certd verify --batch <cases.jsonl >verdicts.jsonl       one decision a line
  certd verify --batch --archive lists <cases.jsonl ...   and keep the lists that they rest on
  certd recheck --archive lists verdicts.jsonl            make the decisions again, years later
  certd profiles                                          the rules of each profile, to be changed in a file`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newVerify(), newRecheck(), newProfiles())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w\nTry `%s --help`", err, cmd.CommandPath())
	})
	wrongArguments(root)
	return root
}

// wrongArguments makes wrong arguments and unknown commands usage errors.
func wrongArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage("%w\nTry `%s --help`", err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrongArguments(sub)
	}
}
