package role

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/ledger"
	"github.com/seed3322913c/runner/guagua/link/stream"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
)

// BenchmarkIteration measures one iteration with every worker in a process of its own, as the plainest master/worker
// program over TCP would do it: each worker sends a vector, the master sends the sum back. What counts are the metrics
// p50-ms and p90-ms; ns/op includes the start of the processes.
//
//	go test ./guagua/role -run '^$' -bench Iteration -benchtime 2000x
func BenchmarkIteration(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000, 1_000_000} {
		for _, workers := range []int{2, 4, 8, 16, 32, 128} {
			if size > 10 && workers != 4 && workers != 16 {
				continue
			}
			b.Run(fmt.Sprintf("floats=%d/workers=%d", size, workers), func(b *testing.B) { speed(b, size, workers) })
		}
	}
}

// place is what a worker's process is told.
type place struct {
	Dir                   string
	Index, Workers, Total int
	Size                  int
}

const placeVariable = "GUAGUA_SPEED_WORKER"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(placeVariable); ok {
		if err := speedWorker(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func speedWorker(text string) error {
	var p place
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	job, err := p.job()
	if err != nil {
		return err
	}
	return RunWorker(context.Background(), job, superstep.Member{Index: p.Index}, guagua.Split{Index: p.Index})
}

func (p place) job() (Job, error) {
	c, err := dir.Open(p.Dir)
	out := storemem.New()
	env := guagua.Env{Workers: p.Workers, Total: p.Total, Iterations: p.Total, Logf: func(string, ...any) {}}
	env.Create = func(ctx context.Context, name string) (store.Writer, error) { return out.Create(ctx, store.Name(name)) }
	return Job{
		ID: "7k2f-speed", Program: allReduce(p.Size), Config: superstep.Defaults(p.Workers, p.Total), Secret: "s3cret",
		Transport: stream.New(stream.Options{}), Coord: c, Memory: DefaultMemory, Largest: DefaultLargest, News: quiet{},
		Env: env,
	}, err
}

type quiet struct{}

func (quiet) Progress(int64)              {}
func (quiet) Count(string, string, int64) {}
func (quiet) Status(string)               {}

func speed(b *testing.B, size, workers int) {
	p := place{Dir: b.TempDir(), Workers: workers, Total: b.N + 1, Size: size}
	job, err := p.job()
	if err != nil {
		b.Fatal(err)
	}
	for p.Index = range workers {
		text, err := json.Marshal(p)
		if err != nil {
			b.Fatal(err)
		}
		c := exec.Command(os.Args[0])
		c.Env, c.Stderr = append(os.Environ(), placeVariable+"="+string(text)), os.Stderr
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		defer c.Wait() //nolint:errcheck // its standard error says what went wrong
	}
	book, err := ledger.Open(b.Context(), storemem.New(), "guagua", journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	watch := &stopwatch{}
	job.Interceptors = []guagua.Interceptor{watch}
	s, err := RunMaster(b.Context(), job, book, 0)
	if err != nil {
		b.Fatal(err)
	}
	slices.Sort(watch.laps)
	b.ReportMetric(float64(watch.laps[len(watch.laps)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(watch.laps[len(watch.laps)*9/10].Microseconds())/1000, "p90-ms")
	if want := float64(workers*(workers+1)/2) * float64(p.Total); s.Last != want {
		b.Fatalf("the sum is %g, want %g", s.Last, want)
	}
}

// stopwatch times iterations on the master, without the first tenth, in which everybody connects and warms up.
type stopwatch struct {
	guagua.Hooks
	last time.Time
	laps []time.Duration
}

func (s *stopwatch) PostIteration(_ context.Context, step *guagua.Step) error {
	now := time.Now()
	if step.Iteration > 1+step.Env.Total/10 {
		s.laps = append(s.laps, now.Sub(s.last))
	}
	s.last = now
	return nil
}

// allReduce is a program in which the master gives the sum of the workers' vectors back.
func allReduce(size int) guagua.Program {
	return guagua.App[[]float64, []float64]{
		Title: "all-reduce", Result: guagua.Floats{}, Part: guagua.Floats{}, Combine: guagua.AddVectors(),
		Master: func(context.Context, *guagua.Env) (guagua.Master[[]float64, []float64], error) {
			return sumMaster{}, nil
		},
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[[]float64, []float64], error) {
			return &sumWorker{env.Worker, make([]float64, size)}, nil
		},
	}.Program()
}

type sumMaster struct{}

func (sumMaster) Compute(_ context.Context, s *guagua.Step, _ []float64, results iter.Seq[[]float64]) (
	sum []float64, err error) {
	for sum = range results {
	}
	if s.Iteration == s.Env.Total {
		s.Record(guagua.Record{Iteration: s.Iteration, Values: map[string]float64{"loss": sum[len(sum)-1]}})
	}
	return sum, nil
}

type sumWorker struct {
	index int
	v     []float64
}

func (w *sumWorker) Load(context.Context, guagua.Split) error { return nil }

func (w *sumWorker) Compute(context.Context, *guagua.Step, []float64) ([]float64, error) {
	for i := range w.v {
		w.v[i] += float64(w.index + 1)
	}
	return w.v, nil
}
