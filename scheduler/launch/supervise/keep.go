package supervise

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// keep runs one container, again and again as its group says, until it is over or ctx ends.
func (l *Launcher) keep(ctx context.Context, g launch.Group, index int) {
	delay := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(g.Restart.Delay),
		backoff.WithMaxInterval(max(g.Restart.Delay, g.Restart.MaxDelay)),
		backoff.WithMultiplier(2),
		backoff.WithMaxElapsedTime(0),
	)
	for left := g.Restart.Attempts; ; left-- {
		c := l.nextRun(g.ID, index)
		if ctx.Err() != nil { // stopped before it ran, or while it waited to run again
			l.tell(g.ID, launch.Event{Container: c, State: launch.Done})
			return
		}
		began := time.Now()
		exit := l.once(ctx, g, c)
		if g.Restart.Healthy > 0 && time.Since(began) >= g.Restart.Healthy {
			left = g.Restart.Attempts
			delay.Reset()
		}
		e := launch.Event{Container: c, State: launch.Exited, Exit: exit}
		switch {
		case exit.OK() || ctx.Err() != nil:
			e.State = launch.Done
		case left <= 0:
			e.State = launch.Failed
		}
		l.tell(g.ID, e)
		if e.State != launch.Exited {
			return
		}
		select {
		case <-time.After(delay.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// once runs a container from its start to its end.
func (l *Launcher) once(ctx context.Context, g launch.Group, c launch.Container) launch.Exit {
	p, err := l.start(g, c)
	if err != nil {
		return launch.Exit{Code: -1, Error: err.Error()}
	}
	l.tell(g.ID, launch.Event{Container: c, State: launch.Running})
	exit := make(chan launch.Exit, 1)
	go func() { exit <- p.Wait() }()
	select {
	case e := <-exit:
		return e
	case <-ctx.Done():
	}
	p.Terminate()
	grace := time.NewTimer(cmp.Or(g.Grace, launch.DefaultGrace))
	defer grace.Stop()
	select {
	case e := <-exit:
		return e
	case <-grace.C:
	}
	p.Kill()
	return <-exit
}

// nextRun names the next run of a container.
func (l *Launcher) nextRun(id launch.GroupID, index int) launch.Container {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := slot{id, index}
	n := l.mu.runs[s]
	l.mu.runs[s]++
	return launch.Container{Role: id.Role, Index: index, Restart: n}
}

// tell makes e the latest news of its container.
func (l *Launcher) tell(id launch.GroupID, e launch.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.version++
	l.mu.news[id][e.Container.Index] = news{e, l.mu.version}
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

// Watch implements launch.Launcher. The latest events of a stopped group are told until it is started again.
func (l *Launcher) Watch(ctx context.Context, id launch.GroupID) iter.Seq2[launch.Event, error] {
	return func(yield func(launch.Event, error) bool) {
		var seen uint64
		for {
			fresh, changed := l.since(id, seen)
			for _, n := range fresh {
				if !yield(n.Event, nil) {
					return
				}
				seen = n.version
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(launch.Event{}, errs.E("launch.Watch", errs.Canceled, id, ctx.Err()))
				return
			}
		}
	}
}

// since returns the news of a group after version seen, oldest first, and a channel that is closed when there are more.
func (l *Launcher) since(id launch.GroupID, seen uint64) (fresh []news, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.mu.news[id] {
		if n.version > seen {
			fresh = append(fresh, n)
		}
	}
	slices.SortFunc(fresh, func(a, b news) int { return cmp.Compare(a.version, b.version) })
	return fresh, l.mu.changed
}
