package am

import (
	"context"
	"fmt"
	"math"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// Share is what a job may have of machines that it shares with others: the application master negotiates with whoever
// divides them.
type Share interface {
	// Allowed sends how many executors the job may have, at first and at each change, until ctx ends. It must send one
	// number before the job gets any executor.
	Allowed(ctx context.Context) <-chan int
	// Want says how many executors the job could use, of which the others can have the rest.
	Want(ctx context.Context, count int) error
}

// unlimited is what a job may have that shares with nobody.
const unlimited = math.MaxInt

// grace is how long executors that have to give way may finish what they run, in milliseconds. Meanwhile they get
// nothing new.
const grace = 10_000

// want says how many executors the job could use.
type want struct{ count int }

func (d want) String() string { return fmt.Sprintf("want %d", d.count) }

// allow takes note of how many executors the job may have.
func (m *machine) allow(count int, now int64) {
	if count == m.allowed {
		return
	}
	m.allowed = count
	if m.ending {
		return
	}
	if m.scaled > count {
		m.leaveBy = now + grace
		m.decide(wake{m.leaveBy})
	}
	m.fit(now)
	m.schedule(now)
}

// fit asks for as many executors as the job wants and may have. It goes below what it has asked for when those that
// are too many have nothing to do any more, or had their grace.
func (m *machine) fit(now int64) {
	most := min(m.useful, m.allowed)
	if most > m.scaled || most < m.scaled && (now >= m.leaveBy || m.idle()) {
		m.scaled = most
		m.decide(scale{most})
	}
}

// idle reports whether all executors that have to give way are done.
func (m *machine) idle() bool {
	for _, e := range m.executors {
		if m.leaves(e) && len(e.running) > 0 {
			return false
		}
	}
	return true
}

// leaves reports whether an executor has to give way. The launcher stops those with the highest numbers.
func (m *machine) leaves(e *executor) bool {
	most := m.allowed
	if m.resized > 0 {
		most = min(most, m.ledger.executors)
	}
	c, err := launch.ParseContainer(e.id)
	return err == nil && c.Index >= most
}

// share tells the machine what the job may have, until ctx ends.
func (a *master) share(ctx context.Context) {
	if a.cfg.Share == nil {
		return
	}
	allowed := a.cfg.Share.Allowed(ctx)
	for {
		select {
		case count := <-allowed:
			a.step(func(m *machine, now int64) { m.allow(count, now) })
		case <-ctx.Done():
			return
		}
	}
}

// want says what the job could use, until ctx ends.
func (a *master) want(ctx context.Context) {
	for {
		counts, err := a.wants.take(ctx)
		if err != nil {
			return
		}
		err = patiently(ctx, func() error { return a.cfg.Share.Want(ctx, counts[len(counts)-1]) })
		if err != nil && ctx.Err() == nil { // it has as much as without asking
			a.cfg.Options.Log.Warn("saying how many executors are wanted", "error", err)
		}
	}
}
