// Package engine makes an iterative job out of tasks: one master and N workers, all at once.
//
//	jobs/<id>/guagua/plan          settings and splits, written once
//	jobs/<id>/guagua/log/...       the ledger (package ledger), and checkpoints beside it
//	jobs/<id>/guagua/out/...       files of the output, until they are published
//
// Stage "master" has one task, stage "worker" one for each worker; both are gangs, so that the scheduler runs all of
// them at once. An attempt that is lost is run again with the next number, the master's too; what that means for the
// iterations is the affair of packages superstep and role.
package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/role"
	"github.com/seed3322913c/runner/guagua/split"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// The stages, as executors have them.
const (
	MasterStage = "master"
	WorkerStage = "worker"
)

// Surroundings is what a job works with that is not the engine's business to make.
type Surroundings struct {
	Programs []guagua.Program
	Resolve  store.Resolve

	// List finds the files of the input, in a fixed order.
	List func(ctx context.Context, inputs []string) ([]split.File, error)

	Publisher Publisher
}

// Publisher puts the files of a job's output where its user wants them: all of them or none, whoever asks and however
// often. Its methods fail with errs.Exist if somebody else's output is there and may not be replaced.
type Publisher interface {
	// Check finds out whether the output could be published. It creates nothing.
	Check(ctx context.Context) error
	// Publish publishes an output, and says what is there now; a second time for the same job, it does nothing else.
	Publish(ctx context.Context, o Output) (Published, error)
	// Abort removes what an interrupted Publish left behind.
	Abort(ctx context.Context) error
}

// Output is what a job leaves behind, and the proof that all of its input went into it.
type Output struct {
	Files              []File
	Splits, SplitsRead int   // the workers' shares of the input; those that a worker that succeeded has loaded
	Bytes, BytesRead   int64 // of the input
}

// Published is what is at the output's place.
type Published struct {
	Files []string `json:"files"`
	Bytes int64    `json:"bytes"`
}

// Summary is what the history keeps of a finished job.
type Summary struct {
	Output string `json:"output"`
	Published
	role.Summary
}

// File is a file of the output.
type File struct {
	Name string
	Size int64
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Engine is the half of the engine that runs in the application master of one job.
type Engine struct {
	job   scheduler.Job
	store store.Store
	with  Surroundings
	slots int
	plan  *plan // nil: not read yet
}

var _ scheduler.Engine = (*Engine)(nil)

// plan is the content of jobs/<id>/guagua/plan.
type plan struct {
	settings
	Splits []guagua.Split `json:"splits"`
	Bytes  int64          `json:"bytes"`
}

// maxPlan bounds the plan, in bytes.
const maxPlan = 256 << 20

// New returns the engine of a job. st is the system's own store, where the job is; slots is how many attempts run at a
// time over all executors, 0 if that is not known.
func New(job scheduler.Job, st store.Store, with Surroundings, slots int) *Engine {
	return &Engine{job: job, store: st, with: with, slots: slots}
}

func folder(job scheduler.JobID) store.Name {
	return store.Name("jobs").Join(string(job)).Join("guagua")
}

func (e *Engine) name(object string) store.Name { return folder(e.job.ID).Join(object) }

// Places returns how many attempts of a job run at the same time, and must: its workers and its master. It is 0 if the
// job takes as many as there are.
func Places(job scheduler.Job) (int, error) {
	s, err := settingsOf(job)
	if err != nil || s.Workers == 0 {
		return 0, err
	}
	return s.Workers + 1, nil
}

// AdapterOf returns how the tasks of a job run.
func AdapterOf(job scheduler.Job) (string, error) {
	s, err := settingsOf(job)
	return s.Adapter, err
}

// Check finds what is wrong with a job, as far as that can be known, and creates nothing. The error is of kind Invalid,
// NotFound, Exist, Permission or Unsupported and its cause is one sentence for people; or the world could not be looked
// at, and it is of another kind.
func (e *Engine) Check(ctx context.Context) error {
	_, err := e.compile(ctx)
	return err
}

// Plan implements scheduler.Engine.
func (e *Engine) Plan(ctx context.Context) (scheduler.Plan, error) {
	const op = "guagua.Plan"
	if err := e.load(ctx); errs.KindOf(err) == errs.NotFound {
		if err := e.write(ctx); err != nil {
			return scheduler.Plan{}, errs.E(op, errs.Other, nil, err)
		}
	} else if err != nil {
		return scheduler.Plan{}, errs.E(op, errs.Other, nil, err)
	}
	weight := int64(e.plan.Config.Total)
	workers := make([]scheduler.Task, e.plan.Workers)
	for i := range workers {
		workers[i].Weight = weight
	}
	return scheduler.Plan{Stages: []scheduler.Stage{
		{Name: MasterStage, Tasks: []scheduler.Task{{Weight: weight}}, Gang: true},
		{Name: WorkerStage, Tasks: workers, Gang: true},
	}}, nil
}

// load reads the plan that was written before, if it is not known.
func (e *Engine) load(ctx context.Context) error {
	if e.plan != nil {
		return nil
	}
	data, err := store.Get(ctx, e.store, e.name("plan"), maxPlan)
	if err != nil {
		return err
	}
	p := new(plan)
	if err := json.Unmarshal(data, p); err != nil {
		return errs.E("guagua.Plan", errs.Corrupt, e.name("plan"), err)
	}
	e.plan = p
	return nil
}

// write makes the plan, unless another application master is faster.
func (e *Engine) write(ctx context.Context) error {
	p, err := e.compile(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return errs.E("guagua.Plan", errs.Internal, nil, err)
	}
	err = store.Put(ctx, e.store, e.name("plan"), data, store.IfAbsent())
	if err != nil && errs.KindOf(err) != errs.Exist {
		return err
	}
	return e.load(ctx)
}

// compile makes a plan of a job.
func (e *Engine) compile(ctx context.Context) (*plan, error) {
	const op = "guagua.Check"
	s, err := settingsOf(e.job)
	if err != nil {
		return nil, err
	}
	program, err := find(e.with.Programs, s.Program)
	if err != nil {
		return nil, err
	}
	if s.Group > 0 && program.Reduction() != guagua.Vectors {
		return nil, errs.Errorf(op, errs.Invalid, nil, "group=%d: %s does not add vectors", s.Group, s.Program)
	}
	facts, err := program.Plan(s.Params, s.Iterations)
	if err != nil {
		return nil, err
	}
	if s.Config.Staleness > 0 && !facts.Steady {
		return nil, errs.Errorf(op, errs.Invalid, nil, "staleness=%d: the iterations of %s build on each other",
			s.Config.Staleness, s.Program)
	}
	files, err := e.ends(ctx, facts, s.Params)
	if err != nil {
		return nil, err
	}
	p := &plan{settings: s}
	for _, f := range files {
		p.Bytes += f.Size
	}
	if p.Bytes == 0 {
		return nil, errs.Errorf(op, errs.Invalid, nil, "the input is empty: %s", strings.Join(e.job.Input, ", "))
	}
	if p.Workers, err = e.workers(s.Workers, p.Bytes); err != nil {
		return nil, err
	}
	p.Config.Workers, p.Config.Total = p.Workers, facts.Total
	p.Splits = split.Cut(files, p.Workers, facts.Whole)
	if s.Workers == 0 {
		p.shrink()
	}
	if p.Group == autoGroup {
		p.Group = 0
		if program.Reduction() == guagua.Vectors {
			p.Group = groupFor(p.Workers)
		}
	}
	return p, nil
}

// ends looks at what a job reads and writes, and returns the files of its input.
func (e *Engine) ends(ctx context.Context, facts guagua.Plan, params guagua.Params) ([]split.File, error) {
	const op = "guagua.Check"
	switch {
	case len(e.job.Input) == 0:
		return nil, errs.Errorf(op, errs.Invalid, nil, "the job has no input; say --input FILE, FOLDER or GLOB")
	case e.job.Output == "":
		return nil, errs.Errorf(op, errs.Invalid, nil, "the job has no output; say --output FOLDER")
	}
	for _, name := range facts.Files {
		if err := e.lookAt(ctx, name, params[name]); err != nil {
			return nil, err
		}
	}
	files, err := e.with.List(ctx, e.job.Input)
	if err != nil {
		return nil, err
	}
	return files, e.with.Publisher.Check(ctx)
}

// lookAt fails if a parameter names a file that is not there.
func (e *Engine) lookAt(ctx context.Context, param, uri string) error {
	const op = "guagua.Check"
	st, name, err := e.with.Resolve(ctx, uri)
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	if _, err = st.Stat(ctx, name); errs.KindOf(err) == errs.NotFound {
		return errs.Errorf(op, errs.NotFound, nil, "%s: there is no file %s", param, strings.TrimPrefix(uri, "file://"))
	}
	return err
}

// leastShare is how many bytes of input make a worker worth while, when nobody says how many there are to be.
const leastShare = 1 << 20

// workers decides how many there are.
func (e *Engine) workers(wanted int, bytes int64) (int, error) {
	room := e.slots - 1
	if wanted > 0 && e.slots > 0 && wanted > room {
		return 0, errs.Errorf("guagua.Check", errs.Invalid, nil, "%d workers and the master need %d places at the same "+
			"time, and the job has %d: more --executors, or fewer workers", wanted, wanted+1, e.slots)
	}
	if wanted > 0 {
		return wanted, nil
	}
	return int(max(1, min(int64(room), (bytes+leastShare-1)/leastShare))), nil
}

// shrink leaves out workers that have nothing to do.
func (p *plan) shrink() {
	var kept []guagua.Split
	for _, s := range p.Splits {
		if len(s.Pieces) > 0 {
			s.Index = len(kept)
			kept = append(kept, s)
		}
	}
	p.Splits, p.Workers, p.Config.Workers = kept, len(kept), len(kept)
}

// Cut implements scheduler.Engine. The plan leaves nothing open.
func (e *Engine) Cut(_ context.Context, stage string, _ scheduler.Outputs) ([]scheduler.Task, error) {
	return nil, errs.Errorf("guagua.Cut", errs.Internal, stage, "there is nothing to decide")
}

// payload is what an attempt is told.
type payload struct {
	settings
	Split *guagua.Split `json:"split,omitempty"` // a worker's
}

// Payload implements scheduler.Engine.
func (e *Engine) Payload(ctx context.Context, task scheduler.TaskID, _ scheduler.Outputs) ([]byte, error) {
	const op = "guagua.Payload"
	if err := e.load(ctx); err != nil {
		return nil, errs.E(op, errs.Other, task, err)
	}
	p := payload{settings: e.plan.settings}
	if task.Stage == WorkerStage {
		if task.Index >= len(e.plan.Splits) {
			return nil, errs.Errorf(op, errs.Internal, task, "there are %d workers", len(e.plan.Splits))
		}
		p.Split = &e.plan.Splits[task.Index]
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, errs.E(op, errs.Internal, task, err)
	}
	return data, nil
}

// Commit implements scheduler.Engine. What the history keeps is a Summary.
func (e *Engine) Commit(ctx context.Context, in scheduler.Outputs, _ scheduler.Counters) (json.RawMessage, error) {
	const op = "guagua.Commit"
	out, summary, err := e.gather(ctx, in)
	if err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	if summary.Published, err = e.with.Publisher.Publish(ctx, out); err != nil {
		return nil, err
	}
	if err := e.tidy(ctx, "out/", "checkpoint/"); err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	data, err := json.Marshal(summary)
	if err != nil {
		return nil, errs.E(op, errs.Internal, nil, err)
	}
	return data, nil
}

// gather puts together what attempts have left.
func (e *Engine) gather(ctx context.Context, in scheduler.Outputs) (out Output, s Summary, err error) {
	if err := e.load(ctx); err != nil {
		return out, s, err
	}
	s.Output = e.job.Output
	out.Splits, out.Bytes = len(e.plan.Splits), e.plan.Bytes
	if err := taken(in, MasterStage, 0, &s.Summary); err != nil {
		return out, s, err
	}
	for i := range e.plan.Splits {
		var w workerResult
		if err := taken(in, WorkerStage, i, &w); err != nil {
			return out, s, err
		}
		out.SplitsRead++
		out.BytesRead += w.Bytes
	}
	out.Files, err = e.staged(ctx)
	return out, s, err
}

// taken reads what the attempt left whose result counts.
func taken(in scheduler.Outputs, stage string, index int, result any) error {
	id := scheduler.TaskID{Stage: stage, Index: index}
	if index >= len(in[stage]) || in[stage][index].Attempt.Task != id {
		return errs.Errorf("guagua.Commit", errs.Corrupt, id, "it is not finished")
	}
	if err := json.Unmarshal(in[stage][index].Data, result); err != nil {
		return errs.E("guagua.Commit", errs.Corrupt, in[stage][index].Attempt, err)
	}
	return nil
}

// staged returns the files of the output.
func (e *Engine) staged(ctx context.Context) (files []File, err error) {
	prefix := string(e.name("out")) + "/"
	for info, err := range e.store.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		open := func(ctx context.Context) (io.ReadCloser, error) { return e.store.Open(ctx, info.Name, store.Range{}) }
		files = append(files, File{strings.TrimPrefix(string(info.Name), prefix), info.Size, open})
	}
	return files, nil
}

// tidy removes objects that are of no more use.
func (e *Engine) tidy(ctx context.Context, prefixes ...string) error {
	for _, p := range prefixes {
		var names []store.Name
		for info, err := range e.store.List(ctx, fmt.Sprintf("%s/%s", folder(e.job.ID), p)) {
			if err != nil {
				return err
			}
			names = append(names, info.Name)
		}
		for _, n := range names {
			if err := e.store.Delete(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Abort implements scheduler.Engine. Ledger and checkpoints stay, so that the job can be resumed.
func (e *Engine) Abort(ctx context.Context) error { return e.with.Publisher.Abort(ctx) }
