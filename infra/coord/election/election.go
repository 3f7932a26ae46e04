// Package election lets one of many candidates lead at a time, and tells everybody where it is.
//
//	candidate ── Acquire(key) ──▶ publish {address, token} ──▶ lead(ctx, token) ──▶ withdraw ──▶ Release
//	     ▲                                                         │
//	     └────────────── the lease was lost: ctx ends ─────────────┘
//
// The lease on the key decides who leads; the value of the key says who it is. A candidate that was paused may
// believe for a while that it leads, so what must not be done twice is guarded by the token, or by a journal's epoch.
package election

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// Campaign says what for and as whom a candidate stands.
type Campaign struct {
	Key     coord.Key
	TTL     time.Duration // how long after a leader's death another one may take over
	Address string        // where the leader is found; published while it leads
}

// Leader is who leads. The zero Leader is nobody.
type Leader struct {
	Address string `json:"address"`
	Token   uint64 `json:"token"` // the lease's: grows with every leader
}

// errLost ends the ctx of lead.
var errLost = errs.E("election", errs.Fenced, nil, errors.New("the lease is lost"))

// Run stands for election until ctx ends, and calls lead with the lease's token whenever it is elected. The ctx of
// lead ends when the lease is lost or ctx ends, and lead must then return; after a loss Run stands again. If lead
// returns by itself, the leadership is given up and Run returns what it returned. Passing trouble with the
// coordinator is waited out.
func Run(ctx context.Context, c coord.Coordinator, o Campaign, lead func(context.Context, uint64) error) error {
	for {
		var lease coord.Lease
		err := patiently(ctx, func() (err error) {
			lease, err = c.Acquire(ctx, o.Key, o.TTL)
			return err
		})
		if err != nil {
			return errs.E("election.Run", errs.Other, o.Key, err)
		}
		if lost, err := serve(ctx, c, o, lease, lead); !lost {
			return err
		}
	}
}

// serve is one leadership.
func serve(ctx context.Context, c coord.Coordinator, o Campaign, lease coord.Lease,
	lead func(context.Context, uint64) error) (lost bool, err error) {
	leading, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lease.Done():
			cancel(errLost)
		case <-leading.Done():
		}
	}()
	me := Leader{Address: o.Address, Token: lease.Token()}
	err = publish(leading, c, o.Key, me)
	if err == nil {
		err = lead(leading, lease.Token())
	}
	lost = errors.Is(context.Cause(leading), errLost) || errors.Is(err, errLost)
	cancel(nil)
	<-watched
	// What follows is courtesy, also when ctx has ended: without it observers and candidates wait for the TTL.
	after, end := context.WithTimeout(context.WithoutCancel(ctx), o.TTL)
	defer end()
	if !lost {
		_ = patiently(after, func() error { return withdraw(after, c, o.Key, me) })
	}
	_ = patiently(after, func() error { return lease.Release(after) })
	return lost, err
}

// publish makes me the known leader, unless a later one is known already.
func publish(ctx context.Context, c coord.Coordinator, key coord.Key, me Leader) error {
	data, err := json.Marshal(me)
	if err != nil {
		return errs.E("election.publish", errs.Internal, key, err)
	}
	return patiently(ctx, func() error {
		known, version, err := read(ctx, c, key)
		if err != nil {
			return err
		}
		if known.Token > me.Token {
			return errLost
		}
		_, err = c.Swap(ctx, key, version, data)
		return err
	})
}

// withdraw says that nobody leads, if the word is still about me.
func withdraw(ctx context.Context, c coord.Coordinator, key coord.Key, me Leader) error {
	known, version, err := read(ctx, c, key)
	if err != nil || known != me {
		return err
	}
	_, err = c.Swap(ctx, key, version, nil)
	return err
}

// patiently repeats f until it succeeds, fails for good, or ctx ends. Losing a Swap's race is worth another try as
// well.
func patiently(ctx context.Context, f func() error) error {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	return backoff.Retry(func() error {
		err := f()
		if err == nil || errs.Retryable(err) || errors.Is(err, errs.Exist) {
			return err
		}
		return backoff.Permanent(err)
	}, backoff.WithContext(pauses, ctx))
}

// Current returns who leads now, as far as is known; the zero Leader if nobody does.
func Current(ctx context.Context, c coord.Coordinator, key coord.Key) (Leader, error) {
	l, _, err := read(ctx, c, key)
	return l, err
}

func read(ctx context.Context, c coord.Coordinator, key coord.Key) (Leader, coord.Version, error) {
	v, err := c.Get(ctx, key)
	if err != nil {
		return Leader{}, 0, err
	}
	l, err := parse(key, v)
	return l, v.Version, err
}

// parse reads a value of the key; an absent one is nobody.
func parse(key coord.Key, v coord.Value) (l Leader, err error) {
	if v.Version == 0 {
		return Leader{}, nil
	}
	if err := json.Unmarshal(v.Data, &l); err != nil {
		return Leader{}, errs.E("election.read", errs.Corrupt, key, err)
	}
	return l, nil
}

// Watch yields who leads, and then each change; quick ones may be left out. While nobody has led yet it yields
// nothing, and when a leader withdraws the zero Leader. It ends after the first error; ctx's end is one.
func Watch(ctx context.Context, c coord.Coordinator, key coord.Key) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		for e, err := range c.Watch(ctx, string(key)) {
			if err == nil && e.Key != key {
				continue // a longer key
			}
			var l Leader
			if err == nil {
				l, err = parse(key, e.Value)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}
