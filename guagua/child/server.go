package child

import (
	"context"
	"encoding/json"
	"io"
	"slices"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// server is the child's end: at most one master or worker.
type server struct {
	peer     *peer
	programs []guagua.Program
	program  guagua.Program
	env      *guagua.Env
	chain    *guagua.Chain
	master   guagua.MasterProgram
	reducer  guagua.Reducer // the master's
	worker   guagua.WorkerProgram
}

func serve(ctx context.Context, in io.Reader, out io.Writer, programs []guagua.Program) error {
	s := &server{programs: programs}
	s.peer = newPeer(in, out, s.handle)
	return s.peer.run(ctx)
}

// handle answers the parent, which asks one question at a time, but to combine, where it may have several.
func (s *server) handle(ctx context.Context, op string, args json.RawMessage, data []byte) (any, []byte, error) {
	switch op {
	case "plan":
		return with(args, func(c planCall) (any, []byte, error) { return s.plan(c) })
	case "whole":
		return with(args, func(c planCall) (any, []byte, error) { return s.whole(c) })
	case "new":
		return with(args, func(c newCall) (any, []byte, error) { return nil, nil, s.make(ctx, c) })
	case "load":
		return with(args, func(in guagua.Split) (any, []byte, error) { return nil, nil, s.worker.Load(ctx, in) })
	case "compute":
		return with(args, func(c computeCall) (any, []byte, error) { return s.compute(ctx, c, data) })
	case "snapshot":
		state, err := s.master.Snapshot()
		return nil, state, err
	case "restore":
		return with(args, func(c pairCall) (any, []byte, error) { return pair(c, data, s.restore) })
	case "combine":
		return with(args, func(c pairCall) (any, []byte, error) { return pair(c, data, s.reducer.Combine) })
	case "finish":
		return nil, nil, s.master.Finish(ctx, s.create)
	case "close":
		return with(args, func(c closeCall) (any, []byte, error) { return nil, nil, s.close(ctx, c) })
	}
	return nil, nil, errs.Errorf("child.Serve", errs.Unsupported, op, "no such question; build the program anew")
}

// with reads the arguments of a question.
func with[A any](args json.RawMessage, f func(A) (any, []byte, error)) (any, []byte, error) {
	var a A
	if err := json.Unmarshal(args, &a); err != nil {
		return nil, nil, errs.E("child.Serve", errs.Corrupt, nil, err)
	}
	return f(a)
}

func (s *server) find(name string) (guagua.Program, error) {
	i := slices.IndexFunc(s.programs, func(p guagua.Program) bool { return p.Name() == name })
	if i < 0 {
		return nil, errs.Errorf("child.Serve", errs.NotFound, name, "this binary has no such program")
	}
	return s.programs[i], nil
}

func (s *server) plan(c planCall) (any, []byte, error) {
	p, err := s.find(c.Program)
	if err != nil {
		return nil, nil, err
	}
	plan, err := p.Plan(c.Params, c.Iterations)
	return planned{plan.Total, plan.Steady, plan.Files}, nil, err
}

func (s *server) whole(c planCall) (any, []byte, error) {
	p, err := s.find(c.Program)
	if err != nil {
		return nil, nil, err
	}
	plan, err := p.Plan(c.Params, c.Iterations)
	if err != nil {
		return nil, nil, err
	}
	return plan.Whole(c.URI), nil, nil
}

// make makes the master or the worker, within its interceptors.
func (s *server) make(ctx context.Context, c newCall) (err error) {
	if s.program, err = s.find(c.Program); err != nil {
		return err
	}
	s.env = c.env()
	s.env.Open, s.env.Create, s.env.Logf, s.env.Count = s.open, s.create, s.logf, s.count
	var half guagua.Ender
	if c.Worker == guagua.MasterIndex {
		s.master, err = s.program.NewMaster(ctx, s.env)
		half = s.master
	} else {
		s.worker, err = s.program.NewWorker(ctx, s.env)
		half = s.worker
	}
	if err != nil {
		return err
	}
	if s.master != nil {
		s.reducer = s.master.Reducer(ctx)
	}
	s.chain = guagua.NewChain(half.Interceptors()...)
	return s.chain.Start(ctx, s.env)
}

// pair takes data apart.
func pair(c pairCall, data []byte, f func(first, second []byte) ([]byte, error)) (any, []byte, error) {
	first, second, err := c.split(data)
	if err != nil {
		return nil, nil, err
	}
	out, err := f(first, second)
	return nil, out, err
}

func (s *server) restore(result, state []byte) ([]byte, error) {
	return nil, s.master.Restore(result, state)
}

func (s *server) compute(ctx context.Context, c computeCall, data []byte) (any, []byte, error) {
	step := &guagua.Step{Env: s.env, Iteration: c.Iteration, Missing: c.Missing}
	if c.Halt {
		step.Halt()
	}
	if err := s.chain.Enter(ctx, step); err != nil {
		return nil, nil, err
	}
	var out []byte
	var err error
	switch {
	case s.master != nil:
		out, err = s.master.Compute(ctx, step, s.parts(ctx, c.batch, data), nil)
	case c.Result:
		out, err = s.worker.Compute(ctx, step, data)
	default:
		out, err = s.worker.Compute(ctx, step, nil)
	}
	if err == nil {
		err = s.chain.Leave(ctx, step)
	}
	return computed{step.Halted(), recordOf(step.Recorded())}, out, err
}

func (s *server) close(ctx context.Context, c closeCall) error {
	var outcome error
	if c.Error != "" {
		outcome = errs.Errorf("", errs.Failed, nil, "%s", c.Error)
	}
	var err error
	if s.master != nil {
		err = s.master.Close(ctx, outcome)
	} else if s.worker != nil {
		err = s.worker.Close(ctx, outcome)
	}
	if s.chain != nil {
		if serr := s.chain.Stop(ctx, s.env, outcome); err == nil {
			err = serr
		}
	}
	return err
}
