package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/amrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryKindCrosses(t *testing.T) {
	for k := errs.Other; k <= errs.Internal; k++ {
		sent := errs.Errorf("far.Away", k, "x", "cause")
		got := fromStatus("/service/Call", toStatus(sent))
		if errs.KindOf(got) != k {
			t.Errorf("%v arrived as %v: %v", k, errs.KindOf(got), got)
		}
	}
	if len(kinds) != int(errs.Internal)+1 {
		t.Errorf("%d of %d kinds have a code", len(kinds), errs.Internal+1)
	}
}

func TestOtherCodes(t *testing.T) {
	if err := fromStatus("/s/C", status.Error(codes.DeadlineExceeded, "late")); errs.KindOf(err) != errs.Canceled {
		t.Errorf("deadline: %v", err)
	}
	if err := fromStatus("/s/C", io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("end of a stream: %v", err)
	}
	if fromStatus("/s/C", nil) != nil || toStatus(nil) != nil {
		t.Error("an error from nothing")
	}
}

// echo answers status requests, once or for ever.
type echo struct {
	amrpc.UnimplementedClientsServer
	size int
}

func (e echo) Status(context.Context, *amrpc.StatusRequest) (*amrpc.StatusReply, error) {
	return &amrpc.StatusReply{Report: make([]byte, e.size)}, nil
}

func (e echo) Watch(_ *amrpc.StatusRequest, out grpc.ServerStreamingServer[amrpc.StatusReply]) error {
	if err := out.Send(&amrpc.StatusReply{}); err != nil {
		return err
	}
	return errs.Errorf("echo", errs.Corrupt, nil, "enough")
}

func serve(t *testing.T, server, client Peer, size int) amrpc.ClientsClient {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(server)
	amrpc.RegisterClientsServer(s, echo{size: size})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	conn, err := Dial(ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return amrpc.NewClientsClient(conn)
}

func TestPeersMustAgree(t *testing.T) {
	for name, c := range map[string]struct {
		server, client Peer
		want           errs.Kind
	}{
		"agree":            {Peer{"s", 7}, Peer{"s", 7}, errs.Other},
		"no epoch at all":  {Peer{"s", 0}, Peer{"s", 0}, errs.Other},
		"other secret":     {Peer{"s", 7}, Peer{"t", 7}, errs.Permission},
		"part of a secret": {Peer{"secret", 7}, Peer{"sec", 7}, errs.Permission},
		"other epoch":      {Peer{"s", 7}, Peer{"s", 6}, errs.Fenced},
	} {
		t.Run(name, func(t *testing.T) {
			calls := serve(t, c.server, c.client, 1)
			if _, err := calls.Status(t.Context(), &amrpc.StatusRequest{}); errs.KindOf(err) != c.want {
				t.Errorf("call: %v", err)
			}
			stream, err := calls.Watch(t.Context(), &amrpc.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			if c.want == errs.Other {
				if err != nil {
					t.Errorf("stream: %v", err)
				}
				_, err = stream.Recv()
				c.want = errs.Corrupt // how this stream ends
			}
			if errs.KindOf(err) != c.want {
				t.Errorf("stream: %v", err)
			}
		})
	}
}

func TestLargeMessages(t *testing.T) {
	p := Peer{Secret: "s"}
	if reply, err := serve(t, p, p, MaxMessage-100).Status(t.Context(), &amrpc.StatusRequest{}); err != nil ||
		len(reply.Report) != MaxMessage-100 {
		t.Errorf("got %v", err)
	}
	_, err := serve(t, p, p, MaxMessage+1).Status(t.Context(), &amrpc.StatusRequest{})
	if errs.KindOf(err) != errs.Exhausted {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	conn, err := Dial(ln.Addr().String(), Peer{Secret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := amrpc.NewClientsClient(conn).Status(t.Context(), &amrpc.StatusRequest{}); !errs.Retryable(err) {
		t.Errorf("got %v", err)
	}
}
