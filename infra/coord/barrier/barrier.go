// Package barrier lets named participants begin together and end together, and fails by name and deadline when one of
// them is dead.
//
// One process is the host: it knows who has to come, and announces. With n participants a barrier costs each of them
// one write to enter and one to leave, and the host one announcement for each; everybody waits on one key.
//
//	<key>/<epoch>/enter/<name>   written by the participant name when it has arrived
//	<key>/<epoch>/leave/<name>   written by it when it is done
//	<key>/state                  written by the host: epoch and phase; the only key that participants watch
//
//	participant   Enter ─────────────▶ (open) ... works ... Leave ─────────────▶ (left)
//	host          AwaitEnter(names) ──▲                     AwaitLeave(names) ──▲
//
// An epoch is one use of the barrier. A higher one fences all lower ones: whoever still waits in them fails with
// errs.Fenced. Every call may be repeated, by the same process or by a successor.
package barrier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// Barrier is one epoch of a barrier. Its methods may be called by many goroutines at once.
type Barrier struct {
	c     coord.Coordinator
	key   coord.Key
	epoch uint64
}

// New returns the barrier below key, which must have room for "/<epoch>/enter/<name>". Epochs begin at 1.
func New(c coord.Coordinator, key coord.Key, epoch uint64) *Barrier {
	return &Barrier{c: c, key: key, epoch: epoch}
}

// phase says how far an epoch has come; it never goes back.
type phase int

const (
	waiting phase = iota // for participants to enter
	open                 // all have entered
	left                 // all have left
	failed               // it will not come further
)

// state is what the host announces.
type state struct {
	Epoch  uint64 `json:"epoch"`
	Phase  phase  `json:"phase"`
	Left   uint64 `json:"left,omitempty"`   // the last epoch that all have left; the next may begin before all know
	Kind   string `json:"kind,omitempty"`   // of the failure
	Reason string `json:"reason,omitempty"` // of the failure
}

// failure is the state of an epoch that will not come further.
func (b *Barrier) failure(kind errs.Kind, reason string) state {
	return state{Epoch: b.epoch, Phase: failed, Kind: kind.String(), Reason: reason}
}

// over reports whether nobody waits for this epoch any more.
func (b *Barrier) over(s state) bool {
	return s.Epoch > b.epoch || s.Epoch == b.epoch && s.Phase >= left
}

func (b *Barrier) stateKey() coord.Key { return b.key + "/state" }

// part is the prefix of what participants write in a phase: enter to reach open, leave to reach left.
func (b *Barrier) part(p phase) string {
	verb := "enter"
	if p == left {
		verb = "leave"
	}
	return fmt.Sprintf("%s/%d/%s/", b.key, b.epoch, verb)
}

// Enter says that name is here, and waits until all are. It fails as the host's AwaitEnter does, or with
// errs.Canceled if ctx ends first, or with errs.Fenced if there is a later epoch.
func (b *Barrier) Enter(ctx context.Context, name string) error {
	return b.pass(ctx, "barrier.Enter", name, open)
}

// Leave says that name is done, and waits until all are. It fails like Enter.
func (b *Barrier) Leave(ctx context.Context, name string) error {
	return b.pass(ctx, "barrier.Leave", name, left)
}

func (b *Barrier) pass(ctx context.Context, op, name string, goal phase) error {
	key := coord.Key(b.part(goal) + name)
	// That it exists is from an earlier call whose answer was lost, or from an earlier life of name: it is here, all
	// the same.
	if _, err := b.c.Swap(ctx, key, 0, []byte{}); err != nil && !errors.Is(err, errs.Exist) {
		return errs.E(op, errs.Other, name, err)
	}
	for e, err := range b.c.Watch(ctx, string(b.stateKey())) {
		if err != nil {
			return errs.E(op, errs.Other, name, err)
		}
		if e.Key != b.stateKey() {
			continue
		}
		if done, err := b.outcome(e.Value, goal); err != nil {
			return errs.E(op, errs.Other, name, err)
		} else if done {
			return nil
		}
	}
	return errs.Errorf(op, errs.Internal, name, "the watch ended without an error")
}

// AwaitEnter waits until everybody in names has entered, and then lets all of them through. If ctx ends first, or
// somebody aborts, it fails, and so does everybody who waits: by a deadline with errs.Unavailable and the names of
// the missing.
func (b *Barrier) AwaitEnter(ctx context.Context, names []string) error {
	return b.host(ctx, "barrier.AwaitEnter", names, open)
}

// AwaitLeave waits until everybody in names has left, lets all of them go, and removes what they wrote. It fails like
// AwaitEnter.
func (b *Barrier) AwaitLeave(ctx context.Context, names []string) error {
	return b.host(ctx, "barrier.AwaitLeave", names, left)
}

// grace is how long a host whose ctx has ended may still take to tell the others.
const grace = 5 * time.Second

func (b *Barrier) host(ctx context.Context, op string, names []string, goal phase) error {
	missing := map[string]bool{}
	for _, n := range names {
		missing[n] = true
	}
	err := b.announce(ctx, state{Epoch: b.epoch, Phase: waiting})
	if err == nil {
		err = b.gather(ctx, missing, goal)
	}
	after, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer end()
	if err == nil { // nobody is missing, also if ctx ends now
		err = b.announce(after, state{Epoch: b.epoch, Phase: goal})
	}
	if err != nil && ctx.Err() != nil && len(missing) > 0 {
		reason := "missing: " + strings.Join(slices.Sorted(maps.Keys(missing)), ", ")
		err = errs.Errorf("", errs.Unavailable, nil, "%s: %w", reason, ctx.Err())
		err = errors.Join(err, b.announce(after, b.failure(errs.Unavailable, reason)))
	}
	b.clear(after, names)
	if err != nil {
		return errs.E(op, errs.Other, b.key, err)
	}
	return nil
}

// gather takes names out of missing as their keys appear.
func (b *Barrier) gather(ctx context.Context, missing map[string]bool, goal phase) error {
	part := b.part(goal)
	if len(missing) == 0 {
		return nil
	}
	for e, err := range b.c.Watch(ctx, string(b.key)+"/") {
		if err != nil {
			return err
		}
		if e.Key == b.stateKey() {
			if done, err := b.outcome(e.Value, goal); done || err != nil {
				return err // done: another host got there before us
			}
		}
		if name, ours := strings.CutPrefix(string(e.Key), part); ours && e.Value.Version != 0 {
			if delete(missing, name); len(missing) == 0 {
				return nil
			}
		}
	}
	return errs.Errorf("barrier.gather", errs.Internal, b.key, "the watch ended without an error")
}

// outcome reports whether a state is that of this epoch at goal or beyond, or why it will not come to that.
func (b *Barrier) outcome(v coord.Value, goal phase) (done bool, err error) {
	s, err := parse(v)
	switch {
	case err != nil:
		return false, err
	case s.Left == b.epoch:
		return true, nil
	case s.Epoch > b.epoch:
		return false, errs.Errorf("", errs.Fenced, nil, "epoch %d, while this is %d", s.Epoch, b.epoch)
	case s.Epoch == b.epoch && s.Phase == failed:
		return false, errs.Errorf("", errs.ParseKind(s.Kind), nil, "%s", s.Reason)
	}
	return s.Epoch == b.epoch && s.Phase >= goal, nil
}

// Abort fails this epoch for everybody, with errs.Canceled and the reason. After its end it does nothing.
func (b *Barrier) Abort(ctx context.Context, reason string) error {
	if err := b.announce(ctx, b.failure(errs.Canceled, reason)); err != nil {
		return errs.E("barrier.Abort", errs.Other, b.key, err)
	}
	return nil
}

// announce brings the state to next, unless it is there or beyond. It fails if the epoch has, except for news of a
// failure.
func (b *Barrier) announce(ctx context.Context, next state) error {
	for {
		v, err := b.c.Get(ctx, b.stateKey())
		if err != nil {
			return err
		}
		now, err := parse(v)
		if err != nil {
			return err
		}
		if next.Phase == failed && b.over(now) {
			return nil
		}
		if done, err := b.outcome(v, next.Phase); done || err != nil {
			return err
		}
		if next.Left = now.Left; now.Phase == left {
			next.Left = now.Epoch
		}
		data, err := json.Marshal(next)
		if err != nil {
			return errs.E("barrier.announce", errs.Internal, b.key, err)
		}
		if _, err = b.c.Swap(ctx, b.stateKey(), v.Version, data); !errors.Is(err, errs.Exist) {
			return err
		}
	}
}

// parse reads a state; an absent one is that of epoch 0.
func parse(v coord.Value) (s state, err error) {
	if v.Version == 0 {
		return state{}, nil
	}
	if err := json.Unmarshal(v.Data, &s); err != nil {
		return state{}, errs.E("barrier.state", errs.Corrupt, nil, err)
	}
	return s, nil
}

// clear removes what the participants wrote, if the epoch is over. What it fails to remove is a few bytes that nobody
// reads any more.
func (b *Barrier) clear(ctx context.Context, names []string) {
	v, err := b.c.Get(ctx, b.stateKey())
	if err != nil {
		return
	}
	if s, err := parse(v); err != nil || !b.over(s) {
		return
	}
	for _, p := range []phase{open, left} {
		for _, n := range names {
			key := coord.Key(b.part(p) + n)
			if v, err := b.c.Get(ctx, key); err == nil && v.Version != 0 {
				_, _ = b.c.Swap(ctx, key, v.Version, nil)
			}
		}
	}
}
