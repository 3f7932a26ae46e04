package am

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// script drives a machine by commands. Records become durable at once, unless `hold` was said, then by `durable`. Asked
// for a payload, the engine answers at once, unless `slow`.
type script struct {
	m     *machine
	log   [][]byte // the durable records
	queue []record // not yet durable
	now   int64
	hold  bool
	slow  bool
	out   strings.Builder
}

func TestMachine(t *testing.T) {
	datadriven.Walk(t, "testdata/machine", func(t *testing.T, path string) {
		s := &script{now: 1000}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.do(t, d)
			s.settle(t)
			if s.out.Len() == 0 {
				return "nothing\n"
			}
			return s.out.String()
		})
	})
}

func (s *script) do(t *testing.T, d *datadriven.TestData) {
	args := func(key string) string {
		var v string
		d.MaybeScanArgs(t, key, &v)
		return v
	}
	number := func(key string, otherwise int) int {
		if v := args(key); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				d.Fatalf(t, "%s: %v", key, err)
			}
			return n
		}
		return otherwise
	}
	name := func(i int) string { return d.CmdArgs[i].Key }
	switch d.Cmd {
	case "begin": // SESSION [executors=N] [cpu=N] [failures=N] [shared]: an application master starts over what is durable
		l := newLedger()
		for _, r := range s.log {
			if err := l.Apply(r); err != nil {
				d.Fatalf(t, "%v", err)
			}
		}
		s.queue = nil
		s.m = newMachine(l, limits{
			taskFailures: number("failures", 2), taskLosses: 5, masters: 2, cpu: number("cpu", 1),
			executors: number("executors", 2), heartbeat: 100, nodeFailures: 3, backupAfter: 1000,
			shared: d.HasArg("shared"),
		})
		s.m.begin(name(0), s.now)
	case "plan":
		// map=3 reduce=open [atonce] [backup] [gang] [mayfail=N] [weight=N], which are meant for the stages before them
		s.m.plan(scriptPlan(t, d), nil, s.now)
	case "plan-fails": // KIND
		kind := errs.ParseKind(strings.ReplaceAll(name(0), "_", " "))
		s.m.plan(scheduler.Plan{}, errs.Errorf("engine.Plan", kind, nil, "no"), s.now)
	case "cut": // STAGE tasks=N
		s.m.cut(name(0), make([]scheduler.Task, number("tasks", 0)), nil, s.now)
	case "register": // EXECUTOR [cores=N] [node=HOST:PORT] [holds=(A,B)]
		if !s.m.register(name(0), args("node"), number("cores", 1), attempts(t, d, "holds"), s.now) {
			s.out.WriteString("refused\n")
		}
	case "resize": // to=EXECUTORS
		if _, refused := s.m.resize(number("to", 0)); refused != "" {
			fmt.Fprintf(&s.out, "refused: %s\n", refused)
		}
	case "gone": // EXECUTOR
		s.m.gone(name(0), "it was not heard of", s.now)
	case "node-gone": // HOST:PORT
		s.m.nodeGone(name(0))
	case "container": // NAME STATE [code=N]
		c, err := launch.ParseContainer(name(0))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		exit := launch.Exit{Code: number("code", 0)}
		s.m.container(launch.Event{Container: c, State: launch.State(name(1)), Exit: exit}, s.now)
	case "report": // EXECUTOR ATTEMPT STATE [data=TEXT] [cause=TEXT] [kind=KIND] [lost=(A,B)] [sure] [count=N]
		rep := report{
			executor: name(0), attempt: attempt_(t, d, name(1)), state: scheduler.AttemptState(name(2)),
			data: []byte(args("data")), cause: args("cause"), kind: errs.ParseKind(args("kind")),
		}
		for _, in := range attempts(t, d, "lost") {
			rep.inputs = append(rep.inputs, scheduler.InputLost{Attempt: in, Sure: d.HasArg("sure")})
		}
		if n := number("count", 0); n > 0 {
			rep.counters = scheduler.Counters{"g": {"n": int64(n)}}
		}
		s.m.reported(rep, s.now)
	case "beat": // EXECUTOR ATTEMPT done=N
		s.m.beat(name(0), []progress{{attempt: attempt_(t, d, name(1)), done: int64(number("done", 0))}}, s.now)
	case "allow": // EXECUTORS
		n, err := strconv.Atoi(name(0))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.m.allow(n, s.now)
	case "payload": // ATTEMPT
		s.m.payload(attempt_(t, d, name(0)), []byte("late"), nil, s.now)
	case "payload-fails": // ATTEMPT
		s.m.payload(attempt_(t, d, name(0)), nil, errors.New("no payload"), s.now)
	case "committed":
		s.m.committed([]byte(`{"files":1}`), nil, s.now)
	case "commit-fails": // KIND
		s.m.committed(nil, errs.Errorf("engine.Commit", errs.ParseKind(name(0)), nil, "no"), s.now)
	case "kill":
		if refusal := s.m.kill("somebody said so", s.now); refusal != "" {
			fmt.Fprintln(&s.out, "refused:", refusal)
		}
	case "later": // MILLISECONDS
		n, err := strconv.Atoi(name(0))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.now += int64(n)
		s.m.tick(s.now)
	case "hold":
		s.hold = true
	case "durable":
		s.hold = false
	case "slow":
		s.slow = true
	case "fast":
		s.slow = false
	case "state":
		s.printState()
	default:
		d.Fatalf(t, "unknown command")
	}
}

// settle carries out decisions until there are none.
func (s *script) settle(t *testing.T) {
	for {
		for _, d := range s.m.drain() {
			fmt.Fprintln(&s.out, d)
			switch d := d.(type) {
			case write:
				s.queue = append(s.queue, d.record)
			case ask:
				if d.what == askPayload && !s.slow {
					s.m.payload(d.attempt, []byte("for "+d.attempt.String()), nil, s.now)
				}
			}
		}
		if s.hold || len(s.queue) == 0 {
			if len(s.m.out) == 0 {
				return
			}
			continue
		}
		r := s.queue[0]
		s.queue = s.queue[1:]
		data, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		s.log = append(s.log, data)
		if err := s.m.recorded(r, s.now); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *script) printState() {
	r := s.m.report(scheduler.Job{}, false)
	fmt.Fprintf(&s.out, "%s %q, masters %d, counted %d\n", r.State, r.Message, r.Masters, r.Counters.Get("g", "n"))
	for _, st := range r.Stages {
		fmt.Fprintf(&s.out, "%s: %d tasks, %d done, %d running, %d failed, %d lost, %d killed",
			st.Name, st.Tasks, st.Done, st.Running, st.Failed, st.Lost, st.Killed)
		if st.GivenUp > 0 {
			fmt.Fprintf(&s.out, ", %d given up", st.GivenUp)
		}
		fmt.Fprintln(&s.out)
	}
	for _, a := range r.Attempts {
		fmt.Fprintln(&s.out, strings.TrimSpace(fmt.Sprintf("  %s %s %s %s", a.ID, a.State, a.Executor, a.Error)))
	}
}

// scriptPlan makes a plan of a command: a stage that is open, or comes later, needs all before it.
func scriptPlan(t *testing.T, d *datadriven.TestData) (p scheduler.Plan) {
	for _, arg := range d.CmdArgs {
		if scriptOption(t, d, arg, p.Stages) {
			continue
		}
		st := scheduler.Stage{Name: arg.Key}
		for _, before := range p.Stages {
			st.Needs = append(st.Needs, before.Name)
		}
		switch v := arg.Vals[0]; {
		case v == "open":
		case len(arg.Vals) > 1 || strings.ContainsAny(v, "abcdefghijklmnopqrstuvwxyz"): // hosts of the tasks
			for _, host := range arg.Vals {
				st.Tasks = append(st.Tasks, scheduler.Task{Hosts: []string{host}})
			}
		default:
			n, err := strconv.Atoi(v)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			st.Tasks = make([]scheduler.Task, n)
		}
		p.Stages = append(p.Stages, st)
	}
	return p
}

// scriptOption takes an argument of plan that is no stage but says something of those before it.
func scriptOption(t *testing.T, d *datadriven.TestData, arg datadriven.CmdArg, stages []scheduler.Stage) bool {
	number := func() (n int) {
		d.ScanArgs(t, arg.Key, &n)
		return n
	}
	for i := range stages {
		switch arg.Key {
		case "atonce":
			stages[i].Needs = nil
		case "backup":
			stages[i].Backup = true
		case "gang":
			stages[i].Gang = true
		case "mayfail":
			stages[i].MayFail = number()
		case "weight":
			for k := range stages[i].Tasks {
				stages[i].Tasks[k].Weight = int64(number())
			}
		default:
			return false
		}
	}
	return len(stages) > 0
}

func attempt_(t *testing.T, d *datadriven.TestData, text string) scheduler.AttemptID {
	id, err := scheduler.ParseAttemptID(text)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return id
}

func attempts(t *testing.T, d *datadriven.TestData, key string) (list []scheduler.AttemptID) {
	i := slices.IndexFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == key })
	if i < 0 {
		return nil
	}
	for _, v := range d.CmdArgs[i].Vals {
		list = append(list, attempt_(t, d, v))
	}
	return list
}
