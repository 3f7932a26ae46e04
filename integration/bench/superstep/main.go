// Command superstep measures iterations of the guagua engine as the yardstick of the same name measures the plainest
// star: every worker sends a vector, the master sends the sum back.
//
//	superstep [-processes N] [-reduce vectors|list] [-group N] [-rate BYTES] WORKERS FLOATS ITERATIONS
//
// Each worker is a process of its own, unless -processes says that fewer processes share them: a thousand workers on
// one machine are simulated by goroutines. With -reduce list the results can't be combined, so that the master keeps
// all of them, in memory or in a file. With -group so many neighbours send one result; with -rate every process has a
// network card of its own. Times are the master's, from result to result; the first tenth is for warming up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/ledger"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/link/stream"
	"github.com/seed3322913c/runner/guagua/role"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "superstep:", err)
		os.Exit(1)
	}
}

// task is what the command line says.
type task struct {
	workers, floats, iterations int
	processes                   int
	reduce                      string
	memory                      int64
	group                       int
	rate                        int64  // bytes a second, each way
	first, beyond               int    // the workers of this process, if it is not the master's
	coord                       string // a directory
}

func run(ctx context.Context) error {
	var t task
	flag.IntVar(&t.processes, "processes", 0, "processes of workers; 0: one for each worker")
	flag.StringVar(&t.reduce, "reduce", "vectors", "vectors: results are added up; list: the master keeps all of them")
	flag.Int64Var(&t.memory, "memory", role.DefaultMemory, "bytes of results that the master keeps in memory")
	flag.IntVar(&t.group, "group", 0, "neighbours among the workers that send one result")
	flag.Int64Var(&t.rate, "rate", 0, "bytes a second that each process may send, and receive; 0: any number")
	flag.IntVar(&t.first, "first", 0, "for processes of workers: the first worker")
	flag.IntVar(&t.beyond, "beyond", 0, "for processes of workers: the one after the last worker")
	flag.StringVar(&t.coord, "coord", "", "for processes of workers: the directory in which to find the master")
	flag.Parse()
	numbers := []*int{&t.workers, &t.floats, &t.iterations}
	if flag.NArg() != len(numbers) {
		return errors.New("usage: superstep [flags] WORKERS FLOATS ITERATIONS")
	}
	for i, n := range numbers {
		var err error
		if *n, err = strconv.Atoi(flag.Arg(i)); err != nil || *n < 1 {
			return fmt.Errorf("%q is no number above 0", flag.Arg(i))
		}
	}
	if t.coord != "" {
		return t.work(ctx)
	}
	return t.measure(ctx)
}

// job is what the master and the workers have in common.
func (t task) job() (role.Job, error) {
	c, err := dir.Open(t.coord)
	out := mem.New()
	total := t.iterations + 1 // in the first one the workers connect
	var network link.Transport = stream.New(stream.Options{})
	if t.rate > 0 {
		network = newNetwork(t.rate)
	}
	return role.Job{
		ID: "7k2f-superstep", Program: t.program(), Config: superstep.Defaults(t.workers, total), Secret: "s3cret",
		Transport: network, Coord: c, Group: t.group, Memory: t.memory, Largest: role.DefaultLargest, News: quiet{},
		Scratch: os.TempDir(),
		Env: guagua.Env{
			Workers: t.workers, Total: total, Iterations: total, Threads: 1, Logf: func(string, ...any) {},
			Create: func(ctx context.Context, name string) (store.Writer, error) { return out.Create(ctx, store.Name(name)) },
		},
	}, err
}

type quiet struct{}

func (quiet) Progress(int64)              {}
func (quiet) Count(string, string, int64) {}
func (quiet) Status(string)               {}

// work runs the workers of this process.
func (t task) work(ctx context.Context) error {
	job, err := t.job()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := t.first; i < t.beyond; i++ {
		g.Go(func() error { return role.RunWorker(ctx, job, superstep.Member{Index: i}, guagua.Split{Index: i}) })
	}
	return g.Wait()
}

// measure runs the master, and prints what it saw.
func (t task) measure(ctx context.Context) (err error) {
	if t.coord, err = os.MkdirTemp("", "superstep-"); err != nil {
		return err
	}
	defer os.RemoveAll(t.coord)
	processes := t.processes
	if processes == 0 {
		processes = t.workers
	}
	g, ctx := errgroup.WithContext(ctx)
	for k := range processes {
		argv := append([]string{"-reduce", t.reduce, "-group", strconv.Itoa(t.group), "-rate", fmt.Sprint(t.rate),
			"-coord", t.coord, "-first", strconv.Itoa(t.workers * k / processes),
			"-beyond", strconv.Itoa(t.workers * (k + 1) / processes)}, flag.Args()...)
		c := exec.CommandContext(ctx, os.Args[0], argv...)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			return err
		}
		g.Go(c.Wait)
	}
	g.Go(func() error { return t.master(ctx) })
	return g.Wait()
}

func (t task) master(ctx context.Context) error {
	job, err := t.job()
	if err != nil {
		return err
	}
	watch := &stopwatch{}
	job.Interceptors = []guagua.Interceptor{watch}
	book, err := ledger.Open(ctx, mem.New(), "guagua", journal.Options{})
	if err != nil {
		return err
	}
	s, err := role.RunMaster(ctx, job, book, 0)
	if err != nil {
		return err
	}
	if want := float64(t.workers*(t.workers+1)/2) * float64(t.iterations+1); s.Last != want {
		return fmt.Errorf("the sum is %g, want %g", s.Last, want)
	}
	slices.Sort(watch.laps)
	at := func(tenths int) float64 { return watch.laps[len(watch.laps)*tenths/10].Seconds() * 1000 }
	fmt.Printf("workers %d floats %d: p50 %.3f ms  p90 %.3f ms  peak %.1f MiB  pieces %.1f MiB\n",
		t.workers, t.floats, at(5), at(9), float64(peakMemory())/(1<<20), float64(s.PeakBytes)/(1<<20))
	return nil
}

// peakMemory returns the most bytes of memory that this process has had, 0 if the system does not say.
func peakMemory() (bytes int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "\nVmHWM:")
	if _, err := fmt.Sscanf(rest, "%d kB", &bytes); err != nil {
		return 0
	}
	return bytes << 10
}

// stopwatch times iterations on the master.
type stopwatch struct {
	guagua.Hooks
	last time.Time
	laps []time.Duration
}

func (s *stopwatch) PostIteration(_ context.Context, step *guagua.Step) error {
	now := time.Now()
	if step.Iteration > 1+(step.Env.Total-1)/10 {
		s.laps = append(s.laps, now.Sub(s.last))
	}
	s.last = now
	return nil
}

// program is one in which the master gives the sum of the workers' vectors back.
func (t task) program() guagua.Program {
	app := guagua.App[[]float64, []float64]{
		Title: "all-reduce", Result: guagua.Floats{}, Part: guagua.Floats{},
		Master: func(context.Context, *guagua.Env) (guagua.Master[[]float64, []float64], error) {
			return &master{sum: make([]float64, t.floats)}, nil
		},
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[[]float64, []float64], error) {
			return &worker{env.Worker, make([]float64, t.floats)}, nil
		},
	}
	if t.reduce == "vectors" {
		app.Combine = guagua.AddVectors()
	}
	return app.Program()
}

type master struct{ sum []float64 }

func (m *master) Compute(_ context.Context, s *guagua.Step, _ []float64, results iter.Seq[[]float64]) (
	sum []float64, err error) {
	n := 0
	for sum = range results {
		n++
	}
	if n > 1 { // a list
		clear(m.sum)
		for v := range results {
			for i := range m.sum {
				m.sum[i] += v[i]
			}
		}
		sum = m.sum
	}
	if s.Iteration == s.Env.Total {
		s.Record(guagua.Record{Iteration: s.Iteration, Values: map[string]float64{"loss": sum[len(sum)-1]}})
	}
	return sum, nil
}

type worker struct {
	index int
	v     []float64
}

func (w *worker) Load(context.Context, guagua.Split) error { return nil }

func (w *worker) Compute(context.Context, *guagua.Step, []float64) ([]float64, error) {
	for i := range w.v {
		w.v[i] += float64(w.index + 1)
	}
	return w.v, nil
}
