package supervise_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/supervise"
)

// run is a process that lives for a time, or until it is made to end.
type run struct {
	life     time.Duration
	stubborn bool
	end      chan launch.Exit
}

func (r *run) Wait() launch.Exit {
	select {
	case <-time.After(r.life):
		return launch.Exit{Code: 1}
	case e := <-r.end:
		return e
	}
}

func (r *run) Terminate() {
	if !r.stubborn {
		r.end <- launch.Exit{Code: -1, Signal: "terminated"}
	}
}

func (r *run) Kill() { r.end <- launch.Exit{Code: -1, Signal: "killed"} }

var group = launch.Group{ID: launch.GroupID{Job: "abcd-x", Role: "worker"}, Command: []string{"x"}, Count: 1}

// TestBackOff measures, on a clock of its own, when a container is restarted.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Duration
		lives := []time.Duration{0, 0, 0, time.Minute, 0, 0} // the fourth run was healthy
		began := time.Now()
		l := supervise.New(func(launch.Group, launch.Container) (supervise.Process, error) {
			starts = append(starts, time.Since(began))
			life := lives[0]
			lives = append(lives[1:], 0)
			return &run{life: life, end: make(chan launch.Exit, 1)}, nil
		})
		g := group
		g.Restart = launch.Restart{Attempts: 3, Delay: time.Second, MaxDelay: 3 * time.Second, Healthy: time.Minute}
		if err := l.Start(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		for e, err := range l.Watch(t.Context(), g.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if e.State == launch.Failed {
				if e.Container.Restart != 6 {
					t.Errorf("failed as %v", e.Container)
				}
				break
			}
		}
		// Half of the delay is chance: 1 s, 2 s, 3 s; then, after a healthy minute, the same again.
		var gaps []time.Duration
		for i := 1; i < len(starts); i++ {
			gaps = append(gaps, starts[i]-starts[i-1])
		}
		for i, want := range []time.Duration{1, 2, 3, 61, 2, 3} {
			want *= time.Second
			delay := want
			if want > time.Minute {
				delay -= time.Minute
			}
			if i >= len(gaps) || gaps[i] < want-delay/2 || gaps[i] > want+delay/2 {
				t.Errorf("restart %d came after %v, want about %v", i+1, gaps, want)
				break
			}
		}
		l.Close()
	})
}

func TestGraceIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := supervise.New(func(launch.Group, launch.Container) (supervise.Process, error) {
			return &run{life: time.Hour, stubborn: true, end: make(chan launch.Exit, 1)}, nil
		})
		if err := l.Start(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		l.Close()
		if took := time.Since(began); took != launch.DefaultGrace {
			t.Errorf("it took %v", took)
		}
		if err := l.Start(t.Context(), group); !errs.Retryable(err) {
			t.Errorf("start after Close: %v", err)
		}
	})
}

func TestStopDuringBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := supervise.New(func(launch.Group, launch.Container) (supervise.Process, error) {
			return nil, errors.New("no memory")
		})
		g := group
		g.Restart = launch.Restart{Attempts: 10, Delay: time.Hour}
		if err := l.Start(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Stop(ctx, g.ID); err != nil {
			t.Fatal(err)
		}
		for e, err := range l.Watch(ctx, g.ID) {
			if err != nil || e.State != launch.Done {
				t.Errorf("got %v, %v", e, err)
			}
			break
		}
	})
}
