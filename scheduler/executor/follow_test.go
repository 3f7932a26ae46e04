package executor

import (
	"context"
	"iter"
	"net"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// master is an application master that has no work.
type master struct {
	amrpc.UnimplementedExecutorsServer
	registered atomic.Int32
	first      chan struct{} // closed when an executor has registered
}

func (m *master) Register(context.Context, *amrpc.RegisterRequest) (*amrpc.RegisterReply, error) {
	if m.registered.Add(1) == 1 {
		close(m.first)
	}
	return &amrpc.RegisterReply{HeartbeatMillis: 1000, DeadMillis: 10_000}, nil
}

func (m *master) Next(ctx context.Context, _ *amrpc.NextRequest) (*amrpc.NextReply, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (m *master) Heartbeat(context.Context, *amrpc.HeartbeatRequest) (*amrpc.HeartbeatReply, error) {
	return &amrpc.HeartbeatReply{}, nil
}

// broken is a coordinator whose watches fail after what they say first, but for the last, which says that the job is
// over.
type broken struct {
	coord.Coordinator
	says  [][]amrpc.Endpoint // by each watch
	after <-chan struct{}    // before which none fails
}

func (b *broken) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	says := b.says[0]
	b.says = b.says[1:]
	return func(yield func(coord.Event, error) bool) {
		for i, e := range says {
			value := coord.Value{Data: e.Encode(), Version: coord.Version(i + 1)}
			if !yield(coord.Event{Key: coord.Key(prefix), Value: value}, nil) {
				return
			}
		}
		<-b.after
		yield(coord.Event{}, errs.Errorf("broken.Watch", errs.Unavailable, nil, "a server is replaced"))
	}
}

// TestWatchBeginsAgain: an executor whose watch of its application master's address begins again stays registered with
// that one, and is not led back to one before it.
func TestWatchBeginsAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &master{first: make(chan struct{})}
	cfg := testConfig(t, func(context.Context, scheduler.Attempt, scheduler.Reporter) ([]byte, error) { return nil, nil })
	server := rpc.NewServer(rpc.Peer{Secret: cfg.Secret, Epoch: 2})
	amrpc.RegisterExecutorsServer(server, m)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln) // it ends with the test
	}()
	defer func() { server.Stop(); <-served }()
	here := amrpc.Endpoint{Address: ln.Addr().String(), Epoch: 2}
	before := amrpc.Endpoint{Address: "127.0.0.1:1", Epoch: 1}
	over := amrpc.Endpoint{Epoch: 2, Over: true}
	cfg.Coord = &broken{cfg.Coord, [][]amrpc.Endpoint{{here}, {here}, {before}, {here}, {here, over}}, m.first}
	if err := Run(t.Context(), cfg); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if n := m.registered.Load(); n != 1 {
		t.Errorf("it has registered %d times", n)
	}
}
