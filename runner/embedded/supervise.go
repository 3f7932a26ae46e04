package embedded

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/cache"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/local"
	"github.com/seed3322913c/runner/scheduler/launch/remote"
)

// Options may all be left zero.
type Options struct {
	Show  func(am.Report) // is told how the job goes
	Say   func(string)    // is told what else people should know, a line each
	Ready func()          // is called once, when the job is in the hands of this process
	Kill  string          // a reason: the job is taken up only to be killed
}

// Supervise runs a recorded job to its end and returns its last report. When ctx ends, the job is killed, unless it is
// past the point of no return. When Supervise returns, no process of the job is left. With an error the job is
// unfinished and can be supervised again; finished tasks are kept.
func (h *Home) Supervise(ctx context.Context, job scheduler.Job, o Options) (am.Report, error) {
	if o.Show == nil {
		o.Show = func(am.Report) {}
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	work := context.WithoutCancel(ctx) // what was recorded is ended in order
	lease, err := h.hold(work, job.ID)
	if err != nil {
		return am.Report{}, err
	}
	defer lease.Release(work) // on failure the kernel takes it back when this process ends
	if away(job) {
		return h.superviseAway(ctx, job, o)
	}
	s := supervisor{home: h, job: job, options: o, session: newSession(h.Dir)}
	report, err := s.run(work, ctx.Done())
	if err != nil {
		return report, err
	}
	if err := h.forget(work, job.ID); err != nil { // which does not change what the job has done
		o.Say("Not all that the job has left could be removed: " + say.Sentence(err))
	}
	return report, nil
}

// forget removes what a job that is over leaves behind, but for its record and its logs: also what processes that were
// killed had begun to write. Nobody of the job may be alive. The folder of its map output goes last: see Home.Sweep.
func (h *Home) forget(ctx context.Context, id scheduler.JobID) error {
	err := errors.Join(os.RemoveAll(h.Scratch(id)), h.Store.Sweep(ctx, "jobs/"+string(id), 0),
		cache.Drop(ctx, h.Store, id), h.Coord.Sweep(ctx, "job/"+string(id)+"/"))
	if err != nil {
		return err
	}
	return os.RemoveAll(h.Node(id))
}

// tidy forgets a job that is over and that nobody supervises.
func (h *Home) tidy(ctx context.Context, id scheduler.JobID) error {
	lease, err := h.hold(ctx, id)
	if err != nil {
		return err
	}
	return errors.Join(h.forget(ctx, id), lease.Release(ctx))
}

// supervisor is one session of one job.
type supervisor struct {
	home    *Home
	job     scheduler.Job
	options Options
	session Session
}

// run starts everything that the job needs and watches until it is over. When stop is closed, the job is killed.
func (s *supervisor) run(ctx context.Context, stop <-chan struct{}) (am.Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	launcher := local.New(local.Options{})
	defer launcher.Close()
	if err := os.MkdirAll(s.home.Node(s.job.ID), 0o755); err != nil {
		return am.Report{}, errs.E("embedded.Supervise", errs.Other, s.job.ID, err)
	}
	if err := s.serve(ctx, group, launcher); err != nil {
		return am.Report{}, err
	}
	if err := s.announce(ctx); err != nil {
		return am.Report{}, err
	}
	master, err := s.master()
	if err != nil {
		return am.Report{}, err
	}
	if err := launcher.Start(ctx, master); err != nil {
		return am.Report{}, err
	}
	s.options.Ready()
	gone := make(chan struct{})
	group.Go(func() error {
		defer close(gone)
		return s.guard(ctx, launcher, master.ID)
	})
	report, err := s.follow(ctx, group, stop)
	if err == nil {
		s.wait(gone)
	}
	cancel()
	// The master first: it would take the end of its executors for their failure, and the job with them.
	_ = launcher.Stop(context.WithoutCancel(ctx), master.ID) // cannot fail: this context never ends
	launcher.Close()                                         // no process is left when it returns
	// What made the group end early is the reason, and not that the watching ended with it.
	if cause := group.Wait(); cause != nil {
		return report, cause
	}
	return report, err
}

// announce tells whoever asks about the job how to be let in. The address of an application master that died with its
// supervisor goes, so that nobody waits for it to answer.
func (s *supervisor) announce(ctx context.Context) error {
	return errors.Join(s.home.put(ctx, amrpc.Key(s.job.ID), nil),
		s.home.put(ctx, secretKey(s.job.ID), []byte(s.session.Secret)))
}

// serve starts the node and the launcher's server, both for this machine alone.
func (s *supervisor) serve(ctx context.Context, group *errgroup.Group, launcher launch.Launcher) error {
	node, err := s.listen(ctx)
	if err != nil {
		return err
	}
	launches, err := shuffle.Listen(ctx, loopback, false)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	s.session.Node, s.session.Launcher = node.Addr().String(), launches.Addr().String()
	server := shuffle.NewServer(s.home.NodeRoot(), func(id scheduler.JobID) (string, bool) {
		return s.session.Secret, id == s.job.ID
	})
	group.Go(func() error { return server.Serve(ctx, node) })
	group.Go(func() error { return remote.Serve(ctx, launches, launcher, s.session.Secret) })
	return nil
}

const loopback = "127.0.0.1:0"

// listen opens the node's port: that of the session before if it is free, since what finished maps have left is known
// by that address. If it is not, those maps run again.
func (s *supervisor) listen(ctx context.Context) (net.Listener, error) {
	before, err := s.home.Coord.Get(ctx, nodeKey(s.job.ID))
	if err != nil {
		return nil, err
	}
	if before.Version != 0 {
		if l, err := shuffle.Listen(ctx, string(before.Data), false); err == nil {
			return l, nil
		}
	}
	l, err := shuffle.Listen(ctx, loopback, false)
	if err != nil {
		return nil, err
	}
	if err := s.home.put(ctx, nodeKey(s.job.ID), []byte(l.Addr().String())); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// master is the application master as the launcher sees it.
func (s *supervisor) master() (launch.Group, error) {
	program, err := os.Executable()
	if err != nil {
		return launch.Group{}, errs.E("embedded.Supervise", errs.Other, nil, err)
	}
	return launch.Group{
		ID: launch.GroupID{Job: s.job.ID, Role: "am"}, Command: []string{program, "am", string(s.job.ID)},
		Env: s.session.Env(), Secrets: s.session.Secrets(), Count: 1, LogDir: s.home.Logs(s.job.ID),
		Restart: launch.Restart{Attempts: s.job.Retry.Job - 1, Delay: 50 * time.Millisecond, MaxDelay: time.Second},
	}, nil
}

// guard returns when the application master will not run again: nil if it ended content.
func (s *supervisor) guard(ctx context.Context, launcher launch.Launcher, id launch.GroupID) error {
	for event, err := range launcher.Watch(ctx, id) {
		switch {
		case err != nil:
			return nil // ctx has ended, and whoever ended it knows why
		case event.State == launch.Done:
			return nil
		case event.State == launch.Exited:
			s.options.Say("the application master " + event.Exit.String() + "; another one goes on")
		case event.State == launch.Failed:
			return say.Errorf(errs.Failed, "job %s has no application master any more: the last of %d %s. "+
				"`runner logs %[1]s` says why, `runner resume %[1]s` goes on", s.job.ID, s.job.Retry.Job, event.Exit)
		}
	}
	return nil
}

// follow watches the job until it is over, and returns the report that will stay.
func (s *supervisor) follow(ctx context.Context, group *errgroup.Group, stop <-chan struct{}) (am.Report, error) {
	client, err := am.Dial(ctx, s.home.Coord, s.job.ID, s.session.Secret)
	if err != nil {
		return am.Report{}, err
	}
	defer client.Close()
	group.Go(func() error {
		s.killWhenTold(ctx, client, stop)
		return nil
	})
	for report, err := range client.Watch(ctx) {
		if errs.KindOf(err) == errs.NotFound {
			break // it is over, and its master gone
		}
		if err != nil {
			return report, err
		}
		s.options.Show(report)
	}
	report, err := am.Load(ctx, s.home.Store, s.job)
	if err == nil && !report.State.Final() {
		err = errs.Errorf("embedded.Supervise", errs.Internal, s.job.ID, "the application master left the job %s",
			report.State)
	}
	return report, err
}

// killAgain is how long to wait before an application master is asked again to end the job.
const killAgain = 100 * time.Millisecond

// killWhenTold kills the job when somebody wants that; it ends with ctx.
func (s *supervisor) killWhenTold(ctx context.Context, client *am.Client, stop <-chan struct{}) {
	reason := s.options.Kill
	if reason == "" {
		select {
		case <-stop:
			reason = "interrupted"
			s.options.Say("Interrupted: ending the job.")
		case <-ctx.Done():
			return
		}
	}
	for {
		err := client.Kill(ctx, reason)
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case !errs.Retryable(err):
			s.options.Say(say.Sentence(err))
			return
		}
		select { // another application master is to come
		case <-time.After(killAgain):
		case <-ctx.Done():
		}
	}
}

// wait gives the application master the time to leave by itself.
func (s *supervisor) wait(gone <-chan struct{}) {
	late := time.NewTimer(launch.DefaultGrace)
	defer late.Stop()
	select {
	case <-gone:
	case <-late.C:
	}
}
