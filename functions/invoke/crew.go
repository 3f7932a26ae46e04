package invoke

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// Crew sees to it that a number of processes take the events of a version, each of them with Work, on whatever machine
// there is room: they come to the host with Host.Attach. It may be told the same number again, and then replaces what
// has ended for good; none ends all of them. It is not called twice at once for one version.
type Crew func(ctx context.Context, v pack.Version, n int) error

// handlers answer the events of one version.
type handlers interface {
	// call has an event answered, as soon as a handler is free. took is how long that one needed. log gets what it says.
	call(ctx context.Context, call wire.Call, event []byte, log io.WriteCloser) (
		result []byte, took time.Duration, err error)
	// size says how many handlers there are.
	size() int
	// close ends all of them, and returns when they have ended.
	close()
}

// crew has the handlers of one version in processes elsewhere: as many as there are events for, at most the manifest's
// concurrency, and none when there has been no event for a while.
type crew struct {
	version pack.Version
	set     Crew
	onError func(error)
	slots   chan struct{} // holds one for each event that is being worked on
	changed chan struct{} // holds one when manage should look
	ended   chan struct{} // closed when manage has
	mu      struct {
		sync.Mutex
		seats   map[*seat]bool
		idle    []*seat      // by index
		waiting []chan *seat // who waits for one that is idle
		most    [2]int       // events at once: in this span of time, and in the one before
		turned  time.Time    // when this span began
		closed  bool
	}
}

func newCrew(v pack.Version, set Crew, onError func(error)) *crew {
	c := &crew{
		version: v, set: set, onError: onError, slots: make(chan struct{}, v.Manifest.Concurrency),
		changed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	c.mu.seats, c.mu.turned = map[*seat]bool{}, time.Now()
	go c.manage()
	return c
}

// maxLost is how often an event is given to another process when the one that had it is lost, before that counts as an
// attempt: it may be the event that kills them.
const maxLost = 3

func (c *crew) call(
	ctx context.Context, call wire.Call, event []byte, log io.WriteCloser,
) (result []byte, took time.Duration, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, 0, errs.E("invoke.call", errs.Canceled, c.version, context.Cause(ctx))
	}
	limit := time.Duration(c.version.Manifest.Timeout)
	for range maxLost {
		s, err := c.take(ctx)
		if err != nil {
			return nil, 0, err
		}
		s.log.point(log)
		began := time.Now()
		result, err = s.call(ctx, call, event, limit)
		took = time.Since(began)
		c.give(s)
		if err != errLost {
			return result, took, err
		}
	}
	return nil, took, errs.Errorf("", errs.Failed, nil, "%d machines or processes that worked on it were lost", maxLost)
}

// Attach makes a connection one that events of a package are handed to. index is the number of its process.
func (h *Host) Attach(sum string, index int, conn net.Conn) error {
	h.mu.Lock()
	p, ok := h.mu.pools[sum].(*crew)
	h.mu.Unlock()
	if !ok {
		return errs.Errorf("invoke.Attach", errs.NotFound, sum, "no event was for it")
	}
	p.attach(&seat{line: newLine(conn), index: index, log: &logSwitch{}, answers: make(chan frame, 1),
		gone: make(chan struct{})})
	return nil
}

func (c *crew) attach(s *seat) {
	c.mu.Lock()
	closed := c.mu.closed
	if !closed {
		c.mu.seats[s] = true
	}
	c.mu.Unlock()
	if closed {
		_ = s.Close() // nothing was said
		return
	}
	go func() {
		s.read()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.mu.seats, s)
		c.mu.idle = slices.DeleteFunc(c.mu.idle, func(other *seat) bool { return other == s })
	}()
	c.give(s)
}

// take returns a process that waits, or the next to do so.
func (c *crew) take(ctx context.Context) (*seat, error) {
	c.mu.Lock()
	c.mu.most[0] = max(c.mu.most[0], len(c.slots))
	if len(c.mu.idle) > 0 {
		s := c.mu.idle[0]
		c.mu.idle = c.mu.idle[1:]
		c.mu.Unlock()
		return s, nil
	}
	next := make(chan *seat, 1)
	c.mu.waiting = append(c.mu.waiting, next)
	c.mu.Unlock()
	c.nudge()
	select {
	case s := <-next:
		return s, nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.mu.waiting = slices.DeleteFunc(c.mu.waiting, func(other chan *seat) bool { return other == next })
	c.mu.Unlock()
	select {
	case s := <-next: // at the last moment
		c.give(s)
	default:
	}
	return nil, errs.E("invoke.call", errs.Canceled, c.version, context.Cause(ctx))
}

// give hands a process to who waits longest, or lets it wait itself; one that is gone is forgotten.
func (c *crew) give(s *seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-s.gone:
		return
	default:
	}
	if len(c.mu.waiting) > 0 {
		c.mu.waiting[0] <- s // has room for one, and gets one
		c.mu.waiting = c.mu.waiting[1:]
		return
	}
	at, _ := slices.BinarySearchFunc(c.mu.idle, s.index, func(other *seat, index int) int { return other.index - index })
	c.mu.idle = slices.Insert(c.mu.idle, at, s)
}

func (c *crew) nudge() {
	select {
	case c.changed <- struct{}{}:
	default: // it will look anyway
	}
}

func (c *crew) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.seats)
}

const (
	lookAgain = time.Second      // at how many processes there should be
	setAgain  = 15 * time.Second // of processes that somebody waits for: what was started may have ended for good
	setTime   = time.Minute      // that it may take to say how many there should be
)

// manage keeps as many processes as are wanted, until the crew is closed.
func (c *crew) manage() {
	defer close(c.ended)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	had, told := 0, time.Now()
	for {
		select {
		case <-c.changed:
		case <-tick.C:
		}
		want, needed, closed := c.wanted(time.Now())
		if want != had || needed && time.Since(told) > setAgain || closed {
			ctx, cancel := context.WithTimeout(context.Background(), setTime)
			err := c.set(ctx, c.version, want)
			cancel()
			if err == nil {
				had = want
			} else {
				c.onError(err)
			}
			told = time.Now()
		}
		if closed {
			return
		}
	}
}

// wanted says how many processes there should be: as many as there were events at once not long ago. needed: somebody
// waits for one.
func (c *crew) wanted(now time.Time) (n int, needed, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return 0, false, true
	}
	if now.Sub(c.mu.turned) >= time.Duration(c.version.Manifest.Idle) {
		c.mu.most[1], c.mu.most[0], c.mu.turned = c.mu.most[0], 0, now
	}
	c.mu.most[0] = max(c.mu.most[0], len(c.slots))
	return max(c.mu.most[0], c.mu.most[1]), len(c.mu.waiting) > 0, false
}

// close ends all processes.
func (c *crew) close() {
	c.mu.Lock()
	c.mu.closed = true
	seats := c.mu.seats
	c.mu.seats, c.mu.idle = map[*seat]bool{}, nil
	c.mu.Unlock()
	for s := range seats {
		_ = s.Close() // nobody waits for an answer any more
	}
	c.nudge()
	<-c.ended
}
