//go:build unix

package dir

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/internal/changes"
	"github.com/seed3322913c/runner/infra/errs"
)

// How often a watch reads the directory anew: with the kernel's notifications only in case one was lost, without them
// (a user may have only so many) to see anything at all.
const (
	rescanNotified = 2 * time.Second
	rescanBlind    = 50 * time.Millisecond
)

// watch is one loop over Watch.
type watch struct {
	c      *Coordinator
	prefix string
	began  bool
	events <-chan fsnotify.Event // nil when there are no notifications
	errors <-chan error
	rescan <-chan time.Time
}

// Watch implements coord.Coordinator.
func (c *Coordinator) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		w := &watch{c: c, prefix: prefix}
		every := rescanBlind
		if n, err := c.notifications(); err == nil {
			defer n.Close()
			w.events, w.errors, every = n.Events, n.Errors, rescanNotified
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		w.rescan = tick.C
		changes.Events(func() (changes.Hint, error) { return w.next(ctx) },
			func(key coord.Key) (coord.Value, error) { return c.Get(ctx, key) })(yield)
	}
}

// notifications begins to collect what happens to the values.
func (c *Coordinator) notifications() (*fsnotify.Watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := n.Add(c.values()); err != nil {
		_ = n.Close() // it has nothing to lose
		return nil, err
	}
	return n, nil
}

// next waits for a hint.
func (w *watch) next(ctx context.Context) (changes.Hint, error) {
	if !w.began {
		w.began = true // the notifications began before, so nothing is missed
		return w.all()
	}
	for {
		select {
		case e := <-w.events:
			if key := keyOf(filepath.Base(e.Name)); strings.HasPrefix(string(key), w.prefix) && key.Check() == nil {
				return changes.Hint{Keys: []coord.Key{key}}, nil
			}
		case <-w.errors:
			return w.all() // whatever it was (too many events at once, as a rule), hints may be lost
		case <-w.rescan:
			return w.all()
		case <-ctx.Done():
			return changes.Hint{}, errs.E("dir.Watch", errs.Canceled, w.prefix, ctx.Err())
		}
	}
}

// all lists the keys that exist.
func (w *watch) all() (changes.Hint, error) {
	entries, err := os.ReadDir(w.c.values())
	if err != nil {
		return changes.Hint{}, errs.E("dir.Watch", errs.Other, w.prefix, err)
	}
	hint := changes.Hint{All: true}
	for _, e := range entries {
		if key := keyOf(e.Name()); strings.HasPrefix(string(key), w.prefix) && key.Check() == nil {
			hint.Keys = append(hint.Keys, key)
		}
	}
	return hint, nil
}
