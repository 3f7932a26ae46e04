package task

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// Body is the half of the engine that runs in executors.
type Body struct {
	store   store.Store // the system's own, where files of jobs are
	resolve store.Resolve

	once  sync.Once
	files *cache.Node // made for the first attempt
}

var _ scheduler.Body = (*Body)(nil)

// NewBody returns the body of the job whose executor this process is.
func NewBody(st store.Store, resolve store.Resolve) *Body { return &Body{store: st, resolve: resolve} }

// node returns where the job's files are on this machine: beside what its attempts leave there.
func (b *Body) node(a scheduler.Attempt) *cache.Node {
	b.once.Do(func() {
		b.files = cache.NewNode(filepath.Join(filepath.Dir(a.Dir), cache.Folder), b.store, b.resolve, cache.Options{})
	})
	return b.files
}

// Run implements scheduler.Body. The result is the list of the written parts.
func (b *Body) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	o, err := optionsOf(a.Job)
	if err != nil {
		return nil, err
	}
	var p payload
	if err := json.Unmarshal(a.Payload, &p); err != nil {
		return nil, errs.E("task.Run", errs.Corrupt, a.ID, err)
	}
	w := work{Body: b, Attempt: a, r: r, opts: o, payload: p}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	parts, err := w.collect(ctx)
	if err != nil {
		return nil, err
	}
	return encode(parts)
}

// work is one attempt under way. Its scratch folder:
//
//	work/     where the command runs, with links to the job's files and what is in its package
//	input/    the task's file, if it is not on this machine anyway
//	output/   what the command leaves for the job's output
type work struct {
	*Body
	scheduler.Attempt
	r       scheduler.Reporter
	opts    Options
	payload payload
	input   string // path of the task's file; "": there is none
}

func (w *work) dir() string    { return filepath.Join(w.Scratch, "work") }
func (w *work) output() string { return filepath.Join(w.Scratch, "output") }

// prepare lays out all that the command finds.
func (w *work) prepare(ctx context.Context) error {
	const op = "task.Prepare"
	paths, err := w.node(w.Attempt).Files(ctx, w.Job)
	if err != nil {
		return err
	}
	for _, dir := range []string{w.dir(), w.output()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errs.E(op, errs.Other, w.ID, err)
		}
	}
	if err := process.Furnish(w.dir(), paths, strings.TrimPrefix(w.Job.Package, "file://")); err != nil {
		return errs.E(op, errs.Other, w.ID, err)
	}
	if w.payload.File == nil {
		return nil
	}
	if local, ok := strings.CutPrefix(w.payload.File.URI, "file://"); ok {
		w.input = local
		return nil
	}
	w.input, err = w.fetch(ctx, *w.payload.File)
	return err
}

// fetch copies a file to this machine.
func (w *work) fetch(ctx context.Context, f source) (string, error) {
	const op = "task.Fetch"
	st, name, err := w.resolve(ctx, f.URI)
	if err != nil {
		return "", err
	}
	in, err := st.Open(ctx, name, store.Range{})
	if err != nil {
		return "", err
	}
	defer in.Close() // only read
	local := filepath.Join(w.Scratch, "input", path.Base(f.URI))
	if err := os.MkdirAll(filepath.Dir(local), 0o755); err != nil {
		return "", errs.E(op, errs.Other, w.ID, err)
	}
	out, err := os.Create(local)
	if err != nil {
		return "", errs.E(op, errs.Other, w.ID, err)
	}
	defer out.Close() // a second time, unless something failed before
	n, err := io.Copy(out, in)
	if err == nil {
		err = out.Close()
	}
	switch {
	case err != nil:
		return "", errs.E(op, errs.Other, f.URI, err)
	case n != f.Size:
		return "", errs.Errorf(op, errs.Invalid, f.URI, "it has %d bytes, and had %d when the job began", n, f.Size)
	}
	return local, nil
}

// environment is what the command finds in addition to what every program of the user's does.
func (w *work) environment() []string {
	env := process.Environment()
	for name, value := range w.opts.Env {
		env = append(env, name+"="+value)
	}
	set := func(name string, value any) { env = append(env, fmt.Sprint(prefix, name, "=", value)) }
	set("TASK_INDEX", w.ID.Task.Index)
	set("TASKS", w.payload.Tasks)
	set("JOB", w.Job.ID)
	set("ATTEMPT", w.ID)
	if w.Job.Output != "" {
		set("OUTPUT", w.output())
	}
	if w.input != "" {
		set("INPUT", w.input)
		set("INPUT_URI", w.payload.File.URI)
	}
	return env
}

// run runs the command to its end. What it prints goes to the attempt's log.
func (w *work) run(ctx context.Context) error {
	const op = "task.Run"
	limited := ctx
	if w.opts.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, w.opts.Timeout)
		defer cancel()
	}
	said, complained := process.Lines{Logf: w.r.Logf}, process.Lines{Logf: w.r.Logf}
	p, err := process.Start(limited, process.Command{
		Argv: []string{"/bin/sh", "-c", w.opts.Command}, Dir: w.dir(), Env: w.environment(), Stderr: &complained,
	})
	if err != nil {
		return err
	}
	_ = p.Stdin.Close() // nothing was written
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		_, _ = io.Copy(&said, p.Stdout) // the log is all that a broken pipe could shorten
	}()
	<-p.Gone
	select {
	case <-heard:
	case <-time.After(process.Grace): // somebody who left the process group holds the pipe
	}
	_ = p.Stdout.Close() // which ends the reader, too
	<-heard
	_, _ = said.Close(), complained.Close() // they never fail
	switch {
	case ctx.Err() != nil:
		return errs.E(op, errs.Canceled, w.ID, context.Cause(ctx))
	case limited.Err() != nil:
		return errs.Errorf("", errs.Failed, nil, "it took longer than %s, and was killed (the job's task.timeout)",
			w.opts.Timeout)
	case !p.Success():
		return p.Ended()
	}
	return nil
}
