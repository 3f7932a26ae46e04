package remote_test

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/launchtest"
	"github.com/seed3322913c/runner/scheduler/launch/mem"
	"github.com/seed3322913c/runner/scheduler/launch/remote"
)

func TestMain(m *testing.M) {
	const stubborn = "github.com/seed3322913c/runner/scheduler/launch/launchtest.Behave" // ends with the process
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(stubborn))
}

// serve offers a launcher of goroutines and returns its address.
func serve(t *testing.T) string {
	l := mem.New(func(ctx context.Context, g launch.Group, c launch.Container) error {
		return launchtest.Behave(ctx, g.Command[0], func(key string) string {
			if key == launch.ContainerEnv {
				return c.String()
			}
			return g.Env[key] + g.Secrets[key]
		})
	})
	t.Cleanup(l.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- remote.Serve(ctx, ln, l, "open sesame") }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func dial(t *testing.T, address, secret string) *remote.Client {
	c, err := remote.Dial(address, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConformance(t *testing.T) {
	launchtest.Run(t, launchtest.Driver{
		New:     func(t *testing.T) launch.Launcher { return dial(t, serve(t), "open sesame") },
		Command: func(how string) []string { return []string{how} },
	})
}

func TestSecret(t *testing.T) {
	c := dial(t, serve(t), "open barley")
	id := launch.GroupID{Job: "abcd-x", Role: "am"}
	if err := c.Stop(t.Context(), id); errs.KindOf(err) != errs.Permission {
		t.Errorf("stop: %v", err)
	}
	for _, err := range c.Watch(t.Context(), id) {
		if errs.KindOf(err) != errs.Permission {
			t.Errorf("watch: %v", err)
		}
	}
}
