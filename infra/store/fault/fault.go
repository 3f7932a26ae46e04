// Package fault makes a store misbehave on purpose, in ways that can be repeated.
//
// A Rule says which calls to hit and what happens to them. Each rule counts the calls that match it and draws from its
// own random numbers, so what the n-th matching call meets depends on the seed and on n, never on time.
//
//	st := fault.New(mem.New(), seed,
//		fault.Rule{Op: around.Commit, Match: "log/", Nth: 2, Effect: fault.LoseReply}, // it landed, the answer didn't
//		fault.Rule{Op: around.Read, Chance: 0.01, Effect: fault.Corrupt},
//	)
//
// Rules are asked in order, and the first that fires decides; the counters of all matching ones move on. Duplicates
// wait until Replay: that is how a test lets a PUT arrive for a second time minutes later.
package fault

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
)

// Effect is what happens to a call that a rule hits.
type Effect uint8

// The effects. Those about bytes do nothing to calls that carry none.
const (
	Fail      Effect = iota // the call is not made; the caller gets Rule.Err
	LoseReply               // the call is made; the caller gets Rule.Err although it worked
	Hold                    // the call waits until Rule.Until is closed, or its ctx ends, and is then made
	Duplicate               // Commit, Delete: the call is made, and once more at Replay
	Cut                     // Read, Write, UploadPart: half of the bytes pass, then the caller gets Rule.Err
	Corrupt                 // Read, Write, UploadPart: one bit is flipped, and nobody says so
)

// Rule says which calls are hit, and how.
type Rule struct {
	Op     around.Op // which calls; around.Any: all but Write, Read, Abort and Next, which are many
	Match  string    // part of the object's name (of the prefix, for listings); "": every name
	Nth    int       // only the n-th matching call, from 1; 0: each of them
	Chance float64   // with this probability, 0 to 1; 0: for certain
	Effect Effect
	Err    error           // what the caller gets; nil: an error of kind Unavailable
	Until  <-chan struct{} // of Hold
	Hit    func()          // if not nil, called when the rule fires and before its effect; must not block for long
}

// Store is a store with faults.
type Store struct {
	*around.Store
	inner store.Store
	mu    struct {
		sync.Mutex
		rules   []*rule
		replays []func(context.Context) error
	}
	seed uint64
}

// rule is a Rule at work; its fields are guarded by Store.mu.
type rule struct {
	Rule
	seen   int
	random *rand.Rand
}

// New returns st with faults after rules. The same seed gives the same faults to the same calls.
func New(st store.Store, seed uint64, rules ...Rule) *Store {
	s := &Store{inner: st, seed: seed}
	s.Store = around.New(st, s.hook)
	s.Add(rules...)
	return s
}

// Add appends rules; they count from now on.
func (s *Store) Add(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rules {
		s.mu.rules = append(s.mu.rules, &rule{Rule: r, random: rand.New(rand.NewPCG(s.seed, uint64(len(s.mu.rules))))})
	}
}

// Clear removes all rules; calls that are held stay so, and duplicates stay waiting.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.rules = nil
}

// Replay makes all duplicates happen, in the order of their first occurrence, and forgets them. What the first call
// wrote is written again, whatever is there now. Their errors (an if-absent create of what exists) are returned
// joined, since a network would swallow them but a test may want to look.
func (s *Store) Replay(ctx context.Context) error {
	s.mu.Lock()
	replays := s.mu.replays
	s.mu.replays = nil
	s.mu.Unlock()
	var all error
	for _, f := range replays {
		all = errors.Join(all, f(ctx))
	}
	return all
}

// match returns the rule that fires for a call, if one does, and a random number.
func (s *Store) match(c around.Call) (*Rule, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fires *Rule
	var random uint64
	for _, r := range s.mu.rules {
		if !r.matches(c) {
			continue
		}
		r.seen++
		chance, number := r.random.Float64(), r.random.Uint64() // for every match, so that the n-th stays the n-th
		if fires == nil && (r.Nth == 0 || r.Nth == r.seen) && (r.Chance == 0 || chance < r.Chance) {
			fires, random = &r.Rule, number
		}
	}
	return fires, random
}

func (r *Rule) matches(c around.Call) bool {
	many := c.Op == around.Write || c.Op == around.Read || c.Op == around.Abort || c.Op == around.Next
	return (r.Op == c.Op || r.Op == around.Any && !many) && strings.Contains(string(c.Name), r.Match)
}

// hook is the around.Hook of the store.
func (s *Store) hook(ctx context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
	r, random := s.match(c)
	if r == nil {
		return do(c.Data)
	}
	if r.Hit != nil {
		r.Hit()
	}
	switch r.Effect {
	case Fail:
		return 0, r.err(c, "not done")
	case LoseReply:
		if n, err := do(c.Data); err != nil {
			return n, err
		}
		return 0, r.err(c, "done, and the reply lost")
	case Hold:
		select {
		case <-r.Until:
		case <-ctx.Done():
			return 0, errs.E("fault."+c.Op.String(), errs.Canceled, c.Name, ctx.Err())
		}
	case Duplicate:
		return s.duplicate(ctx, c, do)
	case Cut:
		if len(c.Data) > 0 {
			n, err := do(c.Data[:len(c.Data)/2])
			return n, cmp.Or(err, r.err(c, "cut short"))
		}
	case Corrupt:
		return corrupt(c, do, random)
	}
	return do(c.Data)
}

// err is what the caller of a call gets.
func (r *Rule) err(c around.Call, what string) error {
	if r.Err == nil {
		return errs.Errorf("fault."+c.Op.String(), errs.Unavailable, c.Name, "injected: %s", what)
	}
	if r.Err == io.EOF { // readers compare it
		return io.EOF
	}
	return errs.E("fault."+c.Op.String(), errs.Other, c.Name, r.Err)
}

// corrupt flips one bit of what is read or written, leaving the caller's own bytes alone.
func corrupt(c around.Call, do func([]byte) (int, error), random uint64) (int, error) {
	flip := func(p []byte) {
		if len(p) > 0 {
			p[random%uint64(len(p))] ^= 1 << (random >> 61)
		}
	}
	if c.Op == around.Read {
		n, err := do(c.Data)
		flip(c.Data[:n])
		return n, err
	}
	data := slices.Clone(c.Data)
	flip(data)
	return do(data)
}

// duplicate makes the call and notes how to make it again, if it changes anything.
func (s *Store) duplicate(ctx context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
	n, err := do(c.Data)
	if err != nil {
		return n, err
	}
	var again func(context.Context) error
	switch c.Op {
	case around.Commit: // its bytes went by in Writes: what it left is what it wrote
		data, err := store.Get(ctx, s.inner, c.Name, 1<<30)
		if err != nil {
			return n, err
		}
		again = func(ctx context.Context) error {
			return store.Put(ctx, s.inner, c.Name, data, func(o *store.CreateOptions) { *o = c.Opts })
		}
	case around.Delete:
		again = func(ctx context.Context) error { return s.inner.Delete(ctx, c.Name) }
	default:
		return n, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.replays = append(s.mu.replays, again)
	return n, nil
}
