package engine

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/ledger"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/link/kv"
	"github.com/seed3322913c/runner/guagua/link/stream"
	"github.com/seed3322913c/runner/guagua/role"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// Body is the half of the engine that runs in executors.
type Body struct {
	programs []guagua.Program
	store    store.Store
	coord    coord.Coordinator
	resolve  store.Resolve
	host     string
}

var _ scheduler.Body = (*Body)(nil)

// BodyOptions may all be left zero.
type BodyOptions struct {
	Host string // the address that masters on this machine are reached at; 127.0.0.1
}

// NewBody returns the body of executors. st is the system's own store, co the place where masters are published.
func NewBody(st store.Store, co coord.Coordinator, with Surroundings, o BodyOptions) *Body {
	return &Body{programs: with.Programs, store: st, coord: co, resolve: with.Resolve, host: o.Host}
}

// Run implements scheduler.Body.
func (b *Body) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	const op = "guagua.Run"
	var p payload
	if err := json.Unmarshal(a.Payload, &p); err != nil {
		return nil, errs.E(op, errs.Internal, a.ID, err)
	}
	job, err := b.job(a, p, r)
	if err != nil {
		return nil, err
	}
	switch a.ID.Task.Stage {
	case MasterStage:
		return b.master(ctx, a, job)
	case WorkerStage:
		if p.Split == nil {
			return nil, errs.Errorf(op, errs.Internal, a.ID, "a worker without a split")
		}
		return b.worker(ctx, a, job, *p.Split)
	}
	return nil, errs.Errorf(op, errs.Internal, a.ID, "no such stage")
}

func (b *Body) master(ctx context.Context, a scheduler.Attempt, job role.Job) ([]byte, error) {
	book, err := ledger.Open(ctx, b.store, folder(a.Job.ID), journal.Options{Writer: a.ID.String()})
	if err != nil {
		return nil, err
	}
	summary, err := role.RunMaster(ctx, job, book, a.ID.N)
	if err != nil {
		return nil, err
	}
	return encode(a.ID, summary)
}

// workerResult is what a worker's attempt leaves.
type workerResult struct {
	Bytes int64 `json:"bytes"` // lengths of the pieces that it loaded
}

func (b *Body) worker(ctx context.Context, a scheduler.Attempt, job role.Job, in guagua.Split) ([]byte, error) {
	if err := role.RunWorker(ctx, job, superstep.Member{Index: a.ID.Task.Index, Attempt: a.ID.N}, in); err != nil {
		return nil, err
	}
	var r workerResult
	for _, p := range in.Pieces {
		r.Bytes += p.Length
	}
	return encode(a.ID, r)
}

func encode(id scheduler.AttemptID, result any) ([]byte, error) {
	data, err := json.Marshal(result)
	if err != nil {
		return nil, errs.E("guagua.Run", errs.Internal, id, err)
	}
	return data, nil
}

// job makes of an attempt what package role works with.
func (b *Body) job(a scheduler.Attempt, p payload, r scheduler.Reporter) (role.Job, error) {
	program, err := find(b.programs, p.Program)
	if err != nil {
		return role.Job{}, err
	}
	transport, err := b.transport(p.Coordinator, a.Job.ID, p.Workers)
	if err != nil {
		return role.Job{}, err
	}
	job := role.Job{
		ID: string(a.Job.ID), Program: program, Config: p.Config, Secret: a.Secret, Transport: transport, Coord: b.coord,
		Group: p.Group, Memory: a.Memory / 2, Largest: role.DefaultLargest, Scratch: a.Scratch, News: news{r},
		Env: guagua.Env{
			Params: p.Params, Workers: p.Workers, Iterations: p.Iterations, Total: p.Config.Total, Threads: p.Threads,
			Memory: a.Memory / 2, Scratch: a.Scratch, Open: b.open, Logf: r.Logf,
			Count: r.Count,
		},
	}
	out := folder(a.Job.ID).Join("out")
	job.Env.Create = func(ctx context.Context, name string) (store.Writer, error) {
		if strings.ContainsRune(name, '/') {
			return nil, errs.Errorf("guagua.Create", errs.Invalid, name, "files of the output have plain names")
		}
		return b.store.Create(ctx, out.Join(name))
	}
	job.Interceptors = []guagua.Interceptor{guagua.Metrics(r.Count), guagua.Memory(job.News.(news).memory())}
	if p.Trace {
		job.Interceptors = append(job.Interceptors, guagua.Trace())
	}
	return job, nil
}

// pollEvery is how often a synchronous coordinator asks whether anything has changed.
const pollEvery = 20 * time.Millisecond

// transport returns how masters and workers of a job talk.
func (b *Body) transport(coordinator string, job scheduler.JobID, workers int) (link.Transport, error) {
	switch coordinator {
	case Stream:
		return stream.New(stream.Options{Host: b.host}), nil
	case ConsulSync:
		return kv.New(b.coord, kv.Options{Job: string(job), Workers: workers, Poll: pollEvery}), nil
	case ConsulAsync:
		return kv.New(b.coord, kv.Options{Job: string(job), Workers: workers}), nil
	}
	return nil, errs.Errorf("guagua.Run", errs.Unsupported, job, "coordinator %q", coordinator)
}

// open opens a file of the input, or one that a parameter names: an absolute URI, or an absolute path of this machine.
func (b *Body) open(ctx context.Context, uri string, r store.Range) (io.ReadCloser, error) {
	const op = "guagua.Open"
	if strings.HasPrefix(uri, "/") {
		uri = "file://" + uri
	}
	if !strings.Contains(uri, "://") {
		return nil, errs.Errorf(op, errs.Invalid, uri, "this is no absolute path and no URI")
	}
	st, name, err := b.resolve(ctx, uri)
	if err != nil {
		return nil, errs.E(op, errs.Other, uri, err)
	}
	return st.Open(ctx, name, r)
}

// news passes what a role has to tell on to the attempt's reporter.
type news struct{ scheduler.Reporter }

// memory counts the most memory that the process has had, in bytes: a counter can only grow.
func (n news) memory() guagua.Gauge {
	var mu sync.Mutex
	var most int64
	return func(s *guagua.Step, name string, value float64) {
		mu.Lock()
		defer mu.Unlock()
		if v := int64(value); name == "memory" && v > most {
			n.Count("Guagua", strings.ToUpper(s.Env.Kind())+"_PEAK_BYTES", v-most)
			most = v
		}
	}
}
