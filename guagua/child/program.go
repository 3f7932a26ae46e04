package child

import (
	"context"
	"errors"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/guagua"
)

// Programs returns the programs of a binary. A process is started for every question about a plan, and for every master
// and worker; it lives until that is closed, and no longer than this process.
func Programs(ctx context.Context, path string) ([]guagua.Program, error) {
	pkg, err := child.Describe(ctx, child.Command{Argv: []string{path}})
	if err != nil {
		return nil, err
	}
	var all []guagua.Program
	for _, p := range pkg.Programs {
		all = append(all, &program{path, p.Name, guagua.Reduction(p.Reduction)})
	}
	return all, nil
}

// program is a guagua.Program of another process.
type program struct {
	path, name string
	reduction  guagua.Reduction
}

func (p *program) Name() string { return p.name }

// session is a running child.
type session struct {
	peer    *peer
	process *process.Process
	desk    *desk
	over    chan struct{} // closed when peer.run has returned
	end     context.CancelFunc
}

// start starts a child. It is killed by close, not when ctx ends.
func (p *program) start(ctx context.Context, env *guagua.Env) (*session, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	log := process.Lines{Logf: env.Logf}
	c, err := process.Start(ctx, process.Command{
		Argv: []string{p.path}, Env: append(os.Environ(), wire.EnvVar+"="+wire.EnvServe), Stderr: &log,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	s := &session{process: c, desk: newDesk(env), over: make(chan struct{}), end: cancel}
	s.peer = newPeer(c.Stdout, c.Stdin, s.desk.handle)
	go func() {
		defer close(s.over)
		s.peer.run(ctx) //nolint:errcheck // calls tell of it
	}()
	return s, nil
}

// call is peer.call, with the last words of a child that has died.
func (s *session) call(ctx context.Context, op string, args any, data []byte, result any) ([]byte, error) {
	out, err := s.peer.call(ctx, op, args, data, result)
	if !errors.Is(err, errGone) { // it may have met passing trouble itself, as with a store, and is there to say so
		return out, err
	}
	s.process.Await(process.Grace)
	s.process.Kill()
	<-s.process.Gone
	return nil, s.process.Ended()
}

func (s *session) close(ctx context.Context) {
	_ = s.process.Stdin.Close() // which is how the child learns of it
	s.process.Await(process.Grace)
	s.process.Kill()
	<-s.process.Gone
	_ = s.process.Stdout.Close() // nobody writes there any more
	<-s.over
	s.desk.closeAll(ctx)
	s.end()
}

// Plan implements guagua.Program.
func (p *program) Plan(params guagua.Params, iterations int) (guagua.Plan, error) {
	ctx := context.Background()
	c := planCall{Program: p.name, Params: params, Iterations: iterations}
	var answer planned
	if err := p.once(ctx, "plan", c, &answer); err != nil {
		return guagua.Plan{}, err
	}
	known := map[string]bool{}
	whole := func(uri string) bool {
		_, ending, _ := strings.Cut(path.Base(uri), ".")
		if _, ok := known[ending]; !ok { // the same for all files whose names end so
			c.URI = uri
			var yes bool
			// A program that can't say it any more will not get far; until then the file stays in one piece.
			known[ending] = p.once(ctx, "whole", c, &yes) != nil || yes
		}
		return known[ending]
	}
	return guagua.Plan{Total: answer.Total, Steady: answer.Steady, Files: answer.Files, Whole: whole}, nil
}

// once asks a child one question.
func (p *program) once(ctx context.Context, op string, args, result any) error {
	s, err := p.start(ctx, &guagua.Env{Logf: func(string, ...any) {}, Count: func(string, string, int64) {}})
	if err != nil {
		return err
	}
	defer s.close(ctx)
	_, err = s.call(ctx, op, args, nil, result)
	return err
}

// Reduction implements guagua.Program.
func (p *program) Reduction() guagua.Reduction { return p.reduction }

// NewMaster implements guagua.Program.
func (p *program) NewMaster(ctx context.Context, env *guagua.Env) (guagua.MasterProgram, error) {
	s, err := p.half(ctx, env)
	return &master{half{s}, p.reduction}, err
}

// NewWorker implements guagua.Program.
func (p *program) NewWorker(ctx context.Context, env *guagua.Env) (guagua.WorkerProgram, error) {
	s, err := p.half(ctx, env)
	return &worker{half{s}}, err
}

func (p *program) half(ctx context.Context, env *guagua.Env) (*session, error) {
	s, err := p.start(ctx, env)
	if err != nil {
		return nil, err
	}
	if _, err := s.call(ctx, "new", callOf(p.name, env), nil, nil); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

// half is what masters and workers have in common.
type half struct{ s *session }

// Interceptors implements guagua.Ender: the user's run in the child.
func (half) Interceptors() []guagua.Interceptor { return nil }

// Close implements guagua.Ender.
func (h half) Close(ctx context.Context, outcome error) error {
	defer h.s.close(ctx)
	var c closeCall
	if outcome != nil {
		c.Error = outcome.Error()
	}
	_, err := h.s.call(ctx, "close", c, nil, nil)
	return err
}

// compute has the child compute.
func (h half) compute(ctx context.Context, s *guagua.Step, c computeCall, data []byte) ([]byte, error) {
	c.Iteration, c.Missing, c.Halt = s.Iteration, s.Missing, s.Halted()
	var answer computed
	out, err := h.s.call(ctx, "compute", c, data, &answer)
	if err != nil {
		return nil, err
	}
	if answer.Halt {
		s.Halt()
	}
	if answer.Record != nil {
		s.Record(answer.Record.values())
	}
	return out, nil
}

type worker struct{ half }

func (w *worker) Load(ctx context.Context, in guagua.Split) error {
	_, err := w.s.call(ctx, "load", in, nil, nil)
	return err
}

func (w *worker) Compute(ctx context.Context, s *guagua.Step, master []byte) ([]byte, error) {
	return w.compute(ctx, s, computeCall{Result: master != nil}, master)
}

type master struct {
	half
	reduction guagua.Reduction
}

// Reducer implements guagua.MasterProgram: this process decodes nothing.
func (m *master) Reducer(ctx context.Context) guagua.Reducer {
	return guagua.Reducer{
		Kind:   m.reduction,
		Decode: func(part []byte) (any, error) { return part, nil },
		Combine: func(left, right []byte) ([]byte, error) {
			return m.s.call(ctx, "combine", pairCall{len(left)}, slices.Concat(left, right), nil)
		},
	}
}

func (m *master) Compute(ctx context.Context, s *guagua.Step, parts iter.Seq2[any, error], dst []byte) ([]byte, error) {
	supply := &m.s.desk.parts
	supply.set(parts)
	defer supply.set(nil)
	first, data, err := supply.after(0)
	if err != nil {
		return dst, err
	}
	out, err := m.compute(ctx, s, computeCall{batch: first}, data)
	return append(dst, out...), err
}

func (m *master) Snapshot() ([]byte, error) {
	state, err := m.s.call(context.Background(), "snapshot", nil, nil, nil)
	if len(state) == 0 {
		state = nil
	}
	return state, err
}

func (m *master) Restore(result, state []byte) error {
	_, err := m.s.call(context.Background(), "restore", pairCall{len(result)}, slices.Concat(result, state), nil)
	return err
}

// Finish implements guagua.MasterProgram: the child creates its files through its Env, which leads where out does.
func (m *master) Finish(ctx context.Context, _ guagua.Output) error {
	_, err := m.s.call(ctx, "finish", nil, nil, nil)
	return err
}
