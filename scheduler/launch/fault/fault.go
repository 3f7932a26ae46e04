// Package fault makes calls of a launcher fail on purpose, for tests.
package fault

import (
	"context"
	"iter"
	"sync"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// Rule makes one call fail.
type Rule struct {
	Op   string // Start, Scale, Stop or Watch
	Nth  int    // which call of Op, from 1
	Err  error  // what the caller gets
	Lost bool   // the call is made all the same, only its reply is lost; of no meaning for Watch
}

// Launcher wraps another.
type Launcher struct {
	launch.Launcher
	rules []Rule
	mu    struct {
		sync.Mutex
		calls map[string]int
	}
}

// New wraps l.
func New(l launch.Launcher, rules ...Rule) *Launcher {
	f := &Launcher{Launcher: l, rules: rules}
	f.mu.calls = map[string]int{}
	return f
}

// Calls returns how often op was called.
func (f *Launcher) Calls(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.calls[op]
}

// hit counts a call and returns the rule that it meets, if any.
func (f *Launcher) hit(op string) *Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.calls[op]++
	for i, r := range f.rules {
		if r.Op == op && r.Nth == f.mu.calls[op] {
			return &f.rules[i]
		}
	}
	return nil
}

// do makes a call unless a rule forbids it.
func (f *Launcher) do(op string, call func() error) error {
	r := f.hit(op)
	if r == nil {
		return call()
	}
	if r.Lost {
		_ = call() // its outcome is what the caller must not learn
	}
	return r.Err
}

// Start implements launch.Launcher.
func (f *Launcher) Start(ctx context.Context, g launch.Group) error {
	return f.do("Start", func() error { return f.Launcher.Start(ctx, g) })
}

// Scale implements launch.Launcher.
func (f *Launcher) Scale(ctx context.Context, id launch.GroupID, count int) error {
	return f.do("Scale", func() error { return f.Launcher.Scale(ctx, id, count) })
}

// Stop implements launch.Launcher.
func (f *Launcher) Stop(ctx context.Context, id launch.GroupID) error {
	return f.do("Stop", func() error { return f.Launcher.Stop(ctx, id) })
}

// Watch implements launch.Launcher.
func (f *Launcher) Watch(ctx context.Context, id launch.GroupID) iter.Seq2[launch.Event, error] {
	if r := f.hit("Watch"); r != nil {
		return func(yield func(launch.Event, error) bool) { yield(launch.Event{}, r.Err) }
	}
	return f.Launcher.Watch(ctx, id)
}
