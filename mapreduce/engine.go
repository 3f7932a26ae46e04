package mapreduce

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

// EngineOptions may all be left zero.
type EngineOptions struct {
	Slots int              // attempts that run at a time over all executors; 1
	Now   func() time.Time // time.Now
	// Near names the machines that have a split near, best first; nil: nobody knows.
	Near   func(split.Split) []string
	Hosted bool // mappers are those of BodyOptions.Host: what the job says about functions is not looked at
}

// Engine is the half of the engine that runs in the application master of one job.
//
// It keeps two objects, each written once, so that all application masters of the job, also those that do not know yet
// that they were replaced, go by the same:
//
//	jobs/<id>/splits     how the job is divided, and the splits of its maps
//	jobs/<id>/reduces    which partitions each reducer gets
type Engine struct {
	job     scheduler.Job
	opts    EngineOptions
	store   store.Store
	resolve store.Resolve

	plan   *plan         // nil: not read yet
	cut    *reducePlan   // nil: not read yet
	splits []split.Split // of plan
}

// plan is the head of jobs/<id>/splits.
type plan struct {
	Bytes   int64     `json:"bytes"` // of input
	Ends    []int     `json:"ends"`  // for each way to read, the number of the first map after those of it
	Shuffle shuffling `json:"shuffle"`
}

// reducePlan is the content of jobs/<id>/reduces.
type reducePlan struct {
	Spans  []span  `json:"spans"`
	Bytes  []int64 `json:"bytes"` // of records in each span, about
	Values string  `json:"values"`
	Merge  int     `json:"merge,omitempty"` // see mergedMaps
}

// maxReducePlan bounds jobs/<id>/reduces, in bytes.
const maxReducePlan = 16 << 20

var _ scheduler.Engine = (*Engine)(nil)

// NewEngine returns the engine of a job. St is the system's own store, where the job is; resolve finds the job's input.
func NewEngine(job scheduler.Job, st store.Store, resolve store.Resolve, o EngineOptions) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Engine{job: job, store: st, resolve: resolve, opts: o}
}

func (e *Engine) name(object string) store.Name {
	return store.Name("jobs").Join(string(e.job.ID)).Join(object)
}

// Plan implements scheduler.Engine.
func (e *Engine) Plan(ctx context.Context) (scheduler.Plan, error) {
	const op = "mapreduce.Plan"
	err := e.load(ctx)
	if errs.KindOf(err) == errs.NotFound {
		err = e.compile(ctx)
	}
	if err != nil {
		return scheduler.Plan{}, errs.E(op, errs.Other, nil, err)
	}
	opts, err := optionsOf(e.job)
	if err != nil {
		return scheduler.Plan{}, err
	}
	maps := scheduler.Stage{
		Name: mapStage, Tasks: make([]scheduler.Task, len(e.splits)),
		MayFail: opts.mayFail(len(e.splits)), Backup: opts.backups(),
	}
	for i, s := range e.splits {
		maps.Tasks[i].Weight = s.Bytes()
		if e.opts.Near != nil {
			maps.Tasks[i].Hosts = e.opts.Near(s)
		}
	}
	stages := []scheduler.Stage{maps}
	if e.plan.Shuffle.Partitions > 0 {
		stages = append(stages, scheduler.Stage{Name: reduceStage, Needs: []string{mapStage}, Backup: opts.backups()})
	}
	return scheduler.Plan{Stages: stages}, nil
}

// load reads what was planned before.
func (e *Engine) load(ctx context.Context) error {
	if e.plan != nil {
		return nil
	}
	head, splits, err := split.Read(ctx, e.store, e.name("splits"))
	if err != nil {
		return err
	}
	var p plan
	if err := json.Unmarshal(head, &p); err != nil {
		return errs.E("mapreduce.Plan", errs.Corrupt, e.name("splits"), err)
	}
	e.plan, e.splits = &p, splits
	return nil
}

// compile plans, and keeps it unless another application master was first.
func (e *Engine) compile(ctx context.Context) error {
	c, err := check(ctx, e.job, e.resolve, checkOptions{hosted: e.opts.Hosted})
	if err != nil {
		return err
	}
	p := plan{Bytes: c.bytes()}
	splits := make([]split.Split, c.opts.Maps)
	for _, way := range c.ways {
		more, err := e.split(ctx, way)
		if err != nil {
			return err
		}
		splits = append(splits, more...)
		p.Ends = append(p.Ends, len(splits))
	}
	if !c.opts.MapOnly() {
		if p.Shuffle, err = e.divide(ctx, c, p.Bytes); err != nil {
			return err
		}
	}
	head, err := encode(p)
	if err != nil {
		return err
	}
	err = split.Write(ctx, e.store, e.name("splits"), head, splits)
	if err != nil && errs.KindOf(err) != errs.Exist {
		return err
	}
	return e.load(ctx)
}

// divide decides how maps divide what they put out.
func (e *Engine) divide(ctx context.Context, c checked, bytes int64) (shuffling, error) {
	folds, err := e.folds(ctx, c.opts)
	if err != nil {
		return shuffling{}, err
	}
	s := shapeOf(e.job, c.opts, e.opts.Slots, folds)
	n := s.partitions(bytes)
	if !s.ranges {
		return shuffling{Partitions: n}, nil
	}
	cuts, err := e.cuts(ctx, c, n)
	return shuffling{Partitions: len(cuts) + 1, Cuts: cuts}, err
}

// folds reports whether maps will probably fold int64 values. Only a combiner of this process can.
func (e *Engine) folds(ctx context.Context, opts Options) (bool, error) {
	if opts.Combiner.Builtin == "" || opts.partitions() || opts.Key != (functions.KeyOrder{}) {
		return false, nil
	}
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "plan"}}
	c, err := roles{e.job, opts}.combiner(ctx, instance{id: id, env: attemptEnv{silent{}, id, opts.Set, nil}})
	if err != nil {
		return false, err
	}
	defer closeFunction(c)
	return folderOf(c) != nil, nil
}

// Cut implements scheduler.Engine.
func (e *Engine) Cut(ctx context.Context, stage string, in scheduler.Outputs) ([]scheduler.Task, error) {
	const op = "mapreduce.Cut"
	if stage != reduceStage {
		return nil, errs.Errorf(op, errs.Internal, e.job.ID, "there is no stage %q", stage)
	}
	err := e.loadCut(ctx)
	if errs.KindOf(err) == errs.NotFound {
		err = e.makeCut(ctx, in[mapStage])
	}
	if err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	tasks := make([]scheduler.Task, len(e.cut.Spans))
	for i, n := range e.cut.Bytes {
		tasks[i].Weight = n
	}
	return tasks, nil
}

func (e *Engine) loadCut(ctx context.Context) error {
	if e.cut != nil {
		return nil
	}
	b, err := store.Get(ctx, e.store, e.name("reduces"), maxReducePlan)
	if err != nil {
		return err
	}
	var c reducePlan
	if err := json.Unmarshal(b, &c); err != nil || len(c.Spans) != len(c.Bytes) {
		return errs.E("mapreduce.Cut", errs.Corrupt, e.name("reduces"), err)
	}
	e.cut = &c
	return nil
}

// makeCut gives each reducer its partitions by what the maps have put out.
func (e *Engine) makeCut(ctx context.Context, maps []scheduler.Output) error {
	if err := e.load(ctx); err != nil {
		return err
	}
	opts, err := optionsOf(e.job)
	if err != nil {
		return err
	}
	all, err := sumOf(maps, e.plan.Shuffle.Partitions)
	if err != nil {
		return err
	}
	if err := opts.tooManyBad(all.bad); err != nil {
		return err
	}
	n := shapeOf(e.job, opts, e.opts.Slots, false).reducers(all.bytes())
	c := all.cut(n)
	if opts.Shuffle != StoreShuffle {
		c.Merge = mergedMaps(all.maps, n, all.partitions, all.stored)
	}
	b, err := encode(c)
	if err != nil {
		return err
	}
	err = store.Put(ctx, e.store, e.name("reduces"), b, store.IfAbsent())
	if err != nil && errs.KindOf(err) != errs.Exist {
		return err
	}
	return e.loadCut(ctx)
}

// Payload implements scheduler.Engine.
func (e *Engine) Payload(ctx context.Context, task scheduler.TaskID, in scheduler.Outputs) ([]byte, error) {
	const op = "mapreduce.Payload"
	if err := e.load(ctx); err != nil {
		return nil, errs.E(op, errs.Other, task, err)
	}
	switch {
	case task.Stage == mapStage && task.Index < len(e.splits):
		return encode(mapPayload{
			Split: e.splits[task.Index].Append(nil), Way: wayOf(e.plan.Ends, task.Index), Shuffle: e.plan.Shuffle,
		})
	case task.Stage == reduceStage:
		if err := e.loadCut(ctx); err != nil {
			return nil, errs.E(op, errs.Other, task, err)
		}
		if task.Index < len(e.cut.Spans) {
			return e.reducePayload(task.Index, in[mapStage])
		}
	}
	return nil, errs.Errorf(op, errs.Internal, task, "there is no such task")
}

func (e *Engine) reducePayload(index int, maps []scheduler.Output) ([]byte, error) {
	p := reducePayload{
		span: e.cut.Spans[index], Bytes: e.cut.Bytes[index], Values: e.cut.Values, Merge: e.cut.Merge, Nodes: []string{},
	}
	p.Maps = make([][2]int, 0, len(maps))
	known := map[string]int{}
	for i, m := range maps {
		if givenUp(m) {
			p.Without = append(p.Without, i)
			continue
		}
		want := scheduler.TaskID{Stage: mapStage, Index: i}
		if m.Attempt.Task != want {
			return nil, errs.Errorf("mapreduce.Payload", errs.Internal, want, "its output is not there")
		}
		node, ok := known[m.Node]
		if !ok {
			node = len(p.Nodes)
			known[m.Node] = node
			p.Nodes = append(p.Nodes, m.Node)
		}
		p.Maps = append(p.Maps, [2]int{node, m.Attempt.N})
	}
	return encode(p)
}

// givenUp reports whether o is that of a task that failed for good, which the job goes on without.
func givenUp(o scheduler.Output) bool { return o.Attempt.Task.Stage == "" }

// Abort implements scheduler.Engine.
func (e *Engine) Abort(ctx context.Context) error {
	out, err := commit.New(ctx, e.job, e.resolve)
	switch errs.KindOf(err) {
	case errs.Invalid, errs.Unsupported:
		return nil // then nothing was ever written
	}
	if err != nil {
		return err
	}
	return errors.Join(out.Abort(ctx), e.drop(ctx))
}

// drop removes map output that is in the store.
func (e *Engine) drop(ctx context.Context) error {
	opts, err := optionsOf(e.job)
	if err != nil || opts.Shuffle != StoreShuffle {
		return err
	}
	return shuffle.NewDepot(e.store, shuffle.Options{}).Drop(ctx, e.job.ID)
}
