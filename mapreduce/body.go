package mapreduce

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// BodyOptions may all be left zero.
type BodyOptions struct {
	Shuffle shuffle.Options
	Store   store.Store // the system's own, where files of jobs are, and map output if it goes there
	Fetches int         // segments fetched at a time by one reducer; 8
	NoLocal bool        // fetch through the node's server also what lies on the disk of this very node

	// Host makes the mappers, instead of those that the job names, of map-only jobs whose maps put out no records: what
	// they do is the affair of the program that this engine is part of. See EngineOptions.Hosted.
	Host func() functions.Mapper
}

// Body is the half of the engine that runs in executors. It keeps memory and connections from one attempt to the next.
type Body struct {
	resolve store.Resolve
	opts    BodyOptions
	client  *shuffle.Client
	cpu     cpuMeter

	once sync.Once
	pool *arena.Pool // made for the first attempt

	onceFiles sync.Once
	files     *cache.Node // likewise
}

var _ scheduler.Body = (*Body)(nil)

// NewBody returns the body of the job whose executor this process is. Resolve finds its input.
func NewBody(resolve store.Resolve, o BodyOptions) *Body {
	if o.Fetches == 0 {
		o.Fetches = 8
	}
	if o.Shuffle.Conns == 0 {
		o.Shuffle.Conns = o.Fetches * runtime.GOMAXPROCS(0)
	}
	return &Body{resolve: resolve, opts: o, client: shuffle.NewClient(o.Shuffle)}
}

// Close gives memory and connections back. No attempt may be running.
func (b *Body) Close() {
	b.client.Close()
	if b.pool != nil {
		b.pool.Trim()
	}
}

// memory returns the pool that all attempts share. Together they get no more than is theirs, idle memory included.
func (b *Body) memory(a scheduler.Attempt) *arena.Pool {
	b.once.Do(func() {
		b.pool = arena.New(arena.Options{Limit: a.Memory * int64(max(a.Job.Resources.CPU, 1))})
	})
	return b.pool
}

// node returns where the job's files are on this machine: beside what its attempts leave there.
func (b *Body) node(a scheduler.Attempt) *cache.Node {
	b.onceFiles.Do(func() {
		dir := filepath.Join(filepath.Dir(a.Dir), cache.Folder)
		b.files = cache.NewNode(dir, b.opts.Store, b.resolve, cache.Options{})
	})
	return b.files
}

// Run implements scheduler.Body.
func (b *Body) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	const op = "mapreduce.Run"
	opts, err := optionsOf(a.Job)
	if err != nil {
		return nil, err
	}
	defer b.cpu.begin(func(millis int64) { r.Count(taskCounters, "CPU_MILLISECONDS", millis) })()
	if opts.Shuffle == StoreShuffle && b.opts.Store == nil {
		return nil, errs.Errorf(op, errs.Internal, a.ID, "there is no store for map output")
	}
	t := &task{Body: b, Attempt: a, r: r, opts: opts, pool: b.memory(a), memory: a.Memory}
	if opts.inChildren() {
		t.memory /= 2 // the rest is for the children
	}
	files, err := b.node(a).Files(ctx, a.Job)
	if err != nil {
		return nil, err
	}
	t.in = instance{
		id: a.ID, dir: a.Scratch, files: files, env: attemptEnv{r, a.ID, opts.Set, files},
	}
	var result any
	switch a.ID.Task.Stage {
	case mapStage:
		result, err = t.runMap(ctx)
	case reduceStage:
		result, err = t.runReduce(ctx)
	default:
		err = errs.Errorf(op, errs.Internal, a.ID, "there is no stage %q", a.ID.Task.Stage)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, errs.E(op, errs.Canceled, a.ID, context.Cause(ctx))
		}
		return nil, err
	}
	return encode(result)
}

// task is one attempt under way.
type task struct {
	*Body
	scheduler.Attempt
	r      scheduler.Reporter
	opts   Options
	in     instance
	pool   *arena.Pool
	memory int64 // bytes of it that this attempt may use
}

// fetcher gets map output to this machine.
type fetcher interface {
	Fetch(ctx context.Context, src shuffle.Source, into segment.ReceiveOptions) (*segment.Range, error)
}

// depot is where the job's map output goes; nil: it stays on its node.
func (t *task) depot() *shuffle.Depot {
	if t.opts.Shuffle != StoreShuffle {
		return nil
	}
	return shuffle.NewDepot(t.Body.opts.Store, t.Body.opts.Shuffle)
}

// fetcher returns what gets the job's map output.
func (t *task) fetcher() fetcher {
	if d := t.depot(); d != nil {
		return d
	}
	return t.client
}

func (t *task) roles() roles { return roles{t.Job, t.opts} }

// create starts this attempt's part of the output, in the form that the function asks for which puts it out.
func (t *task) create(ctx context.Context, kind string, function any) (*textOutput, error) {
	o := newTextOutput(function)
	return o, t.start(ctx, partName(kind, t.ID.Task.Index), t.opts.main(), o)
}

// start starts a file of the output.
func (t *task) start(ctx context.Context, name string, form NamedOutput, o *textOutput) error {
	out, err := commit.New(ctx, t.Job, t.resolve)
	if err != nil {
		return err
	}
	if form.Format != format.Text {
		var head []byte
		o.form, head, err = form.Format.NewAppender(format.Output{
			Name: string(t.Job.ID) + "/" + name, Compress: form.Compress, Int64s: o.int64s, Set: form.Set,
		})
		if err != nil {
			return err
		}
		o.buf = append(o.buf, head...)
	}
	z := form.Compress
	if form.Format.Compresses() {
		z = codec.None
	}
	part, err := out.Create(ctx, t.ID, name+form.Format.Ext()+z.Ext())
	if err == nil {
		o.part, err = compressed(part, z)
	}
	return err
}

// failed classifies what a function of the user's has returned.
func failed(op string, subject any, err error) error {
	var lost *scheduler.InputLost
	switch {
	case err == nil:
		return nil
	case errors.As(err, &lost):
		return err
	case errs.KindOf(err) == errs.Other:
		return errs.E(op, errs.Failed, subject, err)
	}
	return errs.E(op, errs.Other, subject, err)
}
