package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed3322913c/runner/runner/progress"
)

// What several verbs have in common.
const tellGroup = "What is told"

func addJSON(flags *pflag.FlagSet, to *bool) {
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(to, "json", false, "answer in JSON, with names that stay")
	})
}

// watchOptions say how a job is watched.
type watchOptions struct {
	json  bool
	quiet bool
	named bool // answers name their jobs, of which there are several
}

func (o *watchOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "one line of JSON for each event, the last one the result")
		f.BoolVar(&o.quiet, "quiet", false, "nothing but the answer")
	})
}

// screen returns how to show jobs: events go to standard output, everything else to standard error. That nobody reads
// there any more (`| head`) does not end the program from now on, as it would end one that only shows things: a job
// depends on no reader.
func (p *program) screen(o watchOptions) *progress.Screen {
	needNoReader()
	switch {
	case o.json:
		return progress.New(progress.JSON, p.out, progress.Options{})
	case o.quiet:
		return progress.New(progress.Quiet, p.err, progress.Options{})
	}
	screen, ok := p.err.(*os.File)
	if !ok || !term.IsTerminal(int(screen.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return progress.New(progress.Lines, p.err, progress.Options{})
	}
	size := func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(screen.Fd()))
		if err != nil || columns <= 0 || rows <= 0 {
			return 80, 24 // a terminal that does not know
		}
		return columns, rows
	}
	return progress.New(progress.Bars, p.err, progress.Options{Size: size})
}

// needNoReader lets the program go on when nobody reads any more what it says (`| head`): that would end it, as it should
// end one that only shows things. Programs that it starts know nothing of it.
func needNoReader() {
	// Writes fail instead. (Ignored, the signal would be so in the programs that this one starts, too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}

// unread passes over that nobody reads an answer: what has become of a job, or of a fleet, is the same.
func unread(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// writeJSON writes one document on one line.
func writeJSON(out io.Writer, document any) error { return json.NewEncoder(out).Encode(document) }
