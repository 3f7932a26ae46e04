package mem_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/launchtest"
	"github.com/seed3322913c/runner/scheduler/launch/mem"
)

func TestMain(m *testing.M) {
	// The suite's stubborn containers never end, being goroutines.
	const stubborn = "github.com/seed3322913c/runner/scheduler/launch/launchtest.Behave"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(stubborn))
}

// behave runs a container of the suite.
func behave(ctx context.Context, g launch.Group, c launch.Container) error {
	return launchtest.Behave(ctx, g.Command[len(g.Command)-1], func(key string) string {
		if key == launch.ContainerEnv {
			return c.String()
		}
		return g.Env[key] + g.Secrets[key]
	})
}

func TestConformance(t *testing.T) {
	launchtest.Run(t, launchtest.Driver{
		New: func(t *testing.T) launch.Launcher {
			l := mem.New(behave)
			t.Cleanup(l.Close)
			return l
		},
		Command: func(how string) []string { return []string{how} },
	})
}

func TestCrash(t *testing.T) {
	l := mem.New(behave)
	defer l.Close()
	ctx := t.Context()
	g := launch.Group{
		ID: launch.GroupID{Job: "abcd-x", Role: "am"}, Command: []string{"run"}, Count: 1,
		Restart: launch.Restart{Attempts: 1},
	}
	if err := l.Crash(g.ID, 0); errs.KindOf(err) != errs.NotFound {
		t.Errorf("crash of nothing: %v", err)
	}
	if err := l.Start(ctx, g); err != nil {
		t.Fatal(err)
	}
	for e, err := range l.Watch(ctx, g.ID) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.State == launch.Running:
			if err := l.Crash(g.ID, 0); err != nil {
				t.Fatal(err)
			}
		case e.State == launch.Failed:
			if e.Container.Restart != 1 || e.Exit.Signal != "killed" {
				t.Errorf("got %+v", e)
			}
			return
		}
	}
}
