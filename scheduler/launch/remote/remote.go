// Package remote lets another process use a launcher: an application master starts executors whose parent it is not, so
// that they survive it.
//
//	supervisor: remote.Serve(ctx, listener, local, secret)      application master: remote.Dial(address, secret)
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net"

	"google.golang.org/grpc"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/launchrpc"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// Serve offers l to whoever knows the secret, until ctx ends; then it returns nil. It closes ln.
func Serve(ctx context.Context, ln net.Listener, l launch.Launcher, secret string) error {
	s := rpc.NewServer(rpc.Peer{Secret: secret})
	launchrpc.RegisterLauncherServer(s, &server{launcher: l})
	defer context.AfterFunc(ctx, s.Stop)()
	if err := s.Serve(ln); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return errs.E("remote.Serve", errs.Other, ln.Addr(), err)
	}
	return nil
}

type server struct {
	launchrpc.UnimplementedLauncherServer
	launcher launch.Launcher
}

func (s *server) Start(ctx context.Context, r *launchrpc.StartRequest) (*launchrpc.StartReply, error) {
	var g launch.Group
	if err := json.Unmarshal(r.Group, &g); err != nil {
		return nil, errs.E("remote.Start", errs.Invalid, nil, err)
	}
	return &launchrpc.StartReply{}, s.launcher.Start(ctx, g)
}

func (s *server) Scale(ctx context.Context, r *launchrpc.ScaleRequest) (*launchrpc.ScaleReply, error) {
	id, err := launch.ParseGroupID(r.Group)
	if err != nil {
		return nil, err
	}
	return &launchrpc.ScaleReply{}, s.launcher.Scale(ctx, id, int(r.Count))
}

func (s *server) Stop(ctx context.Context, r *launchrpc.StopRequest) (*launchrpc.StopReply, error) {
	id, err := launch.ParseGroupID(r.Group)
	if err != nil {
		return nil, err
	}
	return &launchrpc.StopReply{}, s.launcher.Stop(ctx, id)
}

func (s *server) Watch(r *launchrpc.WatchRequest, out grpc.ServerStreamingServer[launchrpc.Event]) error {
	id, err := launch.ParseGroupID(r.Group)
	if err != nil {
		return err
	}
	for e, err := range s.launcher.Watch(out.Context(), id) {
		if err != nil {
			return err
		}
		data, err := json.Marshal(e)
		if err != nil {
			return errs.E("remote.Watch", errs.Internal, id, err)
		}
		if err := out.Send(&launchrpc.Event{Event: data}); err != nil {
			return err
		}
	}
	return nil
}

// Client is a launch.Launcher in another process.
type Client struct {
	conn *grpc.ClientConn
	rpc  launchrpc.LauncherClient
}

// Dial returns a client of the launcher that is served at address. It connects when it is first used.
func Dial(address, secret string) (*Client, error) {
	conn, err := rpc.Dial(address, rpc.Peer{Secret: secret})
	if err != nil {
		return nil, err
	}
	return &Client{conn, launchrpc.NewLauncherClient(conn)}, nil
}

// Close ends the connection; the groups stay.
func (c *Client) Close() error { return c.conn.Close() }

// Start implements launch.Launcher.
func (c *Client) Start(ctx context.Context, g launch.Group) error {
	if err := g.Check(); err != nil {
		return err
	}
	data, err := json.Marshal(g)
	if err != nil {
		return errs.E("remote.Start", errs.Internal, g.ID, err)
	}
	_, err = c.rpc.Start(ctx, &launchrpc.StartRequest{Group: data})
	return err
}

// Scale implements launch.Launcher.
func (c *Client) Scale(ctx context.Context, id launch.GroupID, count int) error {
	_, err := c.rpc.Scale(ctx, &launchrpc.ScaleRequest{Group: id.String(), Count: int32(count)})
	return err
}

// Stop implements launch.Launcher.
func (c *Client) Stop(ctx context.Context, id launch.GroupID) error {
	_, err := c.rpc.Stop(ctx, &launchrpc.StopRequest{Group: id.String()})
	return err
}

// Watch implements launch.Launcher.
func (c *Client) Watch(ctx context.Context, id launch.GroupID) iter.Seq2[launch.Event, error] {
	return func(yield func(launch.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx) // ends the stream when the loop stops
		defer cancel()
		stream, err := c.rpc.Watch(ctx, &launchrpc.WatchRequest{Group: id.String()})
		for err == nil {
			var m *launchrpc.Event
			if m, err = stream.Recv(); err != nil {
				break
			}
			var e launch.Event
			if err = json.Unmarshal(m.Event, &e); err == nil && !yield(e, nil) {
				return
			}
		}
		yield(launch.Event{}, errs.E("remote.Watch", errs.Other, id, err))
	}
}
