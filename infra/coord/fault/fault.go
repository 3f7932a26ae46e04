// Package fault makes a coordinator misbehave on purpose, in ways that can be repeated.
//
// A Rule says which calls to hit and what happens to them. Each rule counts the calls that match it and draws from its
// own random numbers, so what the n-th matching call meets depends on the seed and on n, never on time.
//
//	c := fault.New(mem.New(), seed,
//		fault.Rule{Op: fault.Swap, Match: "job/", Nth: 2, Effect: fault.LoseReply}, // the answer gets lost
//		fault.Rule{Op: fault.Get, Chance: 0.1, Effect: fault.Fail},
//	)
//
// Rules are asked in order, and the first that fires decides; the counters of all matching ones move on.
package fault

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// Op is a kind of call.
type Op string

// The kinds of calls. A watch is one Watch when it begins, and an Event for each that it yields.
const (
	Any     Op = ""
	Acquire Op = "acquire"
	Release Op = "release"
	Get     Op = "get"
	Swap    Op = "swap"
	Watch   Op = "watch"
	Event   Op = "event"
)

// Effect is what happens to a call that a rule hits.
type Effect uint8

// The effects.
const (
	Fail       Effect = iota // the call is not made, and fails with Rule.Err; a watch ends with it
	LoseReply                // the call is made, and fails with Rule.Err although it worked; of a watch, like Fail
	Hold                     // the call waits until Rule.Until is closed or Rule.Delay has passed, and is then made
	LoseLeases               // all leases that were got through this wrapper end, and then the call is made
)

// Rule says which calls are hit, and how.
type Rule struct {
	Op     Op
	Match  string          // part of the key (of the prefix, for Watch); "": every key
	Nth    int             // only the n-th matching call, from 1; 0: each of them
	Chance float64         // with this probability, 0 to 1; 0: for certain
	Effect Effect          //
	Err    error           // what the caller gets; nil: an error of kind Unavailable
	Until  <-chan struct{} // of Hold; nil: never
	Delay  time.Duration   // of Hold; 0: only Until ends it
}

// Coordinator is a coord.Coordinator with faults.
type Coordinator struct {
	inner coord.Coordinator
	mu    struct {
		sync.Mutex
		rules  []*rule
		leases map[*lease]struct{} // those that have not ended
	}
}

// rule is a Rule at work; its fields are guarded by the Coordinator's mu.
type rule struct {
	Rule
	seen   int
	random *rand.Rand
}

// New returns c with faults after rules. The same seed gives the same faults to the same calls.
func New(c coord.Coordinator, seed uint64, rules ...Rule) *Coordinator {
	f := &Coordinator{inner: c}
	f.mu.leases = map[*lease]struct{}{}
	for i, r := range rules {
		f.mu.rules = append(f.mu.rules, &rule{Rule: r, random: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	return f
}

// match returns the rule that fires for a call, if one does.
func (f *Coordinator) match(op Op, key string) *Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fires *Rule
	for _, r := range f.mu.rules {
		if r.Op != Any && r.Op != op || !strings.Contains(key, r.Match) {
			continue
		}
		r.seen++
		chance := r.random.Float64() // drawn for every match, so that the n-th stays the n-th
		if fires == nil && (r.Nth == 0 || r.Nth == r.seen) && (r.Chance == 0 || chance < r.Chance) {
			fires = &r.Rule
		}
	}
	return fires
}

// call makes one call, with what the rules do to it.
func (f *Coordinator) call(ctx context.Context, op Op, key string, do func() error) error {
	r := f.match(op, key)
	if r == nil {
		return do()
	}
	cause := cmp.Or(r.Err, errs.E("fault."+string(op), errs.Unavailable, key, errors.New("made to fail")))
	switch r.Effect {
	case Fail:
		return cause
	case LoseReply:
		if err := do(); err != nil {
			return err
		}
		return cause
	case Hold:
		if err := r.hold(ctx); err != nil {
			return errs.E("fault."+string(op), errs.Canceled, key, err)
		}
	case LoseLeases:
		f.loseLeases()
	}
	return do()
}

func (r *Rule) hold(ctx context.Context) error {
	var after <-chan time.Time
	if r.Delay > 0 {
		timer := time.NewTimer(r.Delay)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-r.Until:
	case <-after:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (f *Coordinator) loseLeases() {
	f.mu.Lock()
	var all []*lease
	for l := range f.mu.leases {
		all = append(all, l)
	}
	f.mu.Unlock()
	for _, l := range all {
		l.end()
		// So that others get it, as they would after the ttl. If it fails the driver will see to it.
		_ = l.Lease.Release(context.Background())
	}
}

// Acquire implements coord.Coordinator. A lease whose reply is lost is given back: nobody would renew it.
func (f *Coordinator) Acquire(ctx context.Context, key coord.Key, ttl time.Duration) (coord.Lease, error) {
	var l *lease
	err := f.call(ctx, Acquire, string(key), func() error {
		inner, err := f.inner.Acquire(ctx, key, ttl)
		if err == nil {
			l = f.wrap(key, inner)
		}
		return err
	})
	if err != nil {
		if l != nil {
			l.end()
			err = errors.Join(err, l.Lease.Release(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	return l, nil
}

// Get implements coord.Coordinator.
func (f *Coordinator) Get(ctx context.Context, key coord.Key) (v coord.Value, err error) {
	err = f.call(ctx, Get, string(key), func() error {
		v, err = f.inner.Get(ctx, key)
		return err
	})
	if err != nil {
		return coord.Value{}, err
	}
	return v, nil
}

// Swap implements coord.Coordinator.
func (f *Coordinator) Swap(ctx context.Context, key coord.Key, old coord.Version, next []byte) (coord.Version, error) {
	var v coord.Version
	err := f.call(ctx, Swap, string(key), func() (err error) {
		v, err = f.inner.Swap(ctx, key, old, next)
		return err
	})
	if err != nil {
		return 0, err
	}
	return v, nil
}

// Watch implements coord.Coordinator.
func (f *Coordinator) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		pass := func() error { return nil }
		if err := f.call(ctx, Watch, prefix, pass); err != nil {
			yield(coord.Event{}, err)
			return
		}
		for e, err := range f.inner.Watch(ctx, prefix) {
			if err == nil {
				err = f.call(ctx, Event, string(e.Key), pass)
			}
			if err != nil {
				yield(coord.Event{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// lease is a lease that can be lost before the driver's is.
type lease struct {
	coord.Lease
	f    *Coordinator
	key  coord.Key
	done chan struct{}
	end  func() // closes done; once
}

func (f *Coordinator) wrap(key coord.Key, inner coord.Lease) *lease {
	l := &lease{Lease: inner, f: f, key: key, done: make(chan struct{})}
	l.end = sync.OnceFunc(func() {
		close(l.done)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.mu.leases, l)
	})
	f.mu.Lock()
	f.mu.leases[l] = struct{}{}
	f.mu.Unlock()
	go func() {
		select {
		case <-inner.Done():
			l.end()
		case <-l.done:
		}
	}()
	return l
}

// Done implements coord.Lease.
func (l *lease) Done() <-chan struct{} { return l.done }

// Release implements coord.Lease.
func (l *lease) Release(ctx context.Context) error {
	return l.f.call(ctx, Release, string(l.key), func() error {
		err := l.Lease.Release(ctx)
		if err == nil {
			l.end()
		}
		return err
	})
}
