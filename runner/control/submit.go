package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/queue"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// Submit takes a job and lets it wait for its turn. The same key gives the same job, however often it is said, and also
// if an earlier leader has heard it first: the job's id is made of the key.
func (s *Server) Submit(ctx context.Context, sub client.Submission) (scheduler.JobID, error) {
	l, err := s.leading()
	if err != nil {
		return "", err
	}
	job, err := s.compile(ctx, sub)
	if err != nil {
		return "", err
	}
	known, err := s.record(ctx, job)
	if err != nil {
		return "", err
	}
	if known.Name != job.Name || known.Kind != job.Kind || known.Output != job.Output {
		return "", say.Errorf(errs.Exist, "the key of this job was used for another one, %s", known.ID)
	}
	return job.ID, l.enter(ctx, known, sub.Env)
}

// record writes a job down that nothing is wrong with, unless it was before: then its output may be there by now.
func (s *Server) record(ctx context.Context, job scheduler.Job) (scheduler.Job, error) {
	known, err := s.cfg.Jobs.Get(ctx, job.ID)
	if errs.KindOf(err) != errs.NotFound {
		return known, err
	}
	if wrong := s.cfg.Check(ctx, job); wrong != nil {
		if known, err = s.cfg.Jobs.Get(ctx, job.ID); err == nil { // said twice at once: the other is what is in its way
			return known, nil
		}
		return job, wrong
	}
	if err := s.cfg.Jobs.SubmitAs(ctx, job); err != nil {
		return job, err
	}
	return s.cfg.Jobs.Get(ctx, job.ID) // somebody else may have been quicker
}

// compile makes a job with an id of what was submitted.
func (s *Server) compile(ctx context.Context, sub client.Submission) (job scheduler.Job, err error) {
	switch {
	case (sub.Job == nil) == (len(sub.Spec) == 0):
		return job, say.Errorf(errs.Invalid, "say what to run: either spec or job")
	case sub.Job != nil:
		job = *sub.Job
	default:
		if job, err = s.cfg.Compile(sub.Spec); err != nil {
			return job, err
		}
	}
	// Who may do everything may submit for others.
	if by := api.CallerOf(ctx); by.Name != "" && (by.Role < access.Admin || job.User == "") {
		job.User = by.Name
	}
	if job.Submitted.IsZero() {
		job.Submitted = s.cfg.Options.Now().UTC()
	}
	switch {
	case job.ID != "":
		_, err = scheduler.ParseJobID(string(job.ID))
	case sub.Key != "":
		job.ID = keyed(sub.Key, job.Name)
	default:
		job.ID, err = s.cfg.Jobs.NewID(ctx, job.Name)
	}
	return job, err
}

// keyed is the id of a job that was submitted with a key.
func keyed(key, name string) scheduler.JobID {
	sum := sha256.Sum256([]byte(name + "\x00" + key))
	return scheduler.JobID(strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5])) + "-" + name)
}

// NewID draws an id for a job, or a chain, of a name; no other begins like it.
func (s *Server) NewID(ctx context.Context, name string) (scheduler.JobID, error) {
	if _, err := s.leading(); err != nil {
		return "", err
	}
	return s.cfg.Jobs.NewID(ctx, spec.CleanName(name))
}

// Resume lets a job wait for its turn that is recorded, and on which nobody works: a new one, or one that was cut off.
func (s *Server) Resume(ctx context.Context, id scheduler.JobID, env map[string]string) error {
	l, err := s.leading()
	if err != nil {
		return err
	}
	job, err := s.cfg.Jobs.Find(ctx, string(id))
	if err != nil {
		return err
	}
	return l.enter(ctx, job, env)
}

// enter puts a job on the roster, unless it is there, or over.
func (l *leader) enter(ctx context.Context, job scheduler.Job, env map[string]string) error {
	if _, there := l.entry(job.ID); there {
		return nil
	}
	report, err := am.Load(ctx, l.cfg.Store, job)
	if err != nil || report.State.Final() {
		return err
	}
	e, err := l.newEntry(job)
	if err != nil {
		return err
	}
	if keeper, ok := l.cfg.Fleet.(Keeper); ok {
		if err := keeper.Keep(ctx, job.ID, env); err != nil {
			return err
		}
	}
	if err := l.append(ctx, roster.Record{Enter: &e}); err != nil {
		return err
	}
	l.nudge()
	return nil
}

func (l *leader) entry(id scheduler.JobID) (e roster.Entry, ok bool) {
	l.book.read(func(r *roster.Roster) { e, ok = r.Get(id) })
	return e, ok
}

// newEntry says what a job asks for.
func (l *leader) newEntry(job scheduler.Job) (roster.Entry, error) {
	l.mu.Lock()
	machines := max(l.mu.view.Ready(), l.most())
	l.mu.Unlock()
	want, gang := l.cfg.Size(job, max(1, machines)*max(1, job.Resources.CPU)) // an executor on each machine, or more
	e := roster.Entry{
		Job: job.ID, User: job.User, Priority: job.Priority, Entered: l.cfg.Options.Now().UTC(), Want: want, Gang: gang,
		Ask: queue.Resources{
			Cores: int64(max(1, job.Resources.CPU)), Memory: job.Resources.Memory, GPUs: int64(job.Resources.GPUs),
		},
	}
	var leaves []string
	l.book.read(func(r *roster.Roster) { leaves = r.Tree().Leaves() })
	name := cmp.Or(job.Queue, "default")
	for _, leaf := range leaves {
		if leaf == name {
			e.Queue = leaf
			return e, nil
		}
	}
	return e, say.Errorf(errs.Invalid, "there is no queue %q that takes jobs.%s `runner queues` lists them", name,
		say.DidYouMean(name, leaves))
}

// patience is how long a kill is waited for.
const patience = 10 * time.Second

// Kill ends a job, and waits a little for that.
func (s *Server) Kill(ctx context.Context, job scheduler.Job, reason string) (embedded.Status, error) {
	l, err := s.leading()
	if err != nil {
		return embedded.Status{}, err
	}
	before, err := s.Status(ctx, job)
	if err != nil {
		return before, err
	}
	if before.State.Final() {
		return before, say.Errorf(errs.Invalid, "job %s is over already: %s", job.ID, before.State)
	}
	if _, there := l.entry(job.ID); !there { // it was cut off
		if err := l.dispose(ctx, job, scheduler.JobKilled, reason); err != nil {
			return before, err
		}
		return s.Status(ctx, job)
	}
	if err := l.append(ctx, roster.Record{Kill: &roster.Kill{Job: job.ID, Why: reason}}); err != nil {
		return before, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.mu.Lock()
	h := l.mu.herd[job.ID]
	l.mu.Unlock()
	if h != nil {
		h.end(reason)
		select {
		case <-h.gone:
		case <-limited.Done():
		}
		return s.Status(ctx, job)
	}
	for l.nudge(); limited.Err() == nil; {
		if _, there := l.entry(job.ID); !there {
			break
		}
		_ = pause(limited, 20*time.Millisecond) // its end is that of the loop
	}
	return s.Status(ctx, job)
}
