// Command realguardio is the whole product in one binary: all parts in one process for development, one part a process in
// production, and the operator's commands. `realguardio --help` is its manual.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Main(ctx, cli.World{Args: os.Args, Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}
