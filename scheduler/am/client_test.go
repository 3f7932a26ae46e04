package am_test

import (
	"encoding/json"
	"net"
	"testing"

	"google.golang.org/grpc"

	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// played is what clients see of an application master: one report, and no other as long as its job goes on.
type played struct {
	amrpc.UnimplementedClientsServer
	report am.Report
}

func (p played) Watch(_ *amrpc.StatusRequest, out grpc.ServerStreamingServer[amrpc.StatusReply]) error {
	data, err := json.Marshal(p.report)
	if err != nil {
		return err
	}
	if err := out.Send(&amrpc.StatusReply{Report: data}); err != nil || p.report.State.Final() {
		return err
	}
	<-out.Context().Done()
	return out.Context().Err()
}

// serve returns where the played application master is.
func (p played) serve(t *testing.T, epoch uint64) amrpc.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := rpc.NewServer(rpc.Peer{Secret: secret, Epoch: epoch})
	amrpc.RegisterClientsServer(s, p)
	go func() { _ = s.Serve(ln) }() // it ends with the test
	t.Cleanup(s.Stop)
	return amrpc.Endpoint{Address: ln.Addr().String(), Epoch: epoch}
}

// TestWatchOutlivesItsConnection: the application master's machine is gone without a word, and whoever watches has not
// noticed. Another call of the same client goes to the next one, and the watch goes there too.
func TestWatchOutlivesItsConnection(t *testing.T) {
	const job = scheduler.JobID("abcd-watched")
	ctx, co := t.Context(), mem.New()
	first := played{report: am.Report{State: scheduler.JobRunning}}.serve(t, 1)
	next := played{report: am.Report{State: scheduler.JobSucceeded}}.serve(t, 2)
	version, err := co.Swap(ctx, amrpc.Key(job), 0, first.Encode())
	if err != nil {
		t.Fatal(err)
	}
	c, err := am.Dial(ctx, co, job, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var seen []scheduler.JobState
	for r, err := range c.Watch(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, r.State); len(seen) > 1 {
			break
		}
		if _, err := co.Swap(ctx, amrpc.Key(job), version, next.Encode()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(ctx); err == nil {
			t.Error("a played application master knew its status")
		}
	}
	if len(seen) != 2 || seen[1] != scheduler.JobSucceeded {
		t.Errorf("saw %v", seen)
	}
}
