package role

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/ledger"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// This file is what a master's loop does with its program and its ledger.

// compute runs the program over the results of a turn.
func (m *master) compute(ctx context.Context, c superstep.Compute) error {
	t := m.turn.Load()
	m.stats.arrived()
	parts, err := t.fold.Results()
	if err != nil {
		return err
	}
	step := &guagua.Step{Env: m.env, Iteration: c.Iteration, Missing: c.Missing}
	if c.Halt {
		step.Halt()
	}
	if err := m.chain.Enter(ctx, step); err != nil {
		return err
	}
	data, err := m.program.Compute(ctx, step, parts, m.results.buffer())
	if err != nil {
		return errs.E("guagua.Master", errs.Other, iteration(c.Iteration), err)
	}
	if err := m.chain.Leave(ctx, step); err != nil {
		return err
	}
	m.adopt(superstep.Point{Iteration: c.Iteration, Epoch: m.book.Epoch()}, data)
	if err := m.record(step); err != nil {
		return err
	}
	if err := m.snapshot(c.Iteration, false); err != nil {
		return err
	}
	m.tell(func(now time.Time) []superstep.Action { return m.machine.Computed(now, step.Halted()) })
	m.job.News.Progress(int64(c.Iteration))
	return nil
}

// adopt makes data the newest master result.
func (m *master) adopt(at superstep.Point, data []byte) {
	m.now.release()
	m.now = m.results.wrap(at, data)
	m.now.message = wire.NewMessage(data)
}

// record makes the line of an iteration, and shows it.
func (m *master) record(step *guagua.Step) error {
	times := m.stats.computed(step)
	if n := len(step.Missing); n > 0 {
		m.env.Logf("%s goes on without workers %v", iteration(step.Iteration), step.Missing)
		m.job.News.Count("Guagua", "MISSING_RESULTS", int64(n))
	}
	r := step.Recorded()
	if r == nil {
		return nil
	}
	m.job.News.Status(m.stats.status(r, m.env))
	line := map[string]any{"iteration": r.Iteration}
	if r.Final {
		line["final"] = true
	}
	for name, v := range r.Values {
		line[name] = number(v)
	}
	maps.Copy(line, times)
	if len(step.Missing) > 0 {
		line["missing"] = step.Missing
	}
	text, err := encodeLine(line)
	if err != nil {
		return errs.E("guagua.Record", errs.Failed, iteration(step.Iteration), err)
	}
	m.trail.lines = append(m.trail.lines, ledger.Line{Iteration: step.Iteration, Text: text})
	return nil
}

// encodeLine is a line as JSON, what people look for first: docs/guagua.md has the order. Names that are not in it are
// the program's.
func encodeLine(line map[string]any) ([]byte, error) {
	const theirs = ""
	order := []string{
		"iteration", "final", "loss", theirs, "seconds", "compute", "wait", "aggregate", "transfer", "missing", "workers",
	}
	place := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return slices.Index(order, theirs)
	}
	names := slices.SortedFunc(maps.Keys(line), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b))
	})
	text := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			text = append(text, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(line[name])
		if err != nil {
			return nil, err
		}
		text = append(append(append(text, key...), ':'), value...)
	}
	return append(text, '}'), nil
}

// pacing keeps snapshots for the workers from costing more than a small share of the time.
type pacing struct {
	last time.Time
	cost time.Duration
}

// share is the part of the time that may go into snapshots: one in share.
const share = 20

// snapshot asks the program for its own state, if it must be, or if it has not cost much lately.
func (m *master) snapshot(iteration int, must bool) error {
	if m.stateAt == iteration {
		return nil
	}
	now := time.Now()
	if !must && (m.job.Config.Durable || now.Sub(m.pacing.last) < share*m.pacing.cost) {
		return nil
	}
	state, err := m.program.Snapshot()
	if err != nil {
		return err
	}
	m.trail.state, m.stateAt = state, iteration
	m.pacing = pacing{last: now, cost: time.Since(now)}
	return nil
}

// checkpoint saves the newest master result; in the background, unless it must be waited for.
func (m *master) checkpoint(ctx context.Context, s superstep.Save) error {
	if err := m.snapshot(s.At.Iteration, true); err != nil {
		return err
	}
	if err := m.settle(); err != nil {
		return err
	}
	c := ledger.Checkpoint{At: s.At, Final: s.Final, Result: m.now.bytes(), State: m.trail.state, Lines: m.trail.lines}
	held := m.now.hold()
	saved := make(chan error, 1)
	m.save = saved
	m.work.Go(func() {
		err := m.book.Save(ctx, c)
		held.release()
		saved <- err
		if err == nil {
			m.tell(func(now time.Time) []superstep.Action { return m.machine.Saved(now, s) })
			m.later(ctx, func() error { m.durable(s.At.Iteration); return nil })
		} else {
			m.fail(err)
		}
	})
	if s.Wait {
		return m.settle()
	}
	return nil
}

// settle waits for the checkpoint under way.
func (m *master) settle() (err error) {
	if m.save != nil {
		err = <-m.save
		m.save = nil
	}
	return err
}

// durable forgets lines that are in the ledger.
func (m *master) durable(iteration int) {
	m.trail.durable = max(m.trail.durable, iteration)
	m.trail.trim()
}

// later has the loop call f, unless ctx ends first.
func (m *master) later(ctx context.Context, f func() error) {
	select {
	case m.calls <- f:
	case <-ctx.Done():
	}
}

// restore puts the program where a master before was: with what a worker has handed over, else with the checkpoint.
func (m *master) restore(ctx context.Context, at superstep.Point) error {
	from := m.kept
	if from == nil || from.at != at {
		c, err := m.book.Load(ctx)
		if err != nil {
			return err
		}
		from = &handed{at: c.At, result: c.Result, trail: trail{durable: at.Iteration, state: c.State}}
	}
	m.kept = nil
	m.env.Logf("master: goes on from the result of iteration %d", at.Iteration)
	if err := m.program.Restore(from.result, from.trail.state); err != nil {
		return errs.E("guagua.Restore", errs.Other, at, err)
	}
	m.adopt(at, from.result)
	m.trail, m.stateAt = from.trail, at.Iteration
	m.durable(m.book.Newest().At.Iteration)
	return nil
}

// finish puts out what the job leaves behind, and says to everybody that it is done.
func (m *master) finish(ctx context.Context) error {
	if err := m.program.Finish(ctx, m.env.Create); err != nil {
		return err
	}
	if lines := m.book.Lines(); len(lines) > 0 {
		if err := writeLines(ctx, m.env.Create, lines); err != nil {
			return err
		}
	}
	return publish(ctx, m.job.Coord, Key(m.job.ID), notice{Epoch: m.book.Epoch(), Done: true})
}

func writeLines(ctx context.Context, create guagua.Output, lines []ledger.Line) error {
	w, err := create(ctx, "metrics.jsonl")
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	var text []byte
	for _, l := range lines {
		text = append(append(text, l.Text...), '\n')
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Commit(ctx)
}

func iteration(i int) string { return "iteration " + itoa(i) }
