// Package role runs a master or a worker: it carries out what the state machines of package superstep decide.
//
//	           ┌────────────── master ──────────────┐
//	links ────▶│ one reader each ──▶ fold           │
//	           │        │             │             │
//	           │        ▼ events      ▼ results     │
//	           │     Master machine ─▶ loop ────────┼──▶ program, ledger
//	           │                        │           │
//	links ◀────│ one writer each ◀──────┘           │
//	           └────────────────────────────────────┘
//
// The readers tell the machine what has come, under a lock; the loop, one goroutine, does what the machine wants done,
// in order. A worker has a loop too, a reader, and one goroutine that computes, so that it can follow a new master
// while it works.
//
// Where results can be added up, groups of workers may send one result (group.go, member.go, groups.go).
//
// A master publishes its address and epoch at the key job/<id>/master; workers watch it. When the job is done the same
// key says so, for workers that nobody could tell.
package role

import (
	"context"
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// Job is what masters and workers of one job must have in common, and what they work with.
type Job struct {
	ID        string
	Program   guagua.Program
	Env       guagua.Env // what is the same everywhere; Worker and Attempt are filled in
	Config    superstep.Config
	Secret    string
	Transport link.Transport
	Coord     coord.Coordinator

	// Group is how many neighbours among the workers send one result, see group.go: a power of two, or 0 for none. It is
	// for programs that add vectors, in jobs whose iterations have all results.
	Group int

	Memory       int64  // bytes for results that wait or have been read ahead
	Largest      int64  // bytes of one result
	Scratch      string // a directory for what does not fit into memory
	Interceptors []guagua.Interceptor
	News         News
}

// News takes what people want to see while a job runs. Its methods are cheap and never block.
type News interface {
	Progress(done int64)
	Count(group, name string, delta int64)
	Status(line string)
}

// Defaults of Job.
const (
	DefaultMemory  = 256 << 20
	DefaultLargest = 4 << 30
)

// settle leaves groups out where they can't be: a group's result says nothing of who in it was slow.
func (j *Job) settle() {
	c := &j.Config
	if j.Program.Reduction() != guagua.Vectors || !c.Whole() || c.Stragglers != superstep.Report {
		j.Group = 0
	}
}

func (j *Job) secret(epoch uint64) wire.Secret {
	return wire.Secret{Secret: j.Secret, Job: j.ID, Epoch: epoch}
}

func (j *Job) env(index, attempt int) *guagua.Env {
	env := j.Env
	env.Job, env.Worker, env.Attempt = j.ID, index, attempt
	return &env
}

// notice is what a master publishes.
type notice struct {
	Epoch   uint64 `json:"epoch"`
	Address string `json:"address,omitempty"`
	Done    bool   `json:"done,omitempty"`
}

// Key is where a job's master is published.
func Key(job string) coord.Key { return coord.Key("job/" + job + "/master") }

// publish makes a notice known, unless a later master has published: then it fails with errs.Fenced.
func publish(ctx context.Context, c coord.Coordinator, key coord.Key, n notice) error {
	const op = "guagua.Publish"
	data, err := json.Marshal(n)
	if err != nil {
		return errs.E(op, errs.Internal, key, err)
	}
	return persist(ctx, func() error {
		v, err := c.Get(ctx, key)
		if err != nil {
			return errs.E(op, errs.Other, key, err)
		}
		if old, err := parseNotice(v); err == nil && old.Epoch > n.Epoch {
			return errs.Errorf(op, errs.Fenced, key, "epoch %d was published, ours is %d", old.Epoch, n.Epoch)
		}
		if _, err = c.Swap(ctx, key, v.Version, data); errs.KindOf(err) == errs.Exist {
			return errs.E(op, errs.Unavailable, key, err) // somebody was faster: look again
		}
		return err
	})
}

func parseNotice(v coord.Value) (n notice, err error) {
	if len(v.Data) == 0 {
		return n, nil
	}
	err = json.Unmarshal(v.Data, &n)
	return n, err
}

// follow calls each with what masters publish, until ctx ends.
func follow(ctx context.Context, c coord.Coordinator, key coord.Key, each func(notice)) {
	const least = 5 * time.Millisecond
	for wait := least; ; wait = min(2*wait, time.Second) {
		for ev, err := range c.Watch(ctx, string(key)) {
			if err != nil {
				break // watch again
			}
			if n, err := parseNotice(ev.Value); ev.Key == key && err == nil && n.Epoch > 0 {
				wait = least
				each(n)
			}
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// persist repeats what fails with errs.Unavailable, until ctx ends.
func persist(ctx context.Context, f func() error) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := f()
		if err == nil || !errs.Retryable(err) {
			return err
		}
		if !pause(ctx, wait) {
			return err
		}
	}
}

// pause waits; it reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// canceled is the error of a role whose ctx ended.
func canceled(ctx context.Context, who string) error {
	return errs.E("guagua", errs.Canceled, who, context.Cause(ctx))
}
