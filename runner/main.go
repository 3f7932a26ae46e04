// Runner runs batch jobs: on this machine without any set-up, or on machines rented for an hour.
//
// One binary is everything: what people type (one file for each verb), and the roles that the system starts itself (the
// application master, the executors). `runner help VERB` is the reference; docs/cli.md is generated from it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // schedules name time zones, also on machines that know none

	"github.com/seed3322913c/runner/runner/say"
)

func main() {
	// The first signal ends a verb's context; a second one ends the program at once, and the kernel its children. Those
	// that follow each other closely are one: timeout(1) sends it to its child, then to the group that the child is in.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(run(ctx, program{out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

// run is the whole program but for what belongs to the process, and returns its exit code.
func run(ctx context.Context, p program, args []string) int {
	root := newRoot(&p)
	root.SetArgs(asHadoop(spreadWords(args, "--input")))
	err := root.ExecuteContext(ctx)
	if text := sentenceFor(err); text != "" {
		fmt.Fprintln(p.err, "runner:", text)
	}
	return say.ExitCode(err)
}
