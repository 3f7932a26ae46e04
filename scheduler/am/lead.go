package am

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"google.golang.org/grpc"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// lead works as the leader of the ledger until the job is over or leadership is.
func (a *master) lead(ctx context.Context, leader *journal.Leader, lease coord.Lease) error {
	ln, err := net.Listen("tcp", a.cfg.Options.Listen)
	if err != nil {
		return errs.E("am.Listen", errs.Other, a.cfg.Options.Listen, err)
	}
	a.begin()
	stop := make(chan struct{})
	server := a.server(leader.Epoch(), stop)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ln); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			a.end(errs.E("am.Serve", errs.Unavailable, ln.Addr(), err))
		}
	})
	defer func() {
		close(stop)
		drain(server)
		serving.Wait()
	}()

	here := amrpc.Endpoint{Address: ln.Addr().String(), Epoch: leader.Epoch()}
	if err := publish(ctx, a.cfg.Coord, a.cfg.Job.ID, here); err != nil {
		return err
	}
	if err := a.work(ctx, leader, lease); err != nil {
		return err
	}
	if err := a.finish(ctx); err != nil {
		return err
	}
	return publish(ctx, a.cfg.Coord, a.cfg.Job.ID, amrpc.Endpoint{Epoch: here.Epoch, Over: true})
}

// server serves executors and clients. Calls that wait return when stop is closed.
func (a *master) server(epoch uint64, stop <-chan struct{}) *grpc.Server {
	s := rpc.NewServer(rpc.Peer{Secret: a.cfg.Secret, Epoch: epoch})
	amrpc.RegisterExecutorsServer(s, &executorServer{master: a, stop: stop})
	amrpc.RegisterClientsServer(s, &clientServer{master: a, stop: stop})
	return s
}

// drain lets calls end, but not for long.
func drain(s *grpc.Server) {
	force := time.AfterFunc(time.Second, s.Stop)
	defer force.Stop()
	s.GracefulStop()
}

// work runs the goroutines that carry decisions out, until the job is over (nil) or something ends this application
// master.
func (a *master) work(ctx context.Context, leader *journal.Leader, lease coord.Lease) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { a.engine(ctx) })
	all.Go(func() { a.clock(ctx) })
	all.Go(func() { a.watchContainers(ctx) })
	all.Go(func() { a.watchNodes(ctx) })
	all.Go(func() { a.share(ctx) })
	all.Go(func() { a.want(ctx) })
	all.Go(func() {
		if err := a.launch(ctx); err != nil {
			a.step(func(m *machine, now int64) { m.fail(now, "executors could not be started: %v", err) })
		}
	})
	all.Go(func() {
		if err := a.append(ctx, leader); err != nil {
			a.end(err)
		}
	})
	select {
	case err := <-a.ended:
		return err
	case <-leader.Done():
		return leader.Err()
	case <-lease.Done():
		if err := leader.Append(ctx); err != nil { // says that it is fenced, if another one leads by now
			return err
		}
		return errs.Errorf("am.lease", errs.Unavailable, a.cfg.Job.ID, "it was lost")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// group is the group of the job's executors.
func (a *master) group() launch.Group {
	g := a.cfg.Executors
	g.ID = launch.GroupID{Job: a.cfg.Job.ID, Role: "executor"}
	g.Resources = a.cfg.Job.Resources
	if g.Restart == (launch.Restart{}) {
		g.Restart = restart
	}
	return g
}

// launch starts as many executors as the machine says, until ctx ends. It fails when the launcher refuses.
func (a *master) launch(ctx context.Context) error {
	g := a.group()
	for {
		counts, err := a.scales.take(ctx)
		if err != nil {
			return nil
		}
		g.Count = counts[len(counts)-1]
		err = patiently(ctx, func() error {
			// The group may be there already, with the count that an earlier application master wanted.
			if err := a.cfg.Launcher.Start(ctx, g); err != nil {
				return err
			}
			return a.cfg.Launcher.Scale(ctx, g.ID, g.Count)
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// watchContainers tells the machine what becomes of containers, until ctx ends.
func (a *master) watchContainers(ctx context.Context) {
	_ = patiently(ctx, func() error { // fails only when ctx ends: a watch is worth any number of tries
		for e, err := range a.cfg.Launcher.Watch(ctx, a.group().ID) {
			if err != nil {
				a.cfg.Options.Log.Debug("watch of the executors", "error", err)
				return errs.E("am.watch", errs.Unavailable, nil, err)
			}
			a.step(func(m *machine, now int64) { m.container(e, now) })
		}
		return nil
	})
}

// patiently repeats what fails with errs.Unavailable, ever more slowly, until ctx ends.
func patiently(ctx context.Context, do func() error) error {
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	return backoff.Retry(func() error {
		err := do()
		if err != nil && !errs.Retryable(err) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(pause, ctx))
}

// finish cleans up behind a job that is over: executors end, an unpublished output is removed, the history is written.
// All of it may be done again by a successor.
func (a *master) finish(ctx context.Context) error {
	log := a.cfg.Options.Log
	stopCtx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if err := a.cfg.Launcher.Stop(stopCtx, a.group().ID); err != nil { // they have their orders to leave, and a lease
		log.Warn("stop of the executors", "error", err)
	}
	r, _, _ := a.view(false)
	if r.State != scheduler.JobSucceeded {
		if err := a.cfg.Engine.Abort(ctx); err != nil { // what is left is garbage, and not in anybody's way
			log.Warn("removal of the unpublished output", "error", err)
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return errs.E("am.history", errs.Internal, nil, err)
	}
	return store.Put(ctx, a.cfg.Store, historyName(a.cfg.Job.ID), data)
}

// stopTime bounds how long the end of the executors is waited for.
const stopTime = 30 * time.Second

// publish says where this application master is, or that the job is over, unless a later one has said something.
func publish(ctx context.Context, c coord.Coordinator, job scheduler.JobID, here amrpc.Endpoint) error {
	key := amrpc.Key(job)
	for {
		v, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		if e, err := amrpc.ParseEndpoint(v.Data); err == nil && e.Epoch > here.Epoch {
			return errs.Errorf("am.publish", errs.Fenced, job, "epoch %d is at work, this is %d", e.Epoch, here.Epoch)
		}
		if _, err = c.Swap(ctx, key, v.Version, here.Encode()); !errors.Is(err, errs.Exist) {
			return err
		}
	}
}
