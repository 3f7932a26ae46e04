// Package rpc is how the processes of a job speak gRPC with each other: the limits, the secret, the epoch, the errors.
//
// Every call carries "authorization: Bearer SECRET" and, where there is one, "epoch: N". A server refuses another
// secret with errs.Permission and another epoch with errs.Fenced. Errors of the project keep their kind and their text
// across the wire, in both directions by interceptors, so handlers return and callers get what errs knows.
package rpc

import (
	"context"
	"crypto/subtle"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/seed3322913c/runner/infra/errs"
)

// MaxMessage bounds a message, in bytes. The largest are payloads (a reducer's list of all map outputs) and whole
// reports (a hundred thousand attempts); bulk data never comes this way.
const MaxMessage = 64 << 20

const (
	secretHeader = "authorization"
	epochHeader  = "epoch"
	bearer       = "Bearer "
)

// Peer is what both ends of a connection must agree on.
type Peer struct {
	Secret string
	Epoch  uint64 // 0: this service has none
}

// NewServer returns a server that serves callers with the same Peer only.
func NewServer(p Peer) *grpc.Server {
	return grpc.NewServer(
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: keepaliveTime / 2, PermitWithoutStream: true,
		}),
		grpc.UnaryInterceptor(p.serveUnary),
		grpc.StreamInterceptor(p.serveStream),
	)
}

func (p Peer) serveUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	if err := p.admit(ctx, info.FullMethod); err != nil {
		return nil, toStatus(err)
	}
	reply, err := h(ctx, req)
	return reply, toStatus(err)
}

func (p Peer) serveStream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	if err := p.admit(s.Context(), info.FullMethod); err != nil {
		return toStatus(err)
	}
	return toStatus(h(srv, s))
}

// admit says whether a call may be served.
func (p Peer) admit(ctx context.Context, method string) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if subtle.ConstantTimeCompare([]byte(first(md, secretHeader)), []byte(bearer+p.Secret)) != 1 {
		return errs.Errorf("rpc.Serve", errs.Permission, method, "wrong or no secret")
	}
	if epoch := first(md, epochHeader); p.Epoch != 0 && epoch != strconv.FormatUint(p.Epoch, 10) {
		return errs.Errorf("rpc.Serve", errs.Fenced, method, "called under epoch %q, this is %d", epoch, p.Epoch)
	}
	return nil
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// keepaliveTime is how long a connection may be silent before it is tried, so that a machine that vanished is noticed.
const keepaliveTime = 10 * time.Second

// Dial returns a connection to address (host:port), which is made when it is first used, and again when it broke.
func Dial(address string, p Peer) (*grpc.ClientConn, error) {
	again := backoff.Config{
		BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second,
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // within one machine or a private subnet
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: 5 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTime}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithUnaryInterceptor(p.callUnary),
		grpc.WithStreamInterceptor(p.callStream),
	)
	if err != nil {
		return nil, errs.E("rpc.Dial", errs.Invalid, address, err)
	}
	return conn, nil
}

// introduce adds what a server wants to know.
func (p Peer) introduce(ctx context.Context) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, secretHeader, bearer+p.Secret)
	if p.Epoch != 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, epochHeader, strconv.FormatUint(p.Epoch, 10))
	}
	return ctx
}

func (p Peer) callUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return fromStatus(method, invoke(p.introduce(ctx), method, req, reply, cc, opts...))
}

func (p Peer) callStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(p.introduce(ctx), desc, cc, method, opts...)
	if err != nil {
		return nil, fromStatus(method, err)
	}
	return &stream{s, method}, nil
}

// stream turns the errors of a stream.
type stream struct {
	grpc.ClientStream
	method string
}

func (s *stream) RecvMsg(m any) error { return fromStatus(s.method, s.ClientStream.RecvMsg(m)) }
