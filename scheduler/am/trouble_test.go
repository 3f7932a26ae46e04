package am_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/executor"
)

// states counts the attempts of a report by state.
func states(r am.Report) map[scheduler.AttemptState]int {
	n := map[scheduler.AttemptState]int{}
	for _, a := range r.Attempts {
		n[a.State]++
	}
	return n
}

// mustMatch says that a job that was disturbed ended as it would have undisturbed.
func (s *site) mustMatch(t *testing.T, r am.Report) {
	t.Helper()
	if r.State != scheduler.JobSucceeded {
		t.Fatalf("%s: %s", r.State, r.Message)
	}
	if got, want := s.output(t), want(t, s.engine.maps, s.body.rounds); got != want {
		t.Errorf("published %q, want %q", got, want)
	}
}

// once returns a function that is true at its first call.
func once() func() bool {
	var o sync.Once
	return func() (first bool) {
		o.Do(func() { first = true })
		return first
	}
}

func isTask(a scheduler.Attempt, task string) bool { return a.ID.Task.String() == task }

func TestFailedAttemptsAreRepeated(t *testing.T) {
	s := newSite(t)
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-2") && a.ID.N < 2 {
			return errs.Errorf("toy", errs.Failed, nil, "bad record")
		}
		return nil
	}
	r := s.run(t)
	s.mustMatch(t, r)
	if n := states(r); n[scheduler.AttemptFailed] != 2 || r.Stages[0].Failed != 2 {
		t.Errorf("attempts %v", n)
	}
}

func TestTooManyFailuresFailTheJob(t *testing.T) {
	s := newSite(t)
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-2") {
			return errs.Errorf("toy", errs.Failed, nil, "bad record")
		}
		return nil
	}
	r := s.run(t)
	if r.State != scheduler.JobFailed {
		t.Fatalf("%s: %s", r.State, r.Message)
	}
	for _, part := range []string{"map-2 failed 4 times", "executor-", "bad record"} {
		if !strings.Contains(r.Message, part) {
			t.Errorf("%q lacks %q", r.Message, part)
		}
	}
	if s.output(t) != "" || !slices.Contains(s.mu.calls, "abort") || slices.Contains(s.mu.calls, "commit") {
		t.Errorf("published %q; calls %v", s.output(t), s.mu.calls)
	}
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	s := newSite(t)
	s.job.Retry.Task = 1
	s.body.before = func(context.Context, scheduler.Attempt) error {
		var nobody []int
		return errors.New(string(rune(nobody[3])))
	}
	r := s.run(t)
	if r.State != scheduler.JobFailed || !strings.Contains(r.Message, "index out of range") ||
		!strings.Contains(r.Message, "trouble_test.go:") {
		t.Errorf("%s: %s", r.State, r.Message)
	}
	i := slices.IndexFunc(r.Attempts, func(a am.AttemptReport) bool { return a.State == scheduler.AttemptFailed })
	if i < 0 { // any task may have been the first
		t.Fatalf("attempts %+v", r.Attempts)
	}
	log, err := os.ReadFile(filepath.Join(filepath.Dir(s.body.node), "logs", r.Attempts[i].ID.String()+".log"))
	if err != nil || !bytes.Contains(log, []byte("goroutine ")) {
		t.Errorf("the log lacks the stack: %q, %v", log, err)
	}
}

func TestHugeResultIsAFailure(t *testing.T) {
	s := newSite(t)
	s.job.Retry.Task = 1
	s.engine.hooks.payload = func(scheduler.TaskID) error { return nil }
	s.body.result = func(a scheduler.Attempt) []byte { return make([]byte, scheduler.MaxOutput+1) }
	if r := s.run(t); r.State != scheduler.JobFailed || !strings.Contains(r.Message, "a result of 1048577 bytes") {
		t.Errorf("%s: %s", r.State, r.Message)
	}
}

func TestLargePayloadArrives(t *testing.T) {
	s := newSite(t)
	s.engine.maps = 2
	s.engine.pad = 5 << 20
	if r := s.run(t); r.State != scheduler.JobSucceeded {
		t.Errorf("%s: %s", r.State, r.Message)
	}
}

func TestExecutorCrash(t *testing.T) {
	s := newSite(t)
	first := once()
	s.body.before = func(ctx context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-3") && first() {
			for i := range 2 { // both: one of them runs this, the other may not have started
				_ = s.launcher.Crash(s.executors(), i)
			}
			<-ctx.Done()
		}
		return nil
	}
	r := s.run(t)
	s.mustMatch(t, r)
	if states(r)[scheduler.AttemptLost] == 0 || states(r)[scheduler.AttemptFailed] > 0 {
		t.Errorf("attempts %+v", r.Attempts)
	}
	checkRuns(t, r)
}

// checkRuns says that no task ran again after an attempt at it had succeeded, unless that was lost.
func checkRuns(t *testing.T, r am.Report) {
	t.Helper()
	done := map[scheduler.TaskID]scheduler.AttemptID{}
	for _, a := range r.Attempts {
		if a.State == scheduler.AttemptSucceeded {
			done[a.ID.Task] = a.ID
		}
	}
	ended := map[scheduler.AttemptID]time.Time{}
	for _, a := range r.Attempts {
		ended[a.ID] = a.End
	}
	for _, a := range r.Attempts {
		if winner := done[a.ID.Task]; winner != a.ID && a.Start.After(ended[winner]) {
			t.Errorf("%s began after %s had succeeded", a.ID, winner)
		}
	}
}

// crashMaster ends the application master as SIGKILL would.
func (s *site) crashMaster(t *testing.T) {
	if err := s.launcher.Crash(s.amGroup().ID, 0); err != nil {
		t.Error(err)
	}
}

func TestMasterCrashBeforeEachCall(t *testing.T) {
	hooks := map[string]func(s *site, crash func()){
		"plan": func(s *site, crash func()) { s.engine.hooks.plan = func() error { crash(); return nil } },
		"payload": func(s *site, crash func()) {
			s.engine.hooks.payload = func(scheduler.TaskID) error { crash(); return nil }
		},
		"commit": func(s *site, crash func()) { s.engine.hooks.commit = func() error { crash(); return nil } },
	}
	for name, set := range hooks {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			first := once()
			set(s, func() {
				if first() {
					s.crashMaster(t)
				}
			})
			r := s.run(t)
			s.mustMatch(t, r)
			if r.Masters != 2 {
				t.Errorf("%d application masters", r.Masters)
			}
			checkRuns(t, r)
		})
	}
}

// TestMasterCrashKeepsWhatRunsAndWhatIsDone crashes the application master when half of the maps are done and one is
// under way: none of them runs again.
func TestMasterCrashKeepsWhatRunsAndWhatIsDone(t *testing.T) {
	s := newSite(t)
	s.options.Heartbeat = 10 * time.Second // so it must not be waited for: all executors return
	crashed := make(chan struct{})
	s.body.before = func(ctx context.Context, a scheduler.Attempt) error {
		switch {
		case isTask(a, "map-3"):
			s.crashMaster(t)
			close(crashed)
		case isTask(a, "map-4"): // under way at the crash
			<-crashed
		}
		return nil
	}
	r := s.run(t)
	s.mustMatch(t, r)
	if r.Masters != 2 || len(r.Attempts) != 8 || len(s.mu.ran) != 8 {
		t.Errorf("%d application masters, %d attempts, ran %s", r.Masters, len(r.Attempts), ids(s.mu.ran))
	}
}

// TestExecutorsWaitForAnotherMaster: results that are finished while there is no application master are not lost.
func TestExecutorsWaitForAnotherMaster(t *testing.T) {
	s := newSite(t)
	s.options.Heartbeat = 10 * time.Second // so it must not be waited for: both executors return
	s.engine.maps = 2
	goOn := make(chan struct{})
	reached := make(chan struct{}, 2)
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if a.ID.Task.Stage == "map" {
			reached <- struct{}{}
			<-goOn
		}
		return nil
	}
	ctx, _ := s.start(t)
	<-reached
	<-reached
	if err := s.launcher.Stop(ctx, s.amGroup().ID); err != nil { // ends without a word, and is not started again
		t.Fatal(err)
	}
	close(goOn)
	if err := s.launcher.Start(ctx, s.amGroup()); err != nil {
		t.Fatal(err)
	}
	r := s.end(t, ctx)
	s.mustMatch(t, r)
	if len(s.mu.ran) != 4 {
		t.Errorf("ran %s", ids(s.mu.ran))
	}
}

// TestEverythingCrashesAndIsResumed stops all processes in the middle and starts another session over the same folders.
func TestEverythingCrashesAndIsResumed(t *testing.T) {
	s := newSite(t)
	s.job.Retry.Job = 1
	reached := make(chan struct{})
	first := once()
	s.body.before = func(ctx context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-4") && first() {
			close(reached)
			<-ctx.Done()
		}
		return ctx.Err()
	}
	ctx, _ := s.start(t)
	<-reached
	if err := s.launcher.Stop(ctx, s.amGroup().ID); err != nil { // it must not see the executors end
		t.Fatal(err)
	}
	s.launcher.Close()
	next := newSite(t)
	next.st, next.co, next.job, next.engine, next.body, next.session = s.st, s.co, s.job, s.engine, s.body, "s2"
	if err := next.launcher.Start(ctx, next.amGroup()); err != nil {
		t.Fatal(err)
	}
	r := next.end(t, ctx)
	next.mustMatch(t, r)
	if r.Masters != 2 {
		t.Errorf("%d application masters", r.Masters)
	}
	checkRuns(t, r)
}

func TestLostOutputIsMadeAgain(t *testing.T) {
	s := newSite(t)
	first := once()
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if a.ID.Task.Stage == "reduce" && first() {
			dir := func(attempt string) string { return filepath.Join(s.body.node, attempt) }
			return errors.Join(os.RemoveAll(dir("map-1.0")), os.RemoveAll(dir("map-5.0")))
		}
		return nil
	}
	r := s.run(t)
	s.mustMatch(t, r)
	if r.Stages[0].Lost != 2 || r.Counters.Get("toy", "maps") != 6 {
		t.Errorf("lost %d maps, counted %d", r.Stages[0].Lost, r.Counters.Get("toy", "maps"))
	}
}

func TestKill(t *testing.T) {
	s := newSite(t)
	running := make(chan struct{})
	first := once()
	s.body.before = func(ctx context.Context, _ scheduler.Attempt) error {
		if first() {
			close(running)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, c := s.start(t)
	<-running
	if err := c.Kill(ctx, "enough of it"); err != nil {
		t.Fatal(err)
	}
	r := s.end(t, ctx)
	if r.State != scheduler.JobKilled || r.Message != "enough of it" || s.output(t) != "" {
		t.Errorf("%s: %s", r.State, r.Message)
	}
	if states(r)[scheduler.AttemptKilled] == 0 || !slices.Contains(s.mu.calls, "abort") {
		t.Errorf("attempts %v, calls %v", states(r), s.mu.calls)
	}
}

func TestKillComesTooLate(t *testing.T) {
	s := newSite(t)
	committing, goOn := make(chan struct{}), make(chan struct{})
	s.engine.hooks.commit = func() error {
		close(committing)
		<-goOn
		return nil
	}
	ctx, c := s.start(t)
	<-committing
	r, err := c.Status(ctx)
	if err != nil || r.State != scheduler.JobCommitting || r.Message != "publishing the output" {
		t.Errorf("status %s %s, %v", r.State, r.Message, err)
	}
	err = c.Kill(ctx, "no")
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "is being published") {
		t.Errorf("got %v", err)
	}
	close(goOn)
	s.mustMatch(t, s.end(t, ctx))
}

func TestHopelessPlanFailsTheJob(t *testing.T) {
	s := newSite(t)
	s.engine.hooks.plan = func() error { return errs.Errorf("", errs.NotFound, nil, "no such input") }
	if r := s.run(t); r.State != scheduler.JobFailed || r.Message != "not found: no such input" || r.Masters != 1 {
		t.Errorf("%+v", r)
	}
}

func TestTroubleWithThePlanIsLeftToAnotherMaster(t *testing.T) {
	s := newSite(t)
	first := once()
	s.engine.hooks.plan = func() error {
		if first() {
			return errs.Errorf("", errs.Unavailable, nil, "store is away")
		}
		return nil
	}
	r := s.run(t)
	s.mustMatch(t, r)
	if r.Masters != 2 {
		t.Errorf("%d application masters", r.Masters)
	}
}

func TestCommitIsRepeatedBySuccessors(t *testing.T) {
	s := newSite(t)
	n := 0
	s.engine.hooks.commit = func() error {
		if n++; n < 6 { // more than Retry.Job allows: past the point of no return nobody counts
			return errs.Errorf("", errs.Unavailable, nil, "store is away")
		}
		return nil
	}
	s.mustMatch(t, s.run(t))
}

func TestNoExecutorIsLeft(t *testing.T) {
	s := newSite(t)
	s.body.before = func(ctx context.Context, a scheduler.Attempt) error {
		for i := range 2 {
			_ = s.launcher.Crash(s.executors(), i) // it may not run just now
		}
		<-ctx.Done()
		return nil
	}
	r := s.run(t)
	if r.State != scheduler.JobFailed || !strings.Contains(r.Message, "no executor is left") {
		t.Errorf("%s: %s", r.State, r.Message)
	}
}

func TestExecutorGivesUpWithoutMaster(t *testing.T) {
	s := newSite(t)
	root := t.TempDir()
	err := executor.Run(t.Context(), executor.Config{
		Job: s.job, Container: "executor-0.0", Coord: s.co, Secret: secret, Body: s.body,
		Dirs:    executor.Dirs{Node: root, Scratch: filepath.Join(root, "s"), Logs: filepath.Join(root, "l")},
		Options: executor.Options{Lease: 50 * time.Millisecond},
	})
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "no application master for 50ms") {
		t.Errorf("got %v", err)
	}
}

// TestBackupOvertakes: an attempt that hangs is overtaken by another on the other executor, and ended.
func TestBackupOvertakes(t *testing.T) {
	s := newSite(t)
	s.options.BackupAfter = 20 * time.Millisecond
	s.body.before = func(ctx context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-4") && a.ID.N == 0 {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	r := s.run(t)
	s.mustMatch(t, r)
	n := states(r)
	if n[scheduler.AttemptKilled] != 1 || n[scheduler.AttemptSucceeded] != 8 || r.Stages[0].Killed != 1 {
		t.Errorf("attempts %+v", r.Attempts)
	}
	checkRuns(t, r)
}

// TestGivenUp: a job that can spare a map goes on without it.
func TestGivenUp(t *testing.T) {
	s := newSite(t)
	s.engine.mayFail = 1
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-4") {
			return errs.Errorf("toy", errs.Failed, nil, "bad record")
		}
		return nil
	}
	r := s.run(t)
	if r.State != scheduler.JobSucceeded || r.Stages[0].GivenUp != 1 || r.Stages[0].Failed != 4 ||
		!strings.HasSuffix(s.output(t), "maps 5\n") {
		t.Errorf("%s %s: %+v, %q", r.State, r.Message, r.Stages[0], s.output(t))
	}
}

// TestHungAttempt: one that cannot even be ended costs its executor, not the job.
func TestHungAttempt(t *testing.T) {
	s := newSite(t)
	s.grace = 10 * time.Millisecond
	s.job.Retry.Timeout = time.Second // longer than any of the others is silent, however slow this machine
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-2") && a.ID.N == 0 {
			<-end
		}
		return nil
	}
	r := s.run(t)
	s.mustMatch(t, r)
	if states(r)[scheduler.AttemptFailed] != 1 || len(s.mu.ran) < 9 {
		t.Errorf("attempts %+v", r.Attempts)
	}
	i := slices.IndexFunc(r.Attempts, func(a am.AttemptReport) bool { return a.State == scheduler.AttemptFailed })
	if i < 0 || !strings.Contains(r.Attempts[i].Error, "it gave no news for 1s") {
		t.Errorf("attempts %+v", r.Attempts)
	}
}
