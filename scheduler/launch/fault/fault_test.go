package fault_test

import (
	"context"
	"errors"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/fault"
	"github.com/seed3322913c/runner/scheduler/launch/launchtest"
	"github.com/seed3322913c/runner/scheduler/launch/mem"
)

func newMem(t *testing.T) *mem.Launcher {
	l := mem.New(func(ctx context.Context, g launch.Group, c launch.Container) error {
		return launchtest.Behave(ctx, g.Command[0], func(key string) string {
			if key == launch.ContainerEnv {
				return c.String()
			}
			return g.Env[key] + g.Secrets[key]
		})
	})
	t.Cleanup(l.Close)
	return l
}

func TestConformance(t *testing.T) {
	launchtest.Run(t, launchtest.Driver{
		New:     func(t *testing.T) launch.Launcher { return fault.New(newMem(t)) },
		Command: func(how string) []string { return []string{how} },
	})
}

func TestRules(t *testing.T) {
	f := fault.New(newMem(t),
		fault.Rule{Op: "Start", Nth: 1, Err: errs.Unavailable},
		fault.Rule{Op: "Scale", Nth: 1, Err: errs.Unavailable, Lost: true},
		fault.Rule{Op: "Watch", Nth: 1, Err: errs.Unavailable},
	)
	ctx := t.Context()
	g := launch.Group{ID: launch.GroupID{Job: "abcd-x", Role: "am"}, Command: []string{"run"}, Count: 1}
	if err := f.Start(ctx, g); !errors.Is(err, errs.Unavailable) {
		t.Errorf("first start: %v", err)
	}
	if err := f.Scale(ctx, g.ID, 2); !errors.Is(err, errs.Unavailable) {
		t.Errorf("first scale: %v", err)
	}
	if err := f.Scale(ctx, g.ID, 2); !errors.Is(err, errs.NotFound) {
		t.Errorf("the failed start was made: %v", err)
	}
	if err := f.Start(ctx, g); err != nil {
		t.Errorf("second start: %v", err)
	}
	for _, err := range f.Watch(ctx, g.ID) {
		if !errors.Is(err, errs.Unavailable) {
			t.Errorf("first watch: %v", err)
		}
	}
	for e, err := range f.Watch(ctx, g.ID) {
		if err != nil || e.State != launch.Running {
			t.Errorf("second watch: %v, %v", e, err)
		}
		break
	}
	if f.Calls("Start") != 2 || f.Calls("Stop") != 0 {
		t.Errorf("counted %d starts, %d stops", f.Calls("Start"), f.Calls("Stop"))
	}
}
