package functionstest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// Fault is something that goes wrong once while a JobDriver's job runs.
type Fault struct {
	what    what
	attempt string
}

type what string

const (
	killAttempt  what = "the executor of %s dies before it reports"
	corruptBlock what = "a byte of the output of %s is altered"
	dropRead     what = "a reducer's connection breaks while it reads the output of %s"
	commitTwice  what = "the output is published twice"
)

// KillAttempt ends the executor that runs an attempt ("map-0.0") when it has done its work and not yet said so.
func KillAttempt(attempt string) Fault { return Fault{killAttempt, attempt} }

// CorruptBlock alters a byte in the middle of what a map attempt ("map-0.0") leaves for the reducers.
func CorruptBlock(attempt string) Fault { return Fault{corruptBlock, attempt} }

// DropRead breaks the first connection over which a reducer reads the output of a map attempt ("map-0.0"), half way.
func DropRead(attempt string) Fault { return Fault{dropRead, attempt} }

// CommitTwice lets two application masters publish the output one after the other.
func CommitTwice() Fault { return Fault{commitTwice, ""} }

func (f Fault) String() string { return strings.ReplaceAll(string(f.what), "%s", f.attempt) }

// faults keeps which faults have come about.
type faults struct {
	all []Fault
	mu  struct {
		sync.Mutex
		done map[int]bool
	}
}

// strike reports whether the fault is wanted and has not come about, and notes that now it has.
func (f *faults) strike(what what, attempt string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.all {
		if fault.what == what && fault.attempt == attempt && !f.mu.done[i] {
			f.mu.done[i] = true
			return true
		}
	}
	return false
}

func (f *faults) happened(i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.done[i]
}

// body does what another does, until a fault strikes.
type body struct {
	scheduler.Body
	faults *faults
	die    func() // ends this executor as SIGKILL would
}

func (b body) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	out, err := b.Body.Run(ctx, a, r)
	if err != nil {
		return out, err
	}
	if b.faults.strike(corruptBlock, a.ID.String()) {
		if err := alter(filepath.Join(a.Dir, segment.DataName)); err != nil {
			return nil, err
		}
	}
	if b.faults.strike(killAttempt, a.ID.String()) {
		b.die()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return out, nil
}

// alter changes the byte in the middle of a file.
func alter(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return errs.Errorf("functionstest.CorruptBlock", errs.Invalid, name, "the attempt put out nothing")
	}
	data[len(data)/2] ^= 0xff
	return os.WriteFile(name, data, 0o600)
}

// engine does what another does, and publishes again when told.
type engine struct {
	scheduler.Engine
	faults *faults
}

func (e engine) Commit(ctx context.Context, in scheduler.Outputs, c scheduler.Counters) (json.RawMessage, error) {
	first, err := e.Engine.Commit(ctx, in, c)
	if err != nil || !e.faults.strike(commitTwice, "") {
		return first, err
	}
	second, err := e.Engine.Commit(ctx, in, c)
	if err == nil && !bytes.Equal(first, second) {
		return nil, errs.Errorf("functionstest.CommitTwice", errs.Internal, nil, "first %s, then %s", first, second)
	}
	return second, err
}

// server breaks replies of another handler.
func (f *faults) server(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.strike(dropRead, filepath.Base(r.URL.Path)) {
			h.ServeHTTP(w, r)
			return
		}
		var whole reply
		whole.ResponseWriter = w
		h.ServeHTTP(&whole, r)
		_, _ = w.Write(whole.body.Bytes()[:whole.body.Len()/2]) // it is to break anyway
		panic(http.ErrAbortHandler)
	})
}

// reply keeps the body that a handler writes.
type reply struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (r *reply) Write(p []byte) (int, error) { return r.body.Write(p) }
