//go:build unix

package dir

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// lease is a coord.Lease: a locked file.
type lease struct {
	file  *counter
	token uint64
	done  chan struct{}
	end   func() // closes done, then unlocks; once
}

// Acquire implements coord.Coordinator. The kernel keeps the lease alive; ttl is how long it may take to notice that
// the lease's file was removed, which ends it.
func (c *Coordinator) Acquire(ctx context.Context, key coord.Key, ttl time.Duration) (coord.Lease, error) {
	const op = "dir.Acquire"
	if err := coord.Begin(ctx, op, key); err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, errs.Errorf(op, errs.Invalid, key, "ttl %v", ttl)
	}
	path := filepath.Join(c.leases(), fileName(key))
	file, err := lock(ctx, path, leasePause)
	if err != nil {
		return nil, errs.E(op, errs.Other, key, err)
	}
	token, err := file.increase(0)
	if err != nil {
		file.unlock()
		return nil, errs.E(op, errs.Other, key, err)
	}
	l := &lease{file: file, token: token, done: make(chan struct{})}
	l.end = sync.OnceFunc(func() {
		close(l.done)
		file.unlock()
	})
	go l.guard(path, max(ttl/3, time.Millisecond))
	return l, nil
}

// Held reports whether somebody holds a lease on key. Unlike an Acquire that is given up soon, it does not depend on how
// busy the machine is: it looks once, and those who look at the same time are not in each other's way.
func (c *Coordinator) Held(ctx context.Context, key coord.Key) (bool, error) {
	const op = "dir.Held"
	if err := coord.Begin(ctx, op, key); err != nil {
		return false, err
	}
	held, err := locked(filepath.Join(c.leases(), fileName(key)))
	if err != nil {
		return false, errs.E(op, errs.Other, key, err)
	}
	return held, nil
}

// guard ends the lease when its file is gone: somebody has cleared the directory, and others may lock a new file.
func (l *lease) guard(path string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !l.file.named(path) {
				l.end()
			}
		case <-l.done:
			return
		}
	}
}

// Token implements coord.Lease.
func (l *lease) Token() uint64 { return l.token }

// Done implements coord.Lease.
func (l *lease) Done() <-chan struct{} { return l.done }

// Release implements coord.Lease.
func (l *lease) Release(context.Context) error {
	l.end()
	return nil
}
