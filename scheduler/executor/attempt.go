package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
)

// attempt is one that runs, or whose report is not acknowledged.
type attempt struct {
	id     scheduler.AttemptID
	cancel context.CancelCauseFunc
	news   *news
	result *amrpc.ReportRequest // nil while it runs; executor.mu guards it
	deaf   bool                 // its body goes on though it should have ended; executor.mu guards it
}

// start starts an attempt unless it is there already.
func (e *executor) start(id scheduler.AttemptID, payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.attempts[id] != nil {
		return
	}
	// It outlives the session in which it was started.
	ctx, cancel := context.WithCancelCause(context.Background())
	a := &attempt{
		id: id, cancel: cancel, news: newNews(filepath.Join(e.cfg.Dirs.Logs, id.String()+".log"), e.cfg.Options.MaxLog),
	}
	e.mu.attempts[id] = a
	e.running.Go(func() { e.run(ctx, a, payload) })
}

// kill ends an attempt; it reports that itself. One that has finished is not touched.
func (e *executor) kill(id scheduler.AttemptID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.mu.attempts[id]; a != nil {
		a.cancel(errKilled)
	}
}

// holds names all attempts that are not acknowledged.
func (e *executor) holds() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.mu.attempts {
		ids = append(ids, id.String())
	}
	slices.Sort(ids)
	return ids
}

// finished returns the attempts that have a report, and a channel that is closed when there are others.
func (e *executor) finished() (list []*attempt, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.mu.attempts {
		if a.result != nil {
			list = append(list, a)
		}
	}
	return list, e.mu.changed
}

// acknowledged forgets an attempt whose end is in the ledger. Files of one that does not count are of no use. One that
// cannot be ended takes this executor with it: the launcher starts another, which has all of its cores and memory.
func (e *executor) acknowledged(a *attempt, taken bool) {
	e.mu.Lock()
	delete(e.mu.attempts, a.id)
	deaf := a.deaf
	e.mu.Unlock()
	if deaf {
		e.fail(errs.E("executor.end", errs.Failed, a.id, errDeaf))
	}
	if !taken {
		e.remove(e.dir(a.id))
	}
}

func (e *executor) dir(id scheduler.AttemptID) string {
	return filepath.Join(e.cfg.Dirs.Node, id.String())
}

// remove removes a directory. What cannot be removed goes with the job's whole directory when the job ends.
func (e *executor) remove(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		e.cfg.Options.Log.Warn("removal", "dir", dir, "error", err)
	}
}

// run does one attempt, from the wait for a core to its report.
func (e *executor) run(ctx context.Context, a *attempt, payload []byte) {
	defer a.cancel(nil)
	var data []byte
	var err error
	began := time.Now()
	select {
	case e.cores <- struct{}{}:
		began = time.Now()
		data, err = e.work(ctx, a, payload)
		<-e.cores
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	a.news.close()
	if context.Cause(ctx) == errLeave { // nobody wants to know
		e.remove(e.dir(a.id))
		return
	}
	r := e.outcome(ctx, a, data, err)
	r.RunMillis = time.Since(began).Milliseconds()
	if r.State != string(scheduler.AttemptSucceeded) {
		e.remove(e.dir(a.id))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a.result, a.deaf = r, errors.Is(err, errDeaf)
	close(e.mu.changed)
	e.mu.changed = make(chan struct{})
}

// work runs the body in fresh directories.
func (e *executor) work(ctx context.Context, a *attempt, payload []byte) ([]byte, error) {
	dir, scratch := e.dir(a.id), filepath.Join(e.scratch(), a.id.String())
	defer e.remove(scratch)
	for _, d := range []string{dir, scratch} {
		if err := errors.Join(os.RemoveAll(d), os.MkdirAll(d, 0o755)); err != nil {
			return nil, errs.E("executor.run", errs.Other, a.id, err)
		}
	}
	res := e.cfg.Job.Resources
	stop := a.watch(e.cfg.Job.Retry.Timeout)
	defer stop()
	return guard(ctx, a.news, e.cfg.Options.Grace, func() ([]byte, error) {
		return e.cfg.Body.Run(ctx, scheduler.Attempt{
			Job: e.cfg.Job, ID: a.id, Payload: payload, Dir: dir, Scratch: scratch,
			Memory: int64(float64(res.Memory)*attemptsShare) / int64(res.CPU), Secret: e.cfg.Secret,
		}, a.news)
	})
}

// outcome is the report of an attempt.
func (e *executor) outcome(ctx context.Context, a *attempt, data []byte, err error) *amrpc.ReportRequest {
	if err == nil && len(data) > scheduler.MaxOutput {
		err = errs.Errorf("executor.run", errs.Invalid, a.id,
			"a result of %d bytes, %d allowed", len(data), scheduler.MaxOutput)
	}
	r := &amrpc.ReportRequest{Executor: e.me, Attempt: a.id.String()}
	r.Counters, r.Done = a.news.totals()
	stall, stalled := errors.AsType[*stalled](context.Cause(ctx))
	switch lost := inputsLost(err); {
	case err == nil:
		r.State, r.Data = string(scheduler.AttemptSucceeded), data
		return r
	case context.Cause(ctx) == errKilled:
		r.State = string(scheduler.AttemptKilled)
	case stalled:
		r.State, err = string(scheduler.AttemptFailed), errs.E("", errs.Failed, nil, stall)
	case len(lost) > 0:
		r.State, r.Inputs = string(scheduler.AttemptLost), lost
	default:
		r.State = string(scheduler.AttemptFailed)
	}
	r.Failure = &amrpc.Failure{Kind: errs.KindOf(err).String(), Text: shorten(err.Error())}
	return r
}

// maxFailure bounds the text of an error, in bytes; the beginning and the end say most.
const maxFailure = 16 << 10

func shorten(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= maxFailure {
		return text
	}
	const half = maxFailure / 2
	return strings.ToValidUTF8(text[:half], "") + " [...] " + strings.ToValidUTF8(text[len(text)-half:], "")
}

// inputsLost finds every InputLost in an error, also in one that joins several.
func inputsLost(err error) (list []*amrpc.LostInput) {
	switch e := err.(type) {
	case nil:
	case *scheduler.InputLost:
		list = append(list, &amrpc.LostInput{Attempt: e.Attempt.String(), Sure: e.Sure})
	case interface{ Unwrap() error }:
		list = inputsLost(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			list = append(list, inputsLost(one)...)
		}
	}
	return list
}

// stalled is why an attempt ends that gave no news for too long.
type stalled struct {
	after time.Duration
	at    string // its status line
}

func (s *stalled) Error() string {
	text := "it gave no news for " + s.after.String()
	if s.at != "" {
		text += " at " + s.at
	}
	return text + ", and was killed (the job's task-timeout)"
}

// watch ends an attempt that gives no news for so long, until stop is called. 0 is for ever.
func (a *attempt) watch(timeout time.Duration) (stop func()) {
	if timeout <= 0 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		const looks = 8 // in each timeout, which is as exact as anybody needs
		tick := time.NewTicker(max(timeout/looks, 1))
		defer tick.Stop()
		last, since := a.news.told.Load(), time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if told := a.news.told.Load(); told != last {
				last, since = told, time.Now()
			} else if time.Since(since) >= timeout {
				a.cancel(&stalled{timeout, a.news.status()})
				return
			}
		}
	}()
	return func() { close(done) }
}

// errDeaf is what becomes of an attempt that was told to end and does not.
var errDeaf = errors.New("it takes no notice of its end")

// guard calls a body and makes an error of its panic, with the place where it happened; the stack goes to the log. The
// body has a goroutine of its own, which it may end (runtime.Goexit) without harm. When ctx has ended it is waited for
// during grace, and then left behind with errDeaf.
func guard(ctx context.Context, log *news, grace time.Duration, body func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errs.Errorf("executor.run", errs.Failed, nil, "it ended its goroutine instead of returning")}
		defer func() {
			if what := recover(); what != nil {
				log.Logf("panic: %v\n%s", what, debug.Stack())
				r = result{err: errs.Errorf("", errs.Failed, nil, "panic: %v, at %s", what, panicPlace())}
			}
			done <- r
		}()
		r.data, r.err = body()
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.data, r.err
	case <-time.After(grace):
		return nil, errDeaf
	}
}

// panicPlace returns where the panic happened that a deferred function is recovering from: the first frame below the
// runtime's own.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "runtime.")
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !own:
			return fmt.Sprintf("%s:%d (%s)", f.File, f.Line, f.Function)
		case !more:
			return "an unknown place"
		}
	}
}
