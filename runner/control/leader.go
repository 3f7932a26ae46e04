package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// leader is one leadership.
type leader struct {
	cfg   Config
	book  *book
	log   *journal.Leader
	since time.Time
	wake  chan struct{} // holds a token when there may be something to decide

	due []scheduler.JobID // whose allowances are to be carried out; for the goroutine of run

	mu struct {
		sync.Mutex
		view   fleet.View // of the last round
		hungry map[string]time.Time
		waits  map[scheduler.JobID]string
		herd   map[scheduler.JobID]*herded
		news   chan struct{} // closed and replaced when a job's turn may be another one
	}
}

// herded is a running job that has its shepherd.
type herded struct {
	kill     chan string   // holds a reason when somebody wants its end
	launched chan struct{} // closed when its application master was started
	gone     chan struct{} // closed when the job has left
}

func newLeader(cfg Config, b *book, j *journal.Leader) *leader {
	l := &leader{cfg: cfg, book: b, log: j, since: cfg.Options.Now().UTC(), wake: make(chan struct{}, 1)}
	l.mu.herd, l.mu.news = map[scheduler.JobID]*herded{}, make(chan struct{})
	return l
}

// nudge has a round of decisions made soon.
func (l *leader) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // the token is there already
	}
}

// append makes records durable, and so true.
func (l *leader) append(ctx context.Context, records ...roster.Record) error {
	var lines [][]byte
	for _, r := range records {
		line, err := r.Encode()
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	return l.log.Append(ctx, lines...)
}

// run makes decisions and carries them out, until ctx ends. It takes up what an earlier leader has begun.
func (l *leader) run(ctx context.Context) error {
	var herds sync.WaitGroup
	defer herds.Wait()
	for _, e := range l.entries() {
		if e.Running() {
			l.herd(ctx, &herds, e.Job)
		}
	}
	tick := time.NewTicker(l.cfg.Options.Every)
	defer tick.Stop()
	for {
		if err := l.round(ctx, &herds); err != nil {
			if ctx.Err() != nil || !errs.Retryable(err) {
				return err
			}
			l.cfg.Options.Log.Warn("a round of decisions", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-l.wake:
		}
	}
}

// most is how many machines there may be.
func (l *leader) most() int {
	if l.cfg.Most == nil {
		return 0
	}
	return l.cfg.Most()
}

// entries returns the jobs that are not over.
func (l *leader) entries() (all []roster.Entry) {
	l.book.read(func(r *roster.Roster) { all = r.Jobs() })
	return all
}

// round makes decisions, and carries them out once they are durable.
func (l *leader) round(ctx context.Context, herds *sync.WaitGroup) error {
	var running []scheduler.JobID
	for _, e := range l.entries() {
		if e.Running() {
			running = append(running, e.Job)
		}
	}
	view, err := l.cfg.Fleet.Look(ctx, running)
	if err != nil {
		return err
	}
	if err := l.note(ctx, view); err != nil {
		return err
	}
	l.mu.Lock()
	seen := roster.Seen{
		Now: l.cfg.Options.Now().UTC(), Total: view.Total, Rooms: view.Rooms, Alive: view.Alive, Hungry: l.mu.hungry,
	}
	l.mu.Unlock()
	if l.most() > view.Ready() {
		seen.Rooms = nil // nobody is refused for what is too small yet
	}
	var decided roster.Round
	l.book.read(func(r *roster.Roster) { decided = r.Decide(seen, l.cfg.Options.Queue) })
	if len(decided.Records) > 0 {
		if err := l.append(ctx, decided.Records...); err != nil {
			return err
		}
		l.nudge() // there may be more to decide
	}
	if view.Lacks != "" && view.Ready() == 0 {
		for id := range decided.Waits {
			decided.Waits[id] = view.Lacks
		}
	}
	l.mu.Lock()
	l.mu.view, l.mu.hungry, l.mu.waits = view, decided.Hungry, decided.Waits
	l.mu.Unlock()
	defer l.tell()
	for _, r := range decided.Records {
		if !slices.Contains(l.due, r.Allow.Job) {
			l.due = append(l.due, r.Allow.Job)
		}
	}
	return errors.Join(l.carryOut(ctx, herds), l.dismiss(ctx, decided.Refused))
}

// note writes down what jobs say they want.
func (l *leader) note(ctx context.Context, view fleet.View) error {
	var news []roster.Record
	for _, e := range l.entries() {
		if n, ok := view.Wants[e.Job]; ok && n != e.Want && n > 0 {
			news = append(news, roster.Record{Want: &roster.Want{Job: e.Job, Count: n}})
		}
	}
	if len(news) == 0 {
		return nil
	}
	return l.append(ctx, news...)
}

// carryOut does what is due. What fails is due again in the next round: nobody will decide it once more.
func (l *leader) carryOut(ctx context.Context, herds *sync.WaitGroup) (failed error) {
	due := l.due
	l.due = nil
	for _, id := range due {
		if err := l.allow(ctx, herds, id); err != nil {
			l.due, failed = append(l.due, id), errors.Join(failed, err)
		}
	}
	return failed
}

// allow starts the shepherd of a job that was admitted, or tells a running one what it may have.
func (l *leader) allow(ctx context.Context, herds *sync.WaitGroup, id scheduler.JobID) error {
	e, there := l.entry(id)
	if !there { // it has left meanwhile
		return nil
	}
	l.mu.Lock()
	_, runs := l.mu.herd[id]
	l.mu.Unlock()
	if runs {
		return l.cfg.Fleet.Allow(ctx, id, e.Allowed)
	}
	l.herd(ctx, herds, id)
	return nil
}

// dismiss ends jobs that wait: those that can never run, and those that somebody has killed.
func (l *leader) dismiss(ctx context.Context, refused map[scheduler.JobID]string) error {
	for _, e := range l.entries() {
		why, never := refused[e.Job]
		state := scheduler.JobFailed
		switch {
		case e.Running():
			continue
		case e.Kill != "":
			state, why = scheduler.JobKilled, e.Kill
		case !never:
			continue
		}
		job, err := l.cfg.Jobs.Get(ctx, e.Job)
		if err == nil {
			err = l.dispose(ctx, job, state, why)
		}
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
		if err := l.append(ctx, roster.Record{Leave: &roster.Leave{Job: e.Job}}); err != nil {
			return err
		}
	}
	return nil
}

// endAs ends a job that has no application master.
func (l *leader) endAs(ctx context.Context, job scheduler.Job, state scheduler.JobState, why string) (am.Report, error) {
	return am.End(ctx, l.cfg.Store, job, am.Ending{State: state, Why: why, Time: l.cfg.Options.Now()})
}

// dispose ends a job that has no application master, and removes what earlier ones and whoever submitted it have left
// with the fleet. What cannot be removed does not change that it is over.
func (l *leader) dispose(ctx context.Context, job scheduler.Job, state scheduler.JobState, why string) error {
	if _, err := l.endAs(ctx, job, state, why); err != nil {
		return err
	}
	if _, err := l.cfg.Fleet.Await(ctx, job); err != nil {
		l.cfg.Options.Log.Warn("removing what a job has left", "job", job.ID, "error", err)
	}
	return nil
}

// herd starts the shepherd of a job. Who wants its end finds the shepherd, or is found by it.
func (l *leader) herd(ctx context.Context, herds *sync.WaitGroup, id scheduler.JobID) {
	h := &herded{kill: make(chan string, 1), launched: make(chan struct{}), gone: make(chan struct{})}
	l.mu.Lock()
	l.mu.herd[id] = h
	l.mu.Unlock()
	if e, _ := l.entry(id); e.Kill != "" {
		h.end(e.Kill)
	}
	herds.Go(func() {
		defer l.nudge()
		defer l.tell()
		defer close(h.gone)
		err := l.shepherd(ctx, id, h)
		l.mu.Lock()
		delete(l.mu.herd, id)
		l.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			l.cfg.Options.Log.Error("a job is left alone until another control leads", "job", id, "error", err)
		}
	})
}

// end has a job killed.
func (h *herded) end(reason string) {
	select {
	case h.kill <- reason:
	default: // it was told already
	}
}

// shepherd sees a job from its admission to its end.
func (l *leader) shepherd(ctx context.Context, id scheduler.JobID, h *herded) error {
	log := l.cfg.Options.Log.With("job", id)
	var job scheduler.Job
	err := patiently(ctx, log, "launch", func() (err error) {
		if job, err = l.cfg.Jobs.Get(ctx, id); err != nil {
			return err
		}
		return l.launch(ctx, job)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // it cannot be started, nor will it ever
		log.Warn("launch", "error", err)
		job.ID = id // which is all that is known of one that cannot be read
		if _, err := l.endAs(ctx, job, scheduler.JobFailed, say.Sentence(err)); err != nil {
			return err
		}
	}
	close(h.launched)
	l.tell()
	watching, cancel := context.WithCancel(ctx)
	go l.killWhenTold(watching, id, h)
	defer cancel()
	if err := patiently(ctx, log, "watch", func() error {
		_, err := l.cfg.Fleet.Await(ctx, job)
		return err
	}); err != nil {
		return err
	}
	return l.append(ctx, roster.Record{Leave: &roster.Leave{Job: id}})
}

// launch starts a job's application master, unless the job is over.
func (l *leader) launch(ctx context.Context, job scheduler.Job) error {
	report, err := am.Load(ctx, l.cfg.Store, job)
	if err != nil || report.State.Final() {
		return err
	}
	e, _ := l.entry(job.ID)
	if err := l.cfg.Fleet.Launch(ctx, job, e.Allowed); err != nil {
		return err
	}
	if now, there := l.entry(job.ID); there && now.Allowed != e.Allowed { // decided meanwhile, and perhaps told too early
		return l.cfg.Fleet.Allow(ctx, job.ID, now.Allowed)
	}
	return nil
}

// killWhenTold kills a job when somebody wants that; it ends with ctx. The master may be one that is just being
// replaced.
func (l *leader) killWhenTold(ctx context.Context, id scheduler.JobID, h *herded) {
	var reason string
	select {
	case reason = <-h.kill:
	case <-ctx.Done():
		return
	}
	log := l.cfg.Options.Log.With("job", id)
	err := patiently(ctx, log, "kill", func() error { return l.cfg.Fleet.End(ctx, id, reason) })
	if err != nil && ctx.Err() == nil {
		log.Info("not killed", "error", err) // it is over, or past the point of no return
	}
}
