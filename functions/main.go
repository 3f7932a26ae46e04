package functions

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// Main is the main function of a binary with user functions, and does not return. `runner run ./binary` starts it:
// Runner asks it what it offers, and starts it again for each attempt at a task. Started by hand it prints how to use
// it.
func Main(fns ...Function) {
	mode := os.Getenv(wire.EnvVar)
	_ = os.Unsetenv(wire.EnvVar) // it is not for the programs that the user's code may start
	os.Exit(run(mode, fns))
}

// run does what mode asks for and returns the exit status.
func run(mode string, fns []Function) int {
	raws := make([]Raw, len(fns))
	for i, f := range fns {
		raws[i] = f.Raw()
	}
	pkg, err := describe(raws)
	switch {
	case err != nil:
	case mode == wire.EnvDescribe:
		err = json.NewEncoder(os.Stdout).Encode(pkg)
	case mode == wire.EnvServe:
		err = serveStandard(raws, serve)
	case mode == wire.EnvHandle:
		err = serveStandard(raws, answer)
	case mode == "":
		help(os.Stderr, os.Args[0], pkg)
		return 2
	default:
		err = errs.Errorf("functions.Main", errs.Unsupported, nil, "%s=%q is unknown to this program; build it anew",
			wire.EnvVar, mode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // nowhere else to tell
		return 1
	}
	return 0
}

// serveStandard is a conversation over standard input and output.
func serveStandard(fns []Raw, talk func(in io.Reader, out, log io.Writer, fns []Raw) error) error {
	in, out, err := TakeStandard()
	if err != nil {
		return errs.E("functions.Main", errs.Other, nil, err)
	}
	return talk(in, out, os.Stderr, fns)
}

// help says what the program is for.
func help(w io.Writer, program string, pkg Package) {
	var b strings.Builder
	if !strings.ContainsRune(program, filepath.Separator) {
		program = "./" + program
	}
	name := ""
	if len(pkg.Functions) > 1 {
		name = " --function NAME"
	}
	b.WriteString("This program has functions for Runner, which starts it:\n\n")
	fmt.Fprintf(&b, "  runner run %s%s --input FILES --output FOLDER\n\n", program, name)
	for _, f := range pkg.Functions {
		fmt.Fprintf(&b, "%-12s %s\n", f.Name, f.Doc)
		for _, p := range f.Params {
			fmt.Fprintf(&b, "  --set %s=...  %s", p.Name, p.Doc)
			switch {
			case p.Required:
				b.WriteString(" (required)")
			case p.Default != "":
				fmt.Fprintf(&b, " (default %s)", p.Default)
			}
			b.WriteByte('\n')
		}
	}
	io.WriteString(w, b.String()) // nobody to tell if the terminal is gone
}
