package training

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/scheduler"
)

// A training runs as a map-only MapReduce job as the original Guagua does on Hadoop: map 0 is the master, map 1 the
// first worker, and so on. MapReduce knows nothing of that. It plans maps without input, which all run at once (a
// gang), and gives each its one record, the number of the map; the mapper then does a master's or a worker's work. What
// they leave is published by the training's engine, since its files are no records.
//
//	engine.Engine     plan, splits, program ──────▶ payloads of master and workers ─┐
//	mapreduce.Engine  N+1 maps, no reducer ───────▶ payloads of maps ───────────────┴─▶ attempts map-0, map-1 ...
//	mapreduce.Body    one record, "3" ──▶ mapper ──▶ engine.Body: worker 2

// mapStage is what MapReduce calls its maps.
const mapStage = "map"

// MapOnly is the half of a training's engine that runs in the application master, if its tasks are maps.
type MapOnly struct {
	job      scheduler.Job
	store    store.Store
	resolve  store.Resolve
	training *engine.Engine

	tasks []scheduler.Task  // of master and workers, by map; nil: not known yet
	maps  *mapreduce.Engine // likewise
}

var _ scheduler.Engine = (*MapOnly)(nil)

// NewMapOnly returns the engine of a job whose tasks are maps; of is that of the same job whose tasks are its own.
func NewMapOnly(job scheduler.Job, st store.Store, resolve store.Resolve, of *engine.Engine) *MapOnly {
	return &MapOnly{job: job, store: st, resolve: resolve, training: of}
}

// asMaps returns the map-only job that a training is.
func asMaps(job scheduler.Job, maps int) (scheduler.Job, error) {
	backups := false // would be a second worker with the same index
	o, err := json.Marshal(mapreduce.Options{
		Mapper: functions.Ref{Builtin: "training"}, Maps: maps, Reducers: mapreduce.ExactReducers(0), Speculative: &backups,
	})
	if err != nil {
		return job, errs.E("training.MapOnly", errs.Internal, job.ID, err)
	}
	job.Kind, job.Input, job.Engine = mapreduce.Kind, nil, o
	return job, nil
}

// load finds out what the training's engine has planned.
func (m *MapOnly) load(ctx context.Context) error {
	if m.maps != nil {
		return nil
	}
	roles, err := m.training.Plan(ctx)
	if err != nil {
		return err
	}
	m.tasks = nil
	for _, stage := range roles.Stages {
		m.tasks = append(m.tasks, stage.Tasks...)
	}
	job, err := asMaps(m.job, len(m.tasks))
	if err != nil {
		return err
	}
	m.maps = mapreduce.NewEngine(job, m.store, m.resolve, mapreduce.EngineOptions{Hosted: true})
	return nil
}

// Plan implements scheduler.Engine.
func (m *MapOnly) Plan(ctx context.Context) (scheduler.Plan, error) {
	if err := m.load(ctx); err != nil {
		return scheduler.Plan{}, err
	}
	plan, err := m.maps.Plan(ctx)
	if err != nil {
		return plan, err
	}
	maps := &plan.Stages[0]
	if len(plan.Stages) > 1 || maps.Name != mapStage || len(maps.Tasks) != len(m.tasks) {
		return plan, errs.Errorf("training.Plan", errs.Internal, m.job.ID, "not one stage of %d maps: %v", len(m.tasks), plan)
	}
	maps.Tasks, maps.Gang = m.tasks, true // their weights are iterations
	return plan, nil
}

// Cut implements scheduler.Engine. The plan leaves nothing open.
func (m *MapOnly) Cut(ctx context.Context, stage string, in scheduler.Outputs) ([]scheduler.Task, error) {
	return m.training.Cut(ctx, stage, in)
}

// roleOf returns the master or worker that a map is.
func roleOf(index int) scheduler.TaskID {
	if index == 0 {
		return scheduler.TaskID{Stage: engine.MasterStage}
	}
	return scheduler.TaskID{Stage: engine.WorkerStage, Index: index - 1}
}

// mapPayload is what an attempt is told.
type mapPayload struct {
	Maps int    `json:"maps"` // how many there are
	Map  []byte `json:"map"`  // what MapReduce tells it
	Role []byte `json:"role"` // what a master or worker is told
}

// Payload implements scheduler.Engine.
func (m *MapOnly) Payload(ctx context.Context, task scheduler.TaskID, in scheduler.Outputs) ([]byte, error) {
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	p := mapPayload{Maps: len(m.tasks)}
	var err error
	if p.Map, err = m.maps.Payload(ctx, task, in); err != nil {
		return nil, err
	}
	if p.Role, err = m.training.Payload(ctx, roleOf(task.Index), nil); err != nil {
		return nil, err
	}
	return encode(task, p)
}

// mapResult is what an attempt leaves.
type mapResult struct {
	Map  json.RawMessage `json:"map"`  // of MapReduce
	Role json.RawMessage `json:"role"` // of a master or worker
}

// Commit implements scheduler.Engine.
func (m *MapOnly) Commit(ctx context.Context, in scheduler.Outputs, c scheduler.Counters) (json.RawMessage, error) {
	roles := scheduler.Outputs{}
	for i, o := range in[mapStage] {
		var r mapResult
		if err := json.Unmarshal(o.Data, &r); err != nil {
			return nil, errs.E("training.Commit", errs.Corrupt, o.Attempt, err)
		}
		role := roleOf(i)
		o.Attempt.Task, o.Data = role, r.Role
		roles[role.Stage] = append(roles[role.Stage], o)
	}
	return m.training.Commit(ctx, roles, c)
}

// Abort implements scheduler.Engine.
func (m *MapOnly) Abort(ctx context.Context) error { return m.training.Abort(ctx) }

// MapOnlyBody is the half of a training's engine that runs in executors, if its tasks are maps.
type MapOnlyBody struct {
	store    store.Store
	resolve  store.Resolve
	training scheduler.Body
}

var _ scheduler.Body = (*MapOnlyBody)(nil)

// NewMapOnlyBody returns the body of executors whose tasks are maps; of is that of masters and workers.
func NewMapOnlyBody(st store.Store, resolve store.Resolve, of scheduler.Body) *MapOnlyBody {
	return &MapOnlyBody{st, resolve, of}
}

// Run implements scheduler.Body.
func (b *MapOnlyBody) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	var p mapPayload
	if err := json.Unmarshal(a.Payload, &p); err != nil {
		return nil, errs.E("training.Run", errs.Internal, a.ID, err)
	}
	role, of := a, a
	role.ID.Task, role.Payload, of.Payload = roleOf(a.ID.Task.Index), p.Role, p.Map
	m := mapper{index: a.ID.Task.Index, work: func() ([]byte, error) { return b.training.Run(ctx, role, r) }}
	var err error
	if of.Job, err = asMaps(a.Job, p.Maps); err != nil {
		return nil, err
	}
	maps := mapreduce.NewBody(b.resolve, mapreduce.BodyOptions{
		Store: b.store, Host: func() functions.Mapper { return &m },
	})
	defer maps.Close()
	var result mapResult
	if result.Map, err = maps.Run(ctx, of, r); err != nil {
		return nil, err
	}
	result.Role = m.result
	return encode(a.ID, result)
}

// mapper does the work of a master or a worker when it is given its one record.
type mapper struct {
	index  int
	work   func() ([]byte, error)
	result []byte
}

// Map implements functions.Mapper. It puts out no records.
func (m *mapper) Map(in functions.Record, _ functions.Emitter) (err error) {
	if string(in.Value) != strconv.Itoa(m.index) || m.result != nil {
		return errs.Errorf("training.Map", errs.Internal, m.index, "given the record %q", in.Value)
	}
	m.result, err = m.work()
	return err
}

func encode(subject any, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, errs.E("training.MapOnly", errs.Internal, subject, err)
	}
	return data, nil
}
