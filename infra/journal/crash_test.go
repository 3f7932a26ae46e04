package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// stop makes a process stand still at its n-th call to the store, before or after it has its effect; from then on all
// its calls wait. Without resume they wait for ever: that is a crash.
type stop struct {
	n     int
	after bool

	mu      sync.Mutex
	calls   int
	reached bool
	resumed chan struct{}
}

func (s *stop) hook(ctx context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
	switch c.Op {
	case around.Commit, around.Open, around.List, around.Delete:
	default:
		return do(c.Data) // no call of its own to the store
	}
	s.mu.Lock()
	s.calls++
	here := s.calls == s.n
	waits := s.calls > s.n || here && !s.after
	s.reached = s.reached || here
	s.mu.Unlock()
	if waits {
		if err := s.wait(ctx); err != nil {
			return 0, err
		}
	}
	n, err := do(c.Data)
	if here && s.after {
		if stopped := s.wait(ctx); stopped != nil {
			return 0, stopped
		}
	}
	return n, err
}

func (s *stop) wait(ctx context.Context) error {
	select {
	case <-s.resumed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopped is a way to a store that a stop may end.
type stopped struct {
	store.Store
	stop *stop
	logs store.Logs
}

func newStopped(st *mem.Store, s *stop) store.Store { return stopped{around.New(st, s.hook), s, st} }

// CreateLog implements store.Logs.
func (s stopped) CreateLog(ctx context.Context, name store.Name) (store.Log, error) {
	return s.open(ctx, name, s.logs.CreateLog)
}

// OpenLog implements store.Logs.
func (s stopped) OpenLog(ctx context.Context, name store.Name) (store.Log, error) {
	return s.open(ctx, name, s.logs.OpenLog)
}

func (s stopped) open(ctx context.Context, name store.Name,
	open func(context.Context, store.Name) (store.Log, error)) (store.Log, error) {
	var l stoppedLog
	_, err := s.stop.hook(ctx, around.Call{Op: around.Open, Name: name}, func([]byte) (_ int, err error) {
		l.Log, err = open(ctx, name)
		return 0, err
	})
	l.append = func(p []byte) (at int64, err error) {
		_, err = s.stop.hook(ctx, around.Call{Op: around.Commit, Name: name}, func([]byte) (_ int, err error) {
			at, err = l.Log.Append(p)
			return 0, err
		})
		return at, err
	}
	return &l, err
}

type stoppedLog struct {
	store.Log
	append func([]byte) (int64, error)
}

// Append implements store.Log.
func (l *stoppedLog) Append(p []byte) (int64, error) { return l.append(p) }

// TestStoppedAtEveryCall stops a leader before and after each of its calls to the store, lets another one take over,
// and in half of the cases lets the first go on as if nothing had happened.
func TestStoppedAtEveryCall(t *testing.T) {
	for i := range 8 {
		comesBack, after, segments := i&1 != 0, i&2 != 0, i&4 != 0
		t.Run(fmt.Sprintf("comes back %v, after the call %v, segments %v", comesBack, after, segments), func(t *testing.T) {
			n := 1
			for reached := true; reached && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					s := &stop{n: n, after: after, resumed: make(chan struct{})}
					reached = stopAt(t, s, comesBack, journal.Options{CheckpointEntries: -1, Segments: segments})
				})
			}
			if n < 30 {
				t.Errorf("only %d calls were made", n)
			}
		})
	}
}

func stopAt(t *testing.T, s *stop, comesBack bool, o journal.Options) (reached bool) {
	truth, h := mem.New(), newHistory()
	appendTo := func(l *journal.Leader, state *values, record string) {
		if err := l.Append(t.Context(), []byte(record)); err == nil {
			h.ack(fmt.Sprint(l.Epoch()), record, state.place(record))
		} else if errors.Is(err, errs.Canceled) {
			h.deny(record)
		}
	}
	before := &values{}
	l := lead(t, truth, before, journal.Options{Segments: o.Segments})
	appendTo(l, before, "p0") // is left for the process under test to replay, and to truncate
	appendTo(l, before, "p1")

	ctx, crash := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() {
		state := &values{}
		l, err := journal.Lead(ctx, newStopped(truth, s), "j", state, o)
		if err != nil {
			return
		}
		context.AfterFunc(ctx, func() { _ = l.Close() })
		h.lead(l.Epoch())
		for i := range 3 {
			appendTo(l, state, fmt.Sprintf("a%d", 2*i))
			_ = l.Checkpoint(ctx)
			appendTo(l, state, fmt.Sprintf("a%d", 2*i+1)) // beside the truncation
		}
	})
	synctest.Wait() // it has come to its end, or to the stop

	state := &values{}
	second := lead(t, truth, state, o)
	h.lead(second.Epoch())
	appendTo(second, state, "b0")
	if err := second.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	appendTo(second, state, "b1")
	synctest.Wait()
	if comesBack {
		close(s.resumed)
		synctest.Wait()
	}
	appendTo(second, state, "b2")
	crash()
	first.Wait()
	if wrong := h.check(read(t, truth)); len(wrong) > 0 {
		t.Errorf("stopped at call %d:\n%s", s.n, strings.Join(wrong, "\n"))
	}
	return s.reached
}
