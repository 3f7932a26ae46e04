// Package mem coordinates the goroutines of one process: for tests, and as the plainest reading of the contract.
//
// New makes an empty space; Client gives further handles to it, as other processes would have. A handle can be cut off
// (Partition), and a lease ended (Expire), to see what its holder makes of it. Time is package time's, so in a
// testing/synctest bubble it is the bubble's.
package mem

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/internal/changes"
	"github.com/seed3322913c/runner/infra/errs"
)

// Coordinator is a coord.Coordinator: one client's handle to a space.
type Coordinator struct {
	space *space
	cut   bool // guarded by space.mu: this client reaches nobody
}

// space is what all clients share.
type space struct {
	mu       sync.Mutex
	values   map[coord.Key]coord.Value
	version  coord.Version // of the last change of any key
	lines    map[coord.Key]*line
	watchers map[*watcher]struct{}
}

// line is the lease on one key, and who waits for it.
type line struct {
	token   uint64 // of the newest lease
	holder  *lease // nil if nobody holds it
	waiting []*waiter
}

// waiter is one call of Acquire. got receives its lease, or is closed if its client was cut off.
type waiter struct {
	client *Coordinator
	ttl    time.Duration
	got    chan *lease
}

// watcher is one loop over Watch.
type watcher struct {
	client *Coordinator
	prefix string
	dirty  map[coord.Key]struct{} // guarded by space.mu: changed since the last look
	wake   chan struct{}          // holds a token when dirty is not empty, or the client was cut off
}

func (w *watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default: // there is a token already
	}
}

// New returns the first handle to an empty space.
func New() *Coordinator {
	return &Coordinator{space: &space{
		values: map[coord.Key]coord.Value{}, lines: map[coord.Key]*line{}, watchers: map[*watcher]struct{}{},
	}}
}

// Client returns another handle to the same space.
func (c *Coordinator) Client() *Coordinator { return &Coordinator{space: c.space} }

// Partition cuts this handle off: its calls fail with errs.Unavailable, also those that wait, and its leases end when
// their ttl has passed.
func (c *Coordinator) Partition() {
	s := c.space
	s.mu.Lock()
	defer s.mu.Unlock()
	c.cut = true
	for _, l := range s.lines {
		l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
			if w.client == c {
				close(w.got)
			}
			return w.client == c
		})
		if h := l.holder; h != nil && h.client == c && h.expiry == nil {
			h.expiry = time.AfterFunc(h.ttl, h.lose)
		}
	}
	for w := range s.watchers {
		if w.client == c {
			w.nudge()
		}
	}
}

// Heal ends a Partition. Leases whose ttl has not passed go on.
func (c *Coordinator) Heal() {
	s := c.space
	s.mu.Lock()
	defer s.mu.Unlock()
	c.cut = false
	for _, l := range s.lines {
		if h := l.holder; h != nil && h.client == c && h.expiry != nil {
			h.expiry.Stop() // if it has fired, lose waits for our lock and ends a lease that was late: as it may be
			h.expiry = nil
		}
	}
}

// Expire ends the lease on key, whoever holds it, as if its ttl had passed. It reports whether there was one.
func (c *Coordinator) Expire(key coord.Key) bool {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	l := c.space.lines[key]
	if l == nil || l.holder == nil {
		return false
	}
	l.holder.endLocked()
	return true
}

// checkLocked refuses what no driver may grant, and everything while the client is cut off.
func (c *Coordinator) checkLocked(ctx context.Context, op string, key coord.Key) error {
	if err := coord.Begin(ctx, op, key); err != nil {
		return err
	}
	if c.cut {
		return errs.Errorf(op, errs.Unavailable, key, "partitioned")
	}
	return nil
}

// Acquire implements coord.Coordinator. Those who wait get the lease in the order in which they came.
func (c *Coordinator) Acquire(ctx context.Context, key coord.Key, ttl time.Duration) (coord.Lease, error) {
	const op = "mem.Acquire"
	if ttl <= 0 {
		return nil, errs.Errorf(op, errs.Invalid, key, "ttl %v", ttl)
	}
	s := c.space
	w := &waiter{client: c, ttl: ttl, got: make(chan *lease, 1)}
	s.mu.Lock()
	if err := c.checkLocked(ctx, op, key); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	l := s.lines[key]
	if l == nil {
		l = &line{}
		s.lines[key] = l
	}
	l.waiting = append(l.waiting, w)
	s.grantLocked(l)
	s.mu.Unlock()

	select {
	case h := <-w.got:
		if h == nil {
			return nil, errs.Errorf(op, errs.Unavailable, key, "partitioned")
		}
		return h, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case h := <-w.got: // it came at the same time
		if h != nil {
			h.endLocked()
		}
	default:
		l.waiting = slices.DeleteFunc(l.waiting, func(other *waiter) bool { return other == w })
	}
	return nil, errs.E(op, errs.Canceled, key, ctx.Err())
}

// grantLocked gives a free lease to the first in line.
func (s *space) grantLocked(l *line) {
	if l.holder != nil || len(l.waiting) == 0 {
		return
	}
	w := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.token++
	l.holder = &lease{line: l, client: w.client, token: l.token, ttl: w.ttl, done: make(chan struct{})}
	w.got <- l.holder
}

// Get implements coord.Coordinator.
func (c *Coordinator) Get(ctx context.Context, key coord.Key) (coord.Value, error) {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	if err := c.checkLocked(ctx, "mem.Get", key); err != nil {
		return coord.Value{}, err
	}
	return c.space.values[key], nil
}

// Swap implements coord.Coordinator.
func (c *Coordinator) Swap(ctx context.Context, key coord.Key, old coord.Version, next []byte) (coord.Version, error) {
	const op = "mem.Swap"
	if len(next) > coord.MaxValue {
		return 0, errs.Errorf(op, errs.Invalid, key, "%d bytes, %d allowed", len(next), coord.MaxValue)
	}
	s := c.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.checkLocked(ctx, op, key); err != nil {
		return 0, err
	}
	if now := s.values[key].Version; now != old {
		return 0, errs.Errorf(op, errs.Exist, key, "version is %d, not %d", now, old)
	}
	s.version++ // one counter for all keys, so that no key's versions repeat after a deletion
	for w := range s.watchers {
		if strings.HasPrefix(string(key), w.prefix) {
			w.dirty[key] = struct{}{}
			w.nudge()
		}
	}
	if next == nil {
		delete(s.values, key)
		return 0, nil
	}
	s.values[key] = coord.Value{Data: bytes.Clone(next), Version: s.version}
	return s.version, nil
}

// Watch implements coord.Coordinator.
func (c *Coordinator) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		s := c.space
		w := &watcher{client: c, prefix: prefix, dirty: map[coord.Key]struct{}{}, wake: make(chan struct{}, 1)}
		s.mu.Lock()
		for key := range s.values {
			if strings.HasPrefix(string(key), prefix) {
				w.dirty[key] = struct{}{}
			}
		}
		w.nudge()
		s.watchers[w] = struct{}{}
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.watchers, w)
		}()
		changes.Events(func() (changes.Hint, error) { return w.next(ctx) },
			func(key coord.Key) (coord.Value, error) { return c.Get(ctx, key) })(yield)
	}
}

// next waits for changes.
func (w *watcher) next(ctx context.Context) (changes.Hint, error) {
	const op = "mem.Watch"
	select {
	case <-w.wake:
	case <-ctx.Done():
		return changes.Hint{}, errs.E(op, errs.Canceled, w.prefix, ctx.Err())
	}
	w.client.space.mu.Lock()
	defer w.client.space.mu.Unlock()
	if w.client.cut {
		return changes.Hint{}, errs.Errorf(op, errs.Unavailable, w.prefix, "partitioned")
	}
	keys := slices.Collect(maps.Keys(w.dirty))
	clear(w.dirty)
	return changes.Hint{Keys: keys}, nil
}

// lease is a coord.Lease.
type lease struct {
	line   *line
	client *Coordinator
	token  uint64
	ttl    time.Duration
	done   chan struct{}
	expiry *time.Timer // guarded by space.mu: runs while the client is cut off
}

// Token implements coord.Lease.
func (h *lease) Token() uint64 { return h.token }

// Done implements coord.Lease.
func (h *lease) Done() <-chan struct{} { return h.done }

// Release implements coord.Lease. While the client is cut off it fails, and the lease ends when its ttl has passed.
func (h *lease) Release(context.Context) error {
	h.client.space.mu.Lock()
	defer h.client.space.mu.Unlock()
	if h.line.holder == h && h.client.cut {
		return errs.Errorf("mem.Release", errs.Unavailable, nil, "partitioned")
	}
	h.endLocked()
	return nil
}

// lose is the end of a lease that could not be renewed.
func (h *lease) lose() {
	h.client.space.mu.Lock()
	defer h.client.space.mu.Unlock()
	h.endLocked()
}

func (h *lease) endLocked() {
	if h.line.holder != h {
		return
	}
	h.line.holder = nil
	close(h.done)
	h.client.space.grantLocked(h.line)
}
