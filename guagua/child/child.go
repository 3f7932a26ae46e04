// Package child lets people's own programs be masters and workers. Their main function calls Main; the executor starts
// the binary once for each half that it runs there, and Programs makes of it what looks like a built-in program.
//
//	func main() { child.Main(app.Program()) }
//
// Parent and child call each other over the child's standard input and output; what the user's code prints goes to the
// log. Network, ledger and folding stay with the parent, so a crash of user code is a failed attempt and nothing else,
// and a program needs no drivers.
//
//	parent                                       child
//	describe, plan, whole ─────────────────────▶ App
//	new, load, compute, combine, snapshot, ... ▶ Master or Worker
//	input and output files ◀─ open, read, create, write, commit ── Env.Open, Env.Create
//
// A message is, in either direction:
//
//	| length 4B LE | header: JSON | length 8B LE | data |
//
// Any number of calls may be under way; the header has a call's number, and says whether it is a question or an answer.
//
// Worker results arrive at the parent, which keeps them, in memory or in a file. Vectors that are added
// (guagua.AddVectors) it adds itself; of results that are combined it gives two neighbours to the child as soon as they
// are there, while others arrive, and keeps what comes back. So the child never has more than a few, and when it
// computes, it gets the last one; results that can't be combined it gets batch by batch (parts.go).
package child

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/guagua"
)

// Main is the main function of a binary with programs of masters and workers, and does not return. `runner run
// ./binary` starts it. Started by hand it says so.
func Main(programs ...guagua.Program) {
	mode := os.Getenv(wire.EnvVar)
	_ = os.Unsetenv(wire.EnvVar) // it is not for the programs that the user's code may start
	os.Exit(run(mode, programs))
}

func run(mode string, programs []guagua.Program) int {
	var err error
	switch mode {
	case wire.EnvDescribe:
		var pkg functions.Package
		for _, p := range programs {
			pkg.Programs = append(pkg.Programs, functions.Program{Name: p.Name(), Reduction: uint8(p.Reduction())})
		}
		err = json.NewEncoder(os.Stdout).Encode(pkg)
	case wire.EnvServe:
		in, out, terr := functions.TakeStandard()
		if err = terr; err == nil {
			err = serve(context.Background(), in, out, programs)
		}
	default:
		fmt.Fprintf(os.Stderr, "This program is for runner: runner run %s --input DATA --output FOLDER\n", os.Args[0])
		for _, p := range programs {
			fmt.Fprintf(os.Stderr, "  --function %s\n", p.Name())
		}
		return 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // nowhere else to tell
		return 1
	}
	return 0
}
