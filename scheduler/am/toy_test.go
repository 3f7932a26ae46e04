package am_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// toy is an engine that computes nothing of use but notices when something is lost, done twice, or read from the wrong
// place. Maps hash their index many times and leave the result in a file; each of two reducers, cut when the maps are
// done, hashes the files of all maps; the commit writes what the reducers found.
type toy struct {
	st      store.Store
	job     scheduler.JobID
	maps    int
	calls   func(what string) // told of each call
	hooks   toyHooks
	mayFail int // maps
	pad     int // bytes of nothing in each payload
}

// toyHooks let a test interfere; each may be nil.
type toyHooks struct {
	plan    func() error
	payload func(task scheduler.TaskID) error
	commit  func() error
}

const toyReducers = 2

func (e *toy) note(format string, args ...any) {
	if e.calls != nil {
		e.calls(fmt.Sprintf(format, args...))
	}
}

func call(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

func (e *toy) Plan(context.Context) (scheduler.Plan, error) {
	e.note("plan")
	if err := call(e.hooks.plan); err != nil {
		return scheduler.Plan{}, err
	}
	tasks := make([]scheduler.Task, e.maps)
	for i := range tasks {
		tasks[i].Weight = 100
	}
	return scheduler.Plan{Stages: []scheduler.Stage{
		{Name: "map", Tasks: tasks, Backup: true, MayFail: e.mayFail},
		{Name: "reduce", Needs: []string{"map"}},
	}}, nil
}

func (e *toy) Cut(_ context.Context, stage string, in scheduler.Outputs) ([]scheduler.Task, error) {
	e.note("cut %s", stage)
	if len(in["map"]) != e.maps {
		return nil, errs.Errorf("toy.Cut", errs.Internal, nil, "%d maps", len(in["map"]))
	}
	return make([]scheduler.Task, toyReducers), nil
}

// Payload of a reducer: the attempts to read and their hashes, a line each.
func (e *toy) Payload(_ context.Context, task scheduler.TaskID, in scheduler.Outputs) ([]byte, error) {
	if e.hooks.payload != nil {
		if err := e.hooks.payload(task); err != nil {
			return nil, err
		}
	}
	if task.Stage == "map" {
		return append([]byte(fmt.Sprint(task.Index)), make([]byte, e.pad)...), nil
	}
	var b strings.Builder
	for _, o := range in["map"] {
		if o.Attempt.Task.Stage != "" {
			fmt.Fprintf(&b, "%s %s\n", o.Attempt, o.Data)
		}
	}
	return []byte(b.String()), nil
}

func (e *toy) Commit(ctx context.Context, in scheduler.Outputs, c scheduler.Counters) (json.RawMessage, error) {
	e.note("commit")
	if err := call(e.hooks.commit); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, o := range in["reduce"] {
		fmt.Fprintf(&b, "%s\n", o.Data)
	}
	fmt.Fprintf(&b, "maps %d\n", c.Get("toy", "maps"))
	err := store.Put(ctx, e.st, toyOutput(e.job), []byte(b.String()), store.IfAbsent())
	if err != nil && !errors.Is(err, errs.Exist) { // a predecessor wrote the same
		return nil, err
	}
	return json.RawMessage(`{"files":1}`), nil
}

func (e *toy) Abort(context.Context) error {
	e.note("abort")
	return nil
}

func toyOutput(job scheduler.JobID) store.Name { return store.Name("out").Join(string(job)) }

// toyBody runs the tasks. node is where attempts' directories are.
type toyBody struct {
	node   string
	rounds int                                                  // how long a map takes
	before func(ctx context.Context, a scheduler.Attempt) error // may be nil
	result func(a scheduler.Attempt) []byte                     // may be nil: replaces the result
}

func (b toyBody) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	r.Logf("payload of %d bytes", len(a.Payload))
	if b.before != nil {
		if err := b.before(ctx, a); err != nil {
			return nil, err
		}
	}
	a.Payload = bytes.TrimRight(a.Payload, "\x00")
	if b.result != nil {
		return b.result(a), nil
	}
	if a.ID.Task.Stage == "map" {
		return b.mapTask(ctx, a, r)
	}
	return b.reduceTask(a)
}

func (b toyBody) mapTask(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	sum := sha256.Sum256(a.Payload)
	for i := range b.rounds {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for range 1000 {
			sum = sha256.Sum256(sum[:])
		}
		r.Progress(int64(100 * i / b.rounds))
	}
	r.Count("toy", "maps", 1)
	text := hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(a.Scratch, "x"), nil, 0o644); err != nil {
		return nil, err
	}
	return []byte(text), os.WriteFile(filepath.Join(a.Dir, "out"), []byte(text), 0o644)
}

func (b toyBody) reduceTask(a scheduler.Attempt) ([]byte, error) {
	all := sha256.New()
	fmt.Fprintln(all, a.ID.Task)
	for line := range strings.Lines(string(a.Payload)) {
		attempt, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, err := scheduler.ParseAttemptID(attempt)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(b.node, attempt, "out"))
		if err == nil && string(data) != want {
			err = errs.Errorf("toy.reduce", errs.Corrupt, attempt, "%q", data)
		}
		if err != nil {
			return nil, &scheduler.InputLost{Attempt: id, Sure: errors.Is(err, fs.ErrNotExist), Err: err}
		}
		all.Write(data)
	}
	return []byte(hex.EncodeToString(all.Sum(nil))), nil
}
