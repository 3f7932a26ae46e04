package engine

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Kind is the kind of an iterative job, in scheduler.Job and in a specification.
const Kind = "guagua"

// Options is what a specification says under "guagua:", and what Job.Engine holds as JSON.
type Options struct {
	// Master and Worker name the program; it is one, so they are the same, or one of them is left out.
	Master functions.Ref `json:"master,omitzero"`
	Worker functions.Ref `json:"worker,omitzero"`

	// Workers is how many there are; 0: as many as there is room for beside the master.
	Workers int `json:"workers,omitempty"`

	// Iterations is how many steps the program is to take at most; 0: 50.
	Iterations int `json:"iterations,omitempty"`

	// Set are the parameters of the program, and of the engine:
	//
	//	workers, iterations                         as above
	//	adapter=executors                           or mapreduce: master and workers are the maps of a MapReduce job
	//	checkpoint=background                       or every: each master result is durable before a worker sees it
	//	coordinator=stream                          how masters and workers talk: over TCP; or consul-sync, consul-async:
	//	                                            through the coordinator's keys, polled or watched, for small results
	//	min-workers-ratio=1  min-workers-timeout=60 share of the workers that an iteration must have, and how many seconds
	//	                                            it waits for the others; not in the first iteration
	//	staleness=0                                 iterations that a worker may be behind: above 0 nobody waits for the
	//	                                            slowest once min-workers-ratio of the results are there (one result, if
	//	                                            the ratio is 1); with batch=N this is asynchronous mini-batch training
	//	group=auto                                  so many neighbours among the workers, 2, 4, 8 ..., send one result, and
	//	                                            the first of them passes the master's on; auto: above 32 workers about as
	//	                                            many as there are groups, of programs that add vectors; 0: a star
	//	stragglers=report                           or exclude, replace: what becomes of workers that take more than
	//	straggler-factor=3  straggler-seconds=1     so many times the median, and so many seconds; replace does it after
	//	straggler-strikes=3                         so many iterations in a row
	//	register-timeout=120                        seconds that the master waits for all workers to join
	//	threads=1                                   goroutines of each worker
	//	trace=false                                 a line in the log for each step of master and workers
	Set guagua.Params `json:"set,omitempty"`
}

// Adapters: what masters and workers are to the scheduler.
const (
	Executors = "executors" // tasks of their own
	MapReduce = "mapreduce" // the maps of a map-only MapReduce job, of which the first is the master
)

// Coordinators.
const (
	Stream      = "stream"
	ConsulSync  = "consul-sync"
	ConsulAsync = "consul-async"
)

// settings is what Options come to.
type settings struct {
	Program     string           `json:"program"`
	Workers     int              `json:"workers"` // 0: not decided
	Iterations  int              `json:"iterations"`
	Params      guagua.Params    `json:"params"` // the program's own
	Adapter     string           `json:"adapter,omitempty"`
	Coordinator string           `json:"coordinator"`
	Config      superstep.Config `json:"config"`
	Threads     int              `json:"threads"`
	Group       int              `json:"group"`
	Trace       bool             `json:"trace"`
}

// maxWorkers bounds the number of workers.
const maxWorkers = 100_000

// autoGroup is the Group of a job that leaves it to the number of workers.
const autoGroup = -1

// starWidth is how many workers may send their results to the master itself, if nobody says otherwise.
const starWidth = 32

// groupFor returns how many of so many workers make a group: about as many as there are groups then, so that leaders
// and master have about as many connections.
func groupFor(workers int) int {
	group := 0
	if workers > starWidth {
		for group = 2; group*group < workers; group *= 2 {
		}
	}
	return group
}

// settingsOf reads a job's options.
func settingsOf(job scheduler.Job) (s settings, err error) {
	const op = "guagua.Options"
	var o Options
	if len(job.Engine) > 0 {
		if err := json.Unmarshal(job.Engine, &o); err != nil {
			return s, errs.E(op, errs.Invalid, nil, err)
		}
	}
	if s.Program, err = o.program(); err != nil {
		return s, err
	}
	mine := guagua.Params{}
	s.Params = maps.Clone(o.Set)
	for _, name := range guagua.EngineParams() {
		if v, ok := o.Set[name]; ok {
			mine[name] = v
			delete(s.Params, name)
		}
	}
	r := mine.Reader()
	s.read(r, o)
	return s, r.Err()
}

// read takes the engine's parameters.
func (s *settings) read(r *guagua.Reader, o Options) {
	s.Workers = r.Int("workers", o.Workers, 0, maxWorkers)
	s.Iterations = r.Int("iterations", o.Iterations, 0, 1<<30)
	if s.Iterations == 0 {
		s.Iterations = 50
	}
	r.Check(o.Workers >= 0 && o.Iterations >= 0, "workers: %d, iterations: %d: can't be below 0", o.Workers, o.Iterations)
	s.Adapter = r.OneOf("adapter", Executors, MapReduce)
	s.Coordinator = r.OneOf("coordinator", Stream, ConsulSync, ConsulAsync)
	s.Threads = r.Int("threads", 1, 1, 1024)
	s.Trace = r.Bool("trace", false)
	c := superstep.Defaults(1, 1)
	c.Durable = r.OneOf("checkpoint", "background", "every") == "every"
	c.MinRatio = r.Float("min-workers-ratio", c.MinRatio, 0, 1)
	c.MinTimeout = seconds(r, "min-workers-timeout", c.MinTimeout)
	c.Staleness = r.Int("staleness", 0, 0, 1<<30)
	c.Stragglers = superstep.Policy(r.OneOf("stragglers",
		string(superstep.Report), string(superstep.Exclude), string(superstep.Replace)))
	c.Factor = r.Float("straggler-factor", c.Factor, 1, 1e6)
	c.Least = seconds(r, "straggler-seconds", c.Least)
	c.Strikes = r.Int("straggler-strikes", c.Strikes, 1, 1<<30)
	c.Register = seconds(r, "register-timeout", c.Register)
	together := s.Coordinator == Stream && c.Whole() && c.Stragglers == superstep.Report
	switch {
	case r.String("group", "auto") != "auto":
		s.Group = r.Int("group", 0, 0, maxWorkers)
		r.Check(s.Group&(s.Group-1) == 0, "group=%d: must be auto, or 2, 4, 8 ...", s.Group)
		r.Check(s.Group == 0 || together,
			"group needs coordinator=stream, stragglers=report, and iterations that have all results")
	case together:
		s.Group = autoGroup
	}
	if s.Coordinator != Stream { // nothing but what the coordinator keeps survives a master there
		c.Durable = true
	}
	if err := c.Validate(); err != nil {
		r.Check(false, "%s", errs.Cause(err))
	}
	s.Config = c
}

func seconds(r *guagua.Reader, name string, otherwise time.Duration) time.Duration {
	return time.Duration(r.Float(name, otherwise.Seconds(), 0, 1e9) * float64(time.Second))
}

// WithURIs returns o with those parameters made absolute by uri that name files.
func (o Options) WithURIs(programs []guagua.Program, uri func(text string) (string, error)) (Options, error) {
	name, err := o.program()
	if err != nil {
		return o, err
	}
	program, err := find(programs, name)
	if err != nil {
		return o, err
	}
	data, err := json.Marshal(o)
	if err != nil {
		return o, errs.E("guagua.Options", errs.Internal, nil, err)
	}
	s, err := settingsOf(scheduler.Job{Engine: data})
	if err != nil {
		return o, err
	}
	plan, err := program.Plan(s.Params, s.Iterations)
	if err != nil {
		return o, err
	}
	o.Set = maps.Clone(o.Set)
	for _, name := range plan.Files {
		if o.Set[name], err = uri(o.Set[name]); err != nil {
			return o, err
		}
	}
	return o, nil
}

// Packaged reports whether the program is one of the job's package.
func (o Options) Packaged() bool { return o.Master.Go+o.Worker.Go != "" }

// program returns the program's name.
func (o Options) program() (string, error) {
	const op = "guagua.Options"
	for _, r := range []functions.Ref{o.Master, o.Worker} {
		if r.Exec != "" {
			return "", errs.Errorf(op, errs.Unsupported, nil, "%s: masters and workers are built in, or written in Go", r)
		}
	}
	if m, w := o.Master, o.Worker; !m.IsZero() && !w.IsZero() && (m.Go == "") != (w.Go == "") {
		return "", errs.Errorf(op, errs.Invalid, nil,
			"master and worker are halves of one program: %s and %s do not go together", m, w)
	}
	name, other := cmp.Or(o.Master.Builtin, o.Master.Go), cmp.Or(o.Worker.Builtin, o.Worker.Go)
	switch {
	case name == "" && other == "":
		return "", errs.Errorf(op, errs.Invalid, nil, "which program? say master: {builtin: NAME}")
	case name == "":
		name = other
	case other != "" && other != name:
		return "", errs.Errorf(op, errs.Invalid, nil,
			"master and worker are halves of one program: %s and %s do not go together", name, other)
	}
	return name, nil
}

// find returns the program called name.
func find(programs []guagua.Program, name string) (guagua.Program, error) {
	var names []string
	for _, p := range programs {
		if p.Name() == name {
			return p, nil
		}
		names = append(names, p.Name())
	}
	return nil, errs.Errorf("guagua.Options", errs.Invalid, nil, "there is no program %q; there are %s", name,
		strings.Join(names, ", "))
}
