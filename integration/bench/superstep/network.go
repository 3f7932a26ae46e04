package main

import (
	"context"
	"net"

	"golang.org/x/time/rate"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/wire"
)

// network is TCP as over a network card: all connections of the process together send so many bytes a second, and
// receive as many. Time for the way is not simulated.
type network struct{ in, out *rate.Limiter }

// burst is how many bytes go at a time.
const burst = 64 << 10

func newNetwork(bytesPerSecond int64) *network {
	limit := rate.Limit(bytesPerSecond)
	return &network{in: rate.NewLimiter(limit, burst), out: rate.NewLimiter(limit, burst)}
}

// Dial implements link.Transport.
func (n *network) Dial(ctx context.Context, address string, s wire.Secret) (link.Link, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return wire.Greet(ctx, &limited{raw, n}, s)
}

// Listen implements link.Transport.
func (n *network) Listen(ctx context.Context, s wire.Secret) (link.Listener, error) {
	raw, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	return &door{raw, n, s}, err
}

type door struct {
	raw     net.Listener
	network *network
	secret  wire.Secret
}

func (d *door) Accept() (link.Link, error) {
	raw, err := d.raw.Accept()
	if err != nil {
		return nil, err
	}
	return wire.Accept(&limited{raw, d.network}, d.secret)
}

func (d *door) Address() string { return d.raw.Addr().String() }
func (d *door) Close() error    { return d.raw.Close() }

// limited is a connection over the card.
type limited struct {
	net.Conn
	network *network
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p[:min(len(p), burst)])
	if werr := l.network.in.WaitN(context.Background(), n); err == nil {
		err = werr
	}
	return n, err
}

func (l *limited) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		n := min(len(p), burst)
		if err = l.network.out.WaitN(context.Background(), n); err == nil {
			n, err = l.Conn.Write(p[:n])
			written, p = written+n, p[n:]
		}
	}
	return written, err
}
