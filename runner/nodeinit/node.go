package nodeinit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
)

const (
	// DrainTime is how long containers may take to end when their machine must: a cloud takes a spot machine away
	// 120 s after it said so, and the agents need some of that for themselves.
	DrainTime = 90 * time.Second
	// leaveTime is how long agents may take to end after that.
	leaveTime = 10 * time.Second
	// idleTime is how long Nomad may take if it has nothing to wait for.
	idleTime = 5 * time.Second
	// systemJobs is how the names of the jobs begin that belong to the fleet itself; package fleet installs them.
	systemJobs = "fleet-system-"
	// lookEvery is the time between two looks at how the agents are.
	lookEvery = 250 * time.Millisecond
)

// Options are what a machine needs of its surroundings.
type Options struct {
	Resolve store.Resolve // opens the depot
	Notices Notices       // nil: nobody gives notice
	Idle    time.Duration // without a job for so long servers end the fleet, where their Source is a Stopper; 0 never
	Log     *slog.Logger
}

// node is a machine that runs.
type node struct {
	Machine
	secrets Secrets
	depot   Depot
	options Options
	// children in the order in which they are started, and ended the other way round.
	children []*child
}

// Run makes this machine a member of its fleet until ctx ends, notice is given, or the fleet's time is over; then it
// leaves in order. What does not work is reported and tried again.
func Run(ctx context.Context, source Source, o Options) error {
	m, err := source.Machine(ctx)
	if err != nil {
		return err
	}
	n := &node{Machine: m, options: o}
	if err := (fleet.Cluster{Env: m.Env}).Surround(); err != nil {
		return err
	}
	if n.depot.Store, n.depot.Base, err = o.Resolve(ctx, m.Depot); err != nil {
		return err
	}
	n.say(ctx, Starting, nil)
	if err := n.prepare(ctx, source); err != nil {
		n.say(ctx, Broken, err)
		return err
	}
	n.live(ctx, source)
	if leaver, ok := source.(Leaver); ok {
		if err := leaver.Left(context.WithoutCancel(ctx)); err != nil {
			o.Log.Warn("nobody has waited for it to leave", "error", err)
		}
	}
	return nil
}

// say reports how far the machine is. That the report is lost does not keep the machine from working.
func (n *node) say(ctx context.Context, s State, cause error) {
	r := Report{Machine: n.Name, Role: n.Role, Address: n.Address, State: s, Time: time.Now().UTC()}
	if cause != nil {
		r.Message = cause.Error()
		for _, c := range n.children {
			if c.trouble() != nil {
				r.Log = tail(c.log)
			}
		}
	}
	n.options.Log.Info("machine", "state", s, "cause", r.Message)
	if err := n.depot.report(context.WithoutCancel(ctx), r); err != nil {
		n.options.Log.Warn("reporting", "error", err)
	}
}

// prepare fetches and writes all that the children need.
func (n *node) prepare(ctx context.Context, source Source) error {
	var err error
	if finder, ok := source.(Finder); ok {
		if n.Servers, err = finder.Servers(ctx); err != nil {
			return err
		}
	}
	if n.secrets, err = SecretsFor(ctx, n.Role, source.Secret); err != nil {
		return err
	}
	for _, dir := range []string{n.Dir, n.Bin, n.File("logs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errs.E("nodeinit.prepare", errs.Other, dir, err)
		}
	}
	for name, sum := range n.Binaries {
		if err := n.depot.fetch(ctx, name, sum, n.Program(name)); err != nil {
			return err
		}
	}
	if n.Role == Store {
		n.add("s3", n.S3Command(S3Port), S3Env(n.secrets.S3), leaveTime)
		return os.MkdirAll(filepath.Clean(n.Data), 0o700)
	}
	if err := n.Configure(n.secrets, Agents{Leave: true}); err != nil {
		return err
	}
	n.add("consul", n.ConsulCommand(), nil, leaveTime)
	n.add("nomad", n.NomadCommand(), nil, DrainTime+leaveTime)
	if n.Role == Server { // which outlive all workers, so that somebody can ask for some
		n.add("control", n.ControlCommand(), n.controlEnv(), leaveTime)
		if err := n.addGateway(); err != nil {
			return err
		}
	}
	// Nomad waits in vain for containers whose job is removed at the same time, up to the end of its own deadline.
	n.children[1].busy = n.hasContainers
	return nil
}

// hasContainers reports whether Nomad runs anything here but what belongs to the fleet itself.
func (n *node) hasContainers() bool {
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or is another's
		}
		vars := "\x00" + string(env)
		if strings.Contains(vars, "\x00"+embedded.HomeEnv+"="+n.File("runner")+"\x00") &&
			strings.Contains(vars, "\x00NOMAD_JOB_NAME=") && !strings.Contains(vars, "\x00NOMAD_JOB_NAME="+systemJobs) {
			return true
		}
	}
	return false
}

func (n *node) add(name string, args, env []string, grace time.Duration) {
	n.children = append(n.children, &child{
		name: name, args: args, env: env, log: n.File("logs/" + name + ".log"), grace: grace,
	})
}

// live runs the children, and ends them when the machine must end.
func (n *node) live(ctx context.Context, source Source) {
	end, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	var looker, watchers sync.WaitGroup
	looker.Go(func() { n.look(end) })
	watchers.Go(func() { n.expire(end, ended) })
	watchers.Go(func() { n.heed(end, ended) })
	if stopper, ok := source.(Stopper); ok && n.Role == Server && n.options.Idle > 0 {
		watchers.Go(func() { n.idle(end, stopper, n.work()) })
	}

	var stops []func()
	for _, c := range n.children {
		stops = append(stops, start(c))
	}
	<-end.Done()
	looker.Wait() // or what it was just about to say would come last
	n.say(ctx, Draining, context.Cause(end))
	for i := range stops {
		stops[len(stops)-1-i]() // Nomad needs Consul to its end
	}
	watchers.Wait()
	n.say(ctx, Gone, context.Cause(end))
}

// start runs a child beside; the returned function ends it and waits until it has ended.
func start(c *child) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// look reports when the machine works, and when something does not, until ctx ends.
func (n *node) look(ctx context.Context) {
	state := Starting
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := n.trouble()
		now := state
		switch {
		case err != nil:
			now = Failed
		case n.works(ctx) == nil:
			now = Ready
		}
		if now != state && ctx.Err() == nil {
			state = now
			n.say(ctx, state, err)
		}
	}
}

func (n *node) trouble() error {
	var all []error
	for _, c := range n.children {
		all = append(all, c.trouble())
	}
	return errors.Join(all...)
}

// expire ends the machine at its fleet's deadline, which people may move meanwhile.
func (n *node) expire(ctx context.Context, end context.CancelCauseFunc) {
	if n.Deadline == "" {
		return
	}
	if at, err := AwaitDeadline(ctx, n.Deadline); err == nil {
		end(fmt.Errorf("the fleet's time was over at %s", at.Format(time.RFC3339)))
	}
}

// AwaitDeadline waits until the time in a file has come, which may be replaced by a later or earlier one at any moment.
// A file that is gone is a deadline as well: nobody would know of another.
func AwaitDeadline(ctx context.Context, file string) (time.Time, error) {
	for {
		at, err := ReadDeadline(file)
		if errs.KindOf(err) == errs.NotFound {
			return time.Now(), nil
		}
		if err == nil && !time.Now().Before(at) {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return at, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// heed ends the machine when somebody gives notice.
func (n *node) heed(ctx context.Context, end context.CancelCauseFunc) {
	if n.options.Notices == nil {
		return
	}
	reason, err := n.options.Notices.Wait(ctx)
	if err == nil {
		end(errors.New(reason))
	} else if ctx.Err() == nil {
		n.options.Log.Error("nobody will hear of notices", "error", err)
	}
}
