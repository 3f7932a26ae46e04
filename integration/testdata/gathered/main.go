// Gathered adds up tables of numbers with a combiner of its own. In the middle of that, in one iteration and with the
// result of its last worker still to come, it dies if it is told to, or waits until it may go on.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/child"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

func main() { child.Main(gathered().Program()) }

// middle is the iteration in which things happen.
const middle = 3

// table is a worker's result, or several combined.
type table struct {
	Iteration int
	Victim    string // "child" or "executor"; "" for nobody
	Mark      string // the file that says that somebody has died
	Sums      map[string]float64
}

func gathered() guagua.App[table, table] {
	return guagua.App[table, table]{
		Title: "gathered", Result: guagua.JSON[table]{}, Part: guagua.JSON[table]{}, Combine: guagua.Combine(combine),
		Master: func(context.Context, *guagua.Env) (guagua.Master[table, table], error) { return master{}, nil },
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[table, table], error) {
			return worker{env}, nil
		},
		Check: func(p guagua.Params) error {
			r := p.Reader()
			r.OneOf("victim", "", "child", "executor")
			r.String("mark", "")
			r.String("gate", "") // a URI: the last worker waits until there is something
			return r.Err()
		},
	}
}

// combine has only one half of the results when it dies, since the last worker waits for that.
func combine(a, b table) table {
	if a.Victim != "" && a.Iteration == middle {
		if f, err := os.OpenFile(a.Mark, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			pid := os.Getpid()
			if a.Victim == "executor" {
				pid = os.Getppid()
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				panic(err)
			}
			select {} // the end comes
		}
	}
	for name, v := range b.Sums {
		a.Sums[name] += v
	}
	return a
}

type master struct{}

func (master) Compute(_ context.Context, _ *guagua.Step, last table, results iter.Seq[table]) (table, error) {
	next := table{Sums: maps.Clone(last.Sums)}
	if next.Sums == nil {
		next.Sums = map[string]float64{}
	}
	for r := range results {
		for name, v := range r.Sums {
			next.Sums[name] = next.Sums[name]/3 + v
		}
	}
	return next, nil
}

// Finish leaves sums.json behind.
func (master) Finish(ctx context.Context, last table, out guagua.Output) error {
	w, err := out(ctx, "sums.json")
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if err := json.NewEncoder(w).Encode(last.Sums); err != nil {
		return err
	}
	return w.Commit(ctx)
}

type worker struct{ env *guagua.Env }

func (worker) Load(context.Context, guagua.Split) error { return nil }

func (w worker) Compute(ctx context.Context, s *guagua.Step, master table) (table, error) {
	t := table{
		Iteration: s.Iteration, Victim: w.env.Params["victim"], Mark: w.env.Params["mark"], Sums: map[string]float64{},
	}
	if gate := cmp.Or(t.Mark, w.env.Params["gate"]); gate != "" && s.Iteration == middle &&
		w.env.Worker == w.env.Workers-1 {
		if err := w.appears(ctx, gate); err != nil {
			return t, err
		}
	}
	for i := range 100 {
		name := fmt.Sprint("n", i)
		t.Sums[name] = math.Sin(float64(i*w.env.Worker+s.Iteration)) + master.Sums[name]/7
	}
	return t, nil
}

// appears waits for a file, which can only be seen by looking again.
func (w worker) appears(ctx context.Context, uri string) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		f, err := w.env.Open(ctx, uri, store.Range{})
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, errs.NotFound) {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
