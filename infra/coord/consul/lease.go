package consul

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

const (
	leastTTL = time.Second      // of a session; shorter ones would end for nothing
	usualTTL = 10 * time.Second // what agents allow at least, if their session_ttl_min does not say another
	maxTTL   = 24 * time.Hour   // what they allow at most

	// lockDelay is how long Consul keeps a lock from others after its session was lost. 0 would mean Consul's default of
	// 15 s.
	lockDelay = time.Millisecond
	// again is how long to wait before another try at a lock that is free and yet was not given: it was just lost, or
	// another one was quicker.
	again = 20 * time.Millisecond
	// courtesy bounds what is cleaned up when nobody waits for it any more.
	courtesy = 5 * time.Second
)

// lease is a coord.Lease: a lock, and the session that has it.
type lease struct {
	c       *Coordinator
	key     coord.Key
	session string
	ttl     time.Duration // of the session
	token   uint64
	done    chan struct{}
	end     func() // closes done, and stops the renewals; once
	mu      struct {
		sync.Mutex
		released bool
	}
}

// Acquire implements coord.Coordinator. A session exists only while the lock seems free, so waiting costs nothing but a
// blocking query.
func (c *Coordinator) Acquire(ctx context.Context, key coord.Key, ttl time.Duration) (coord.Lease, error) {
	const op = "consul.Acquire"
	if err := coord.Begin(ctx, op, key); err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, errs.Errorf(op, errs.Invalid, key, "ttl %v", ttl)
	}
	ttl = min(max(ttl/2, leastTTL), maxTTL)
	for {
		if err := c.free(ctx, key); err != nil {
			return nil, fail(ctx, op, key, err)
		}
		l, err := c.try(ctx, key, ttl)
		if ttl < usualTTL && tooShort(err) {
			ttl = usualTTL
			continue
		}
		if err != nil {
			return nil, fail(ctx, op, key, err)
		}
		if l != nil {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return nil, errs.E(op, errs.Canceled, key, ctx.Err())
		case <-time.After(again):
		}
	}
}

// sessionName tells people, and successors, whose a session is.
func (c *Coordinator) sessionName(key coord.Key) string { return c.lease(key) + " of " + c.self }

// inherit ends a session if it is of this process's predecessor.
func (c *Coordinator) inherit(ctx context.Context, key coord.Key, session string) error {
	if c.self == "" {
		return nil
	}
	entry, _, err := c.client.Session().Info(session, read(ctx))
	if err != nil || entry == nil || entry.Name != c.sessionName(key) {
		return err
	}
	_, err = c.client.Session().Destroy(session, write(ctx))
	return err
}

// free waits until nobody has the lock.
func (c *Coordinator) free(ctx context.Context, key coord.Key) error {
	q := read(ctx)
	for {
		pair, meta, err := c.client.KV().Get(c.lease(key), q)
		if err != nil {
			return err
		}
		if pair == nil || pair.Session == "" {
			return nil
		}
		if err := c.inherit(ctx, key, pair.Session); err != nil {
			return err
		}
		q.WaitIndex, q.WaitTime = nextIndex(q.WaitIndex, meta), wait
	}
}

// tooShort reports whether Consul refuses a session for its TTL, which it says in words alone.
func tooShort(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && strings.HasPrefix(status.Body, "Invalid Session TTL")
}

// try takes the lock with a new session. It returns nil without an error if another one was quicker.
func (c *Coordinator) try(ctx context.Context, key coord.Key, ttl time.Duration) (*lease, error) {
	begun := time.Now()
	session, _, err := c.client.Session().CreateNoChecks(&api.SessionEntry{
		Name: c.sessionName(key), TTL: ttl.String(), LockDelay: lockDelay, Behavior: api.SessionBehaviorRelease,
	}, write(ctx))
	if err != nil {
		return nil, err
	}
	lock := api.KVTxnOps{{Verb: api.KVLock, Key: c.lease(key), Session: session}}
	ok, reply, err := c.transact(ctx, lock)
	if err != nil || !ok {
		// Whether the lock was got or not: without its session nobody has it. If this fails, the session's time does it.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), courtesy)
		defer cancel()
		_, _ = c.client.Session().Destroy(session, write(after))
		return nil, err
	}
	l := &lease{
		c: c, key: key, session: session, ttl: ttl, token: reply.Results[0].LockIndex, done: make(chan struct{}),
	}
	keeping, cancel := context.WithCancel(context.Background()) // ended by end
	l.end = sync.OnceFunc(func() {
		close(l.done)
		cancel()
	})
	go l.keep(keeping, begun, reply.Results[0].ModifyIndex)
	return l, nil
}

// keep renews the session until the lease ends, and ends it when it is lost: when Consul says so, or when nothing was
// heard for the session's time, counted from when the last renewal that was answered was sent.
func (l *lease) keep(ctx context.Context, renewed time.Time, index uint64) {
	defer l.end()
	for time.Since(renewed) < l.ttl {
		held, next, err := l.look(ctx, index, renewed)
		if err == nil && !held {
			return
		}
		index = next
		sent := time.Now()
		limited, cancel := context.WithDeadline(ctx, renewed.Add(l.ttl))
		entry, _, renewErr := l.c.client.Session().Renew(l.session, write(limited))
		cancel()
		switch {
		case renewErr == nil && entry == nil:
			return // the session is gone
		case renewErr == nil:
			renewed = sent
		}
		if err == nil && renewErr == nil {
			continue
		}
		select {
		case <-time.After(l.ttl / 20):
		case <-l.done:
			return
		}
	}
}

// look waits for a change of the lock, a third of the session's time, and reports whether it is still held.
func (l *lease) look(ctx context.Context, index uint64, renewed time.Time) (held bool, next uint64, err error) {
	ctx, cancel := context.WithDeadline(ctx, renewed.Add(l.ttl))
	defer cancel()
	q := read(ctx)
	q.WaitIndex, q.WaitTime = index, l.ttl/3
	pair, meta, err := l.c.client.KV().Get(l.c.lease(l.key), q)
	if err != nil {
		return false, index, err
	}
	return pair != nil && pair.Session == l.session, nextIndex(index, meta), nil
}

// Token implements coord.Lease.
func (l *lease) Token() uint64 { return l.token }

// Done implements coord.Lease.
func (l *lease) Done() <-chan struct{} { return l.done }

// Release implements coord.Lease: first the lock, which hands it over at once, then the session, whose end alone would
// put the lock-delay before the next holder. If it fails, it may be tried again; else the session's time does it.
func (l *lease) Release(ctx context.Context) error {
	const op = "consul.Release"
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.released {
		return nil
	}
	pair := &api.KVPair{Key: l.c.lease(l.key), Session: l.session}
	if _, _, err := l.c.client.KV().Release(pair, write(ctx)); err != nil { // false: it was lost before
		return fail(ctx, op, l.key, err)
	}
	if _, err := l.c.client.Session().Destroy(l.session, write(ctx)); err != nil {
		return fail(ctx, op, l.key, err)
	}
	l.mu.released = true
	return nil
}
