package task

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

// Engine is the half of the engine that runs in the application master of one job.
type Engine struct {
	job     scheduler.Job
	store   store.Store
	resolve store.Resolve
	plan    *plan // nil: not read yet
}

var _ scheduler.Engine = (*Engine)(nil)

// NewEngine returns the engine of a job. st is the system's own store, where the job is; resolve finds input and
// output.
func NewEngine(job scheduler.Job, st store.Store, resolve store.Resolve) *Engine {
	return &Engine{job: job, store: st, resolve: resolve}
}

// Check finds what is wrong with a job before anything is created. Other jobs are still to make the inputs of which
// made reports true.
func Check(ctx context.Context, job scheduler.Job, resolve store.Resolve, made func(uri string) bool) error {
	if _, err := optionsOf(job); err != nil {
		return err
	}
	if path := strings.TrimPrefix(job.Package, "file://"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return errs.Errorf("task.Check", errs.KindOf(err), nil, "package %s cannot be used: %s", path, errs.Cause(err))
		}
	}
	for _, in := range job.Input {
		if !made(in) {
			if _, err := files(ctx, job, resolve, in); err != nil {
				return err
			}
		}
	}
	out, err := committer(ctx, job, resolve)
	if err != nil || out == nil {
		return err
	}
	return out.Check(ctx)
}

// files finds the files of inputs.
func files(ctx context.Context, job scheduler.Job, resolve store.Resolve, inputs ...string) ([]source, error) {
	found, err := split.List(ctx, resolve, inputs)
	if err != nil {
		return nil, err
	}
	if len(found) > MaxTasks {
		return nil, errs.Errorf("task.Check", errs.Invalid, nil, "the input has %d files, which would be a task each; "+
			"a job may have %d", len(found), MaxTasks)
	}
	all := make([]source, len(found))
	for i, f := range found {
		if job.Output != "" && split.Within(f.URI, strings.TrimRight(job.Output, "/")) {
			return nil, errs.Errorf("task.Check", errs.Invalid, nil,
				"the input %s lies inside the output %s; choose another output", f.URI, job.Output)
		}
		all[i] = source{URI: f.URI, Size: f.Size}
	}
	return all, nil
}

// committer returns what publishes the job's output; nil if it has none.
func committer(ctx context.Context, job scheduler.Job, resolve store.Resolve) (commit.Committer, error) {
	if job.Output == "" {
		return nil, nil
	}
	return commit.New(ctx, job, resolve)
}

// maxPlan bounds jobs/<id>/tasks, in bytes.
const maxPlan = 256 << 20

// load reads what was planned. The first application master plans, and writes it down for all that follow.
func (e *Engine) load(ctx context.Context) error {
	if e.plan != nil {
		return nil
	}
	name := store.Name("jobs").Join(string(e.job.ID)).Join("tasks")
	data, err := store.Get(ctx, e.store, name, maxPlan)
	if errs.KindOf(err) == errs.NotFound {
		if err = e.compile(ctx, name); err != nil {
			return err
		}
		data, err = store.Get(ctx, e.store, name, maxPlan)
	}
	if err != nil {
		return err
	}
	p := new(plan)
	if err := json.Unmarshal(data, p); err != nil {
		return errs.E("task.Plan", errs.Corrupt, name, err)
	}
	e.plan = p
	return nil
}

// compile plans, unless another application master was first.
func (e *Engine) compile(ctx context.Context, name store.Name) error {
	if err := Check(ctx, e.job, e.resolve, func(string) bool { return true }); err != nil { // the input is read below
		return err
	}
	o, err := optionsOf(e.job)
	if err != nil {
		return err
	}
	p := plan{Tasks: o.Tasks}
	if len(e.job.Input) > 0 {
		if p.Files, err = files(ctx, e.job, e.resolve, e.job.Input...); err != nil {
			return err
		}
		p.Tasks = len(p.Files)
	}
	data, err := encode(p)
	if err != nil {
		return err
	}
	err = store.Put(ctx, e.store, name, data, store.IfAbsent())
	if errs.KindOf(err) == errs.Exist {
		return nil
	}
	return err
}

// Plan implements scheduler.Engine.
func (e *Engine) Plan(ctx context.Context) (scheduler.Plan, error) {
	if err := e.load(ctx); err != nil {
		return scheduler.Plan{}, errs.E("task.Plan", errs.Other, nil, err)
	}
	o, err := optionsOf(e.job)
	if err != nil {
		return scheduler.Plan{}, err
	}
	return scheduler.Plan{Stages: []scheduler.Stage{
		{Name: Stage, Tasks: make([]scheduler.Task, e.plan.Tasks), Backup: o.Speculative},
	}}, nil
}

// Cut implements scheduler.Engine. No stage is left open.
func (e *Engine) Cut(_ context.Context, stage string, _ scheduler.Outputs) ([]scheduler.Task, error) {
	return nil, errs.Errorf("task.Cut", errs.Internal, e.job.ID, "there is no stage %q", stage)
}

// Payload implements scheduler.Engine.
func (e *Engine) Payload(ctx context.Context, t scheduler.TaskID, _ scheduler.Outputs) ([]byte, error) {
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	p := payload{Tasks: e.plan.Tasks}
	if t.Index < len(e.plan.Files) {
		p.File = &e.plan.Files[t.Index]
	}
	return encode(p)
}

// Commit implements scheduler.Engine.
func (e *Engine) Commit(
	ctx context.Context, in scheduler.Outputs, _ scheduler.Counters,
) (json.RawMessage, error) {
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	m, parts, err := e.manifest(in[Stage])
	if err != nil {
		return nil, err
	}
	out, err := committer(ctx, e.job, e.resolve)
	if err != nil {
		return nil, err
	}
	if out != nil {
		if m, err = out.Commit(ctx, parts, m); err != nil {
			return nil, err
		}
	}
	return encode(Summary{
		Output: e.job.Output, Tasks: e.plan.Tasks, Files: len(m.Parts), Bytes: m.Totals.OutputBytes, Finished: m.Finished,
	})
}

// manifest adds up the results of all tasks, each of which must be there once.
func (e *Engine) manifest(tasks []scheduler.Output) (m proof.Manifest, parts []commit.Part, err error) {
	const op = "task.Commit"
	digest, err := proof.Digest(e.job)
	if err != nil {
		return m, nil, err
	}
	m = proof.Manifest{
		Kind: Kind, Job: e.job.ID, Name: e.job.Name, Spec: digest, Finished: time.Now().UTC(), Parts: []proof.Part{},
	}
	m.Totals.SplitsPlanned = int64(e.plan.Tasks)
	for i, o := range tasks {
		want := scheduler.TaskID{Stage: Stage, Index: i}
		if o.Attempt.Task != want {
			return m, nil, errs.Errorf(op, errs.Corrupt, want, "it is not finished")
		}
		var written []commit.Part
		if err := json.Unmarshal(o.Data, &written); err != nil {
			return m, nil, errs.E(op, errs.Corrupt, o.Attempt, err)
		}
		m.Totals.SplitsRead++
		for _, p := range written {
			m.Parts = append(m.Parts, proof.Part{Name: p.Name, Bytes: p.Bytes, CRC32C: p.CRC32C})
			m.Totals.OutputBytes += p.Bytes
		}
		parts = append(parts, written...)
	}
	return m, parts, m.Totals.Check()
}

// Abort implements scheduler.Engine.
func (e *Engine) Abort(ctx context.Context) error {
	out, err := committer(ctx, e.job, e.resolve)
	switch errs.KindOf(err) {
	case errs.Invalid, errs.Unsupported:
		return nil // then nothing was ever written
	}
	if err != nil || out == nil {
		return err
	}
	return out.Abort(ctx)
}
