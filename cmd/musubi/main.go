package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return boot.ExitOK
	}
	if !errors.Is(err, errShown) {
		fmt.Fprintf(stderr, "musubi: %v\n", err)
	}
	return boot.ExitCode(err)
}

// errShown marks an error whose message the command has already shown.
var errShown = errors.New("shown")
