package guagua

import (
	"context"
	"fmt"
	"runtime/metrics"
	"strings"
	"time"
)

// Interceptor looks on from both sides of every iteration, on the master and on every worker. Interceptors form a call
// stack: the pre hooks run first to last, the post hooks last to first. Those of the engine are outside, the user's
// inside. Embed Hooks to write only some of the four.
type Interceptor interface {
	// PreApplication runs before the data is loaded; an error ends the attempt.
	PreApplication(ctx context.Context, env *Env) error
	// PreIteration runs before Compute; an error ends the attempt.
	PreIteration(ctx context.Context, s *Step) error
	// PostIteration runs after Compute, before its result is sent; an error ends the attempt.
	PostIteration(ctx context.Context, s *Step) error
	// PostApplication runs at the end for each interceptor whose PreApplication succeeded, whatever happened; outcome is
	// nil if all went well. Its error is told, but keeps no other hook from running.
	PostApplication(ctx context.Context, env *Env, outcome error) error
}

// Hooks is an Interceptor that does nothing.
type Hooks struct{}

// PreApplication does nothing.
func (Hooks) PreApplication(context.Context, *Env) error { return nil }

// PreIteration does nothing.
func (Hooks) PreIteration(context.Context, *Step) error { return nil }

// PostIteration does nothing.
func (Hooks) PostIteration(context.Context, *Step) error { return nil }

// PostApplication does nothing.
func (Hooks) PostApplication(context.Context, *Env, error) error { return nil }

// Chain is a stack of interceptors, outermost first. It is used by one goroutine.
type Chain struct {
	list    []Interceptor
	started int // how many have been through PreApplication
	entered int // how many have been through this iteration's PreIteration
}

// NewChain makes a chain of interceptors, outermost first.
func NewChain(list ...Interceptor) *Chain { return &Chain{list: list} }

// Start runs the PreApplication hooks up to the first error.
func (c *Chain) Start(ctx context.Context, env *Env) error {
	for _, i := range c.list[c.started:] {
		if err := i.PreApplication(ctx, env); err != nil {
			return err
		}
		c.started++
	}
	return nil
}

// Enter runs the PreIteration hooks up to the first error.
func (c *Chain) Enter(ctx context.Context, s *Step) error {
	for c.entered = 0; c.entered < len(c.list); c.entered++ {
		if err := c.list[c.entered].PreIteration(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Leave runs the PostIteration hooks, last to first, up to the first error.
func (c *Chain) Leave(ctx context.Context, s *Step) error {
	for c.entered > 0 {
		c.entered--
		if err := c.list[c.entered].PostIteration(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Stop runs the PostApplication hooks, last to first, all of them, and returns the first error.
func (c *Chain) Stop(ctx context.Context, env *Env, outcome error) error {
	var first error
	for ; c.started > 0; c.started-- {
		if err := c.list[c.started-1].PostApplication(ctx, env, outcome); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Gauge takes a measured value of an iteration, by name.
type Gauge func(s *Step, name string, value float64)

// Timer is an interceptor that tells the seconds from PreIteration to PostIteration as "seconds". Put last, it excludes
// what other interceptors do.
func Timer(now func() time.Time, tell Gauge) Interceptor { return &timer{now: now, tell: tell} }

type timer struct {
	Hooks
	now   func() time.Time
	tell  Gauge
	begun time.Time
}

func (t *timer) PreIteration(context.Context, *Step) error { t.begun = t.now(); return nil }

func (t *timer) PostIteration(_ context.Context, s *Step) error {
	t.tell(s, "seconds", t.now().Sub(t.begun).Seconds())
	return nil
}

// Memory is an interceptor that tells, after each iteration, the bytes that the process has from the system as
// "memory", and the collector's rounds so far as "gc".
func Memory(tell Gauge) Interceptor {
	return &memory{tell: tell, samples: []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}}
}

type memory struct {
	Hooks
	tell    Gauge
	samples []metrics.Sample
}

func (m *memory) PostIteration(_ context.Context, s *Step) error {
	metrics.Read(m.samples)
	m.tell(s, "memory", float64(m.samples[0].Value.Uint64()-m.samples[1].Value.Uint64()))
	m.tell(s, "gc", float64(m.samples[2].Value.Uint64()))
	return nil
}

// Metrics is an interceptor that counts the iterations of masters and workers, for the job's counters.
func Metrics(count func(group, name string, delta int64)) Interceptor { return &counted{count: count} }

type counted struct {
	Hooks
	count func(group, name string, delta int64)
}

func (c *counted) PostIteration(_ context.Context, s *Step) error {
	c.count("Guagua", strings.ToUpper(s.Env.Kind())+"_ITERATIONS", 1)
	return nil
}

// Trace is an interceptor that writes a line for each hook.
func Trace() Interceptor { return trace{} }

type trace struct{}

func (trace) PreApplication(_ context.Context, env *Env) error {
	env.Logf("%s: begins, %d workers, %d iterations", env.Role(), env.Workers, env.Total)
	return nil
}

func (trace) PreIteration(_ context.Context, s *Step) error {
	s.Env.Logf("%s: iteration %d of %d begins", s.Env.Role(), s.Iteration, s.Env.Total)
	return nil
}

func (trace) PostIteration(_ context.Context, s *Step) error {
	s.Env.Logf("%s: iteration %d of %d done%s", s.Env.Role(), s.Iteration, s.Env.Total, s.remarks())
	return nil
}

func (trace) PostApplication(_ context.Context, env *Env, outcome error) error {
	if outcome != nil {
		env.Logf("%s: ends: %v", env.Role(), outcome)
	} else {
		env.Logf("%s: ends well", env.Role())
	}
	return nil
}

func (s *Step) remarks() string {
	text := ""
	if len(s.Missing) > 0 {
		text = fmt.Sprintf(", missing %v", s.Missing)
	}
	if s.halt {
		text += ", halts"
	}
	return text
}
