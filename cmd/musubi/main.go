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
	os.Exit(process(newEnv(os.Stdout, os.Stderr), os.Args[1:]))
}

// process runs one command as the whole process: Ctrl-C and SIGTERM end it in order.
func process(e *env, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, e, args)
}

// run does one command and gives its exit code.
func run(ctx context.Context, e *env, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return boot.ExitOK
	}
	if !errors.Is(err, errShown) {
		fmt.Fprintf(e.stderr, "musubi: %s\n", message(err))
	}
	return boot.ExitCode(err)
}

// errShown marks an error whose message the command has already shown.
var errShown = errors.New("shown")
