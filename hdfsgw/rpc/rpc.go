// Package rpc serves a namespace over Hadoop's own RPC as a NameNode does, so that unmodified clients of hdfs:// work:
// Java's, and those in Go, Rust and C++ that speak the same protocol.
//
// A connection begins with a handshake and a frame that says who is connected, and goes on with a frame for each call:
//
//	"hrpc" | version 9 | service class | auth: 0 simple, 0xDF SASL
//	length 4 | header length varint | RpcRequestHeader | length varint | IpcConnectionContext
//	length 4 | header length varint | RpcRequestHeader | length varint | RequestHeader | length varint | request
//	length 4 | header length varint | RpcResponseHeader | length varint | response        the answer, in any order
//
// Blocks are read and written with another protocol, of package datatransfer, at the same address: the first bytes tell
// which one a connection speaks. So clients reach the data wherever they reached the names, whatever lies between.
//
// # Retries
//
// A client that got no answer asks again with the same client id and call id, perhaps at another gateway. Both become
// the id of the operation in the journal, so it is done once, and answered as it was the first time.
package rpc

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/datatransfer"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Options of a Server. The zero Options are for a trusted caller on loopback.
type Options struct {
	Realm namespace.Realm // the Superuser "" means "root"
	// Secret is what delegation tokens are made with; callers must have one then. "" means that callers are believed who
	// they say they are.
	Secret string
	// Host is the name or address under which clients reach the data; "" means the one at which they reached us.
	Host string

	BlockSize   int64 // that is proposed to clients, in bytes; 0 means 128 MiB
	Replication int16 // that is proposed to clients, a number only; 0 means 1
	ListLimit   int   // entries of one page of a listing; 0 means 1000

	Trash time.Duration // as webhdfs.Options has it
}

func (o Options) withDefaults() Options {
	o.Realm.Superuser = cmp.Or(o.Realm.Superuser, "root")
	o.BlockSize = cmp.Or(o.BlockSize, 128<<20)
	o.Replication = cmp.Or(o.Replication, 1)
	o.ListLimit = cmp.Or(o.ListLimit, 1000)
	return o
}

// Limits.
const (
	maxConns    = 4096             // connections at once; others are hung up on
	maxCalls    = 64               // of one connection at once; others wait in the network
	maxFrame    = 16 << 20         // bytes
	frameTime   = time.Minute      // for a frame, once it has begun
	writeTime   = 2 * time.Minute  // for an answer
	inputBuffer = 32 << 10         // bytes
	greetTime   = 30 * time.Second // for the handshake
	acceptPause = 50 * time.Millisecond
)

// Server speaks both protocols. Any number of connections may be served at once.
type Server struct {
	names   datatransfer.Names
	data    *datatransfer.Server
	o       Options
	methods map[string]method
}

// New returns a server of the namespace that names finds, and of its blocks in st. The error of names is told to
// clients: on standby it is of class namespace.Standby.
func New(st store.Store, names datatransfer.Names, o Options) *Server {
	return &Server{names: names, data: datatransfer.New(st, names), o: o.withDefaults(), methods: methods()}
}

// Serve serves the connections that arrive until ctx ends, and then closes the listener and them. It returns nil then,
// and else why nothing can arrive any more.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	places := make(chan struct{}, maxConns)
	for {
		nc, err := l.Accept()
		switch {
		case errs.KindOf(err) == errs.Exhausted: // no file is free for it; one will be
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		case errors.Is(err, net.ErrClosed):
			cancel()
			return nil
		case err != nil:
			cancel()
			return err
		}
		select {
		case places <- struct{}{}:
		default:
			nc.Close() // it is told by that
			continue
		}
		all.Go(func() {
			defer func() { <-places }()
			defer context.AfterFunc(ctx, func() { nc.Close() })()
			defer nc.Close()
			s.serve(ctx, nc)
		})
	}
}

// wrongPort is what Hadoop tells a web browser.
const wrongPort = "HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\n" +
	"It looks like you are making an HTTP request to a Hadoop IPC port. " +
	"This is not the correct port for the web interface on this daemon.\r\n"

// serve finds out which protocol a connection speaks. What goes wrong ends the connection and is nobody else's
// business.
func (s *Server) serve(ctx context.Context, nc net.Conn) {
	in := bufio.NewReaderSize(nc, inputBuffer)
	if err := nc.SetDeadline(time.Now().Add(greetTime)); err != nil {
		return
	}
	first, err := in.Peek(len(datatransfer.Magic))
	switch {
	case err != nil:
	case string(first) == datatransfer.Magic:
		_ = s.data.Serve(ctx, nc, in)
	case string(first) == "GE":
		_, _ = io.WriteString(nc, wrongPort)
	default:
		c := &conn{Server: s, nc: nc, in: in, slots: make(chan struct{}, maxCalls)}
		_ = c.serve(ctx)
	}
}
