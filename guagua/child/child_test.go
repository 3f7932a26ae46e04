package child_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/linear"
	"github.com/seed3322913c/runner/guagua/algo/sum"
	"github.com/seed3322913c/runner/guagua/child"
	"github.com/seed3322913c/runner/guagua/guaguatest"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// This binary is the children of its tests, too.
func TestMain(m *testing.M) {
	if os.Getenv(wire.EnvVar) != "" {
		child.Main(sum.Program(), linear.Regression(), listProgram(), bigProgram(false), bigProgram(true), troubled())
	}
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil { // or each child takes a second to end
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// remote returns the programs of this binary, as another process has them.
func remote(t *testing.T, name string) guagua.Program {
	t.Helper()
	all, err := child.Programs(t.Context(), os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p guagua.Program) bool { return p.Name() == name })
	if i < 0 {
		t.Fatalf("no %s among %d programs", name, len(all))
	}
	return all[i]
}

// listProgram gives the master every single result: a text, of which it makes a list.
func listProgram() guagua.Program {
	return guagua.App[string, string]{
		Title: "list", Result: text{}, Part: text{},
		Master: func(context.Context, *guagua.Env) (guagua.Master[string, string], error) { return &lister{}, nil },
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[string, string], error) {
			return &teller{env}, nil
		},
		Interceptors: func(env *guagua.Env) []guagua.Interceptor { return []guagua.Interceptor{witness{env: env}} },
	}.Program()
}

// bigProgram has results that come in several batches, and a master that looks at them twice; what it combines tells in
// which shape.
func bigProgram(combines bool) guagua.Program {
	app := guagua.App[string, string]{
		Title: "big-list", Result: text{}, Part: text{},
		Master: func(context.Context, *guagua.Env) (guagua.Master[string, string], error) { return sampler{}, nil },
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[string, string], error) {
			return &shouter{env}, nil
		},
	}
	if combines {
		app.Title, app.Combine = "big-pairs", guagua.Combine(func(a, b string) string { return "(" + a + b + ")" })
	}
	return app.Program()
}

type shouter struct{ env *guagua.Env }

func (w *shouter) Load(context.Context, guagua.Split) error { return nil }

func (w *shouter) Compute(_ context.Context, s *guagua.Step, _ string) (string, error) {
	return strings.Repeat(fmt.Sprint(w.env.Worker, " "), 200_000+s.Iteration), nil
}

type sampler struct{}

func (sampler) Compute(_ context.Context, _ *guagua.Step, last string, results iter.Seq[string]) (string, error) {
	for range 2 {
		for v := range results {
			last += fmt.Sprint(len(v), " ", crc32.ChecksumIEEE([]byte(v)), ";")
		}
		for range results {
			break // in the middle
		}
	}
	return last, nil
}

func (sampler) Finish(ctx context.Context, last string, out guagua.Output) error {
	return (&lister{}).Finish(ctx, last, out)
}

type text struct{}

func (text) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (text) Decode(data []byte) (string, error)          { return string(data), nil }

// lister keeps how often it was asked, which only a snapshot saves.
type lister struct{ asked byte }

func (l *lister) Compute(_ context.Context, s *guagua.Step, last string, results iter.Seq[string]) (string, error) {
	l.asked++
	if s.Iteration == 5 {
		s.Halt()
	}
	return fmt.Sprint(last, "|", l.asked, ":", strings.Join(slices.Collect(results), ",")), nil
}

func (l *lister) Snapshot() ([]byte, error)          { return []byte{l.asked}, nil }
func (l *lister) Restore(state []byte) error         { l.asked = state[0]; return nil }
func (l *lister) Close(context.Context, error) error { return nil }

func (l *lister) Finish(ctx context.Context, last string, out guagua.Output) error {
	w, err := out(ctx, "list.txt")
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := w.Write([]byte(last)); err != nil {
		return err
	}
	return w.Commit(ctx)
}

type teller struct{ env *guagua.Env }

func (w *teller) Load(context.Context, guagua.Split) error { return nil }

func (w *teller) Compute(_ context.Context, _ *guagua.Step, master string) (string, error) {
	return fmt.Sprint(w.env.Worker, "-", len(master)), nil
}

// witness writes to the log what it sees.
type witness struct {
	guagua.Hooks
	env *guagua.Env
}

func (w witness) PreApplication(context.Context, *guagua.Env) error {
	fmt.Println("printed by", w.env.Role()) // standard output is not for the conversation only
	return nil
}

func (w witness) PostApplication(_ context.Context, env *guagua.Env, outcome error) error {
	env.Logf("%s ends: %v", env.Role(), outcome)
	return nil
}

// troubled does what the parameter says.
func troubled() guagua.Program {
	return guagua.App[float64, float64]{
		Title: "troubled", Result: guagua.Float64{}, Part: guagua.Float64{},
		Master: func(context.Context, *guagua.Env) (guagua.Master[float64, float64], error) { return idle{}, nil },
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[float64, float64], error) {
			return trouble{env}, nil
		},
		Check: func(p guagua.Params) error {
			if p["do"] == "" {
				return errs.Errorf("troubled", errs.Invalid, nil, "do is missing")
			}
			return nil
		},
	}.Program()
}

type idle struct{}

func (idle) Compute(context.Context, *guagua.Step, float64, iter.Seq[float64]) (float64, error) {
	return 0, nil
}

type trouble struct{ env *guagua.Env }

func (w trouble) Load(ctx context.Context, _ guagua.Split) error {
	switch w.env.Params["do"] {
	case "exit":
		fmt.Fprintln(os.Stderr, "these are my last words")
		os.Exit(7)
	case "panic":
		panic("at the disco")
	case "away":
		return errs.Errorf("load", errs.Unavailable, nil, "the store is away")
	case "open":
		_, err := w.env.Open(ctx, "nowhere", store.Range{})
		return err
	}
	return errs.Errorf("load", errs.Invalid, nil, "bad row")
}

func (w trouble) Compute(context.Context, *guagua.Step, float64) (float64, error) { return 0, nil }

// TestSameAsBuiltIn runs programs here and in processes, undisturbed and with deaths: everything is the same.
func TestSameAsBuiltIn(t *testing.T) {
	kill := func(worker, iteration int) guaguatest.Fault {
		return guaguatest.Fault{Worker: worker, Iteration: iteration, Kind: guaguatest.Kill}
	}
	rows := strings.Repeat("1,2,3\n0,1,1\n4,-2,0.25\n", 50)
	for name, c := range map[string]struct {
		local  guagua.Program
		params guagua.Params
	}{
		"sum":               {sum.Program(), nil},
		"linear-regression": {linear.Regression(), guagua.Params{"optimizer": "momentum", "learning-rate": "0.01"}},
		"list":              {listProgram(), nil},
		"big-list":          {bigProgram(false), nil},
		"big-pairs":         {bigProgram(true), nil},
	} {
		for _, faults := range [][]guaguatest.Fault{nil, {kill(guagua.MasterIndex, 4), kill(1, 3)}} {
			o := guaguatest.Options{
				Workers: 7, Iterations: 8, Params: c.params, Faults: faults, Files: map[string]string{"a.csv": rows, "b.csv": rows},
			}
			want, err := guaguatest.RunProgram(t.Context(), c.local, o)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			o.Logf = func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }
			got, err := guaguatest.RunProgram(t.Context(), remote(t, name), o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want.Files, got.Files); diff != "" || len(got.Files) == 0 {
				t.Errorf("%s with faults %v:\n%s", name, faults, diff)
			}
			if diff := cmp.Diff(want.Lines, got.Lines); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if name == "list" && (!strings.Contains(log.String(), "worker 2 ends: <nil>") ||
				!strings.Contains(log.String(), "printed by master")) {
				t.Errorf("log:\n%s", log.String())
			}
		}
	}
}

// TestTrouble: what goes wrong in a child is told with its kind and its words.
func TestTrouble(t *testing.T) {
	for do, want := range map[string]struct {
		kind errs.Kind
		text string
	}{
		"exit":  {errs.Failed, "these are my last words"},
		"panic": {errs.Failed, "at the disco"},
		"open":  {errs.NotFound, "nowhere"},
		"away":  {errs.Unavailable, "the store is away"},
		"fail":  {errs.Invalid, "bad row"},
		"":      {errs.Invalid, "do is missing"},
	} {
		o := guaguatest.Options{Iterations: 2, Params: guagua.Params{"do": do}, Files: map[string]string{"a": "1\n"}}
		_, err := guaguatest.RunProgram(t.Context(), remote(t, "troubled"), o)
		if !errors.Is(err, want.kind) || !strings.Contains(fmt.Sprint(err), want.text) {
			t.Errorf("%s: %v, want %v with %q", do, err, want.kind, want.text)
		}
	}
}

func TestNoProgram(t *testing.T) {
	if _, err := child.Programs(t.Context(), "/bin/true"); !errors.Is(err, errs.Invalid) {
		t.Error(err)
	}
}
