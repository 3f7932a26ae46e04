// Package datatransfer speaks Hadoop's DataTransferProtocol: it is the data node that native clients of the gateway
// read blocks from and write them to.
//
// A connection carries one operation after the other. Each begins with
//
//	0x001C | op byte | length varint | protobuf
//
// and is answered with `length varint | BlockOpResponse`. What follows a read or a write are packets, in the direction
// of the data, until an empty one that says it is the last:
//
//	length 4 | header length 2 | PacketHeader | CRCs, 4 bytes for each 512 of data | data
//	           length is that of the CRCs, the data, and itself
//
// A writer gets one PipelineAck for each packet. There is no pipeline: what durability means is the store's business. A
// client may be told of several data nodes, all of them this one. When its connection breaks it gives the first of them
// up and goes on with the next, in a stage of recovery: it says how much it knows to have arrived, and sends the rest.
//
// # Tickets
//
// Nobody is asked here who he is. Whoever comes brings the ticket for his block that the name node's side has issued
// (a Hadoop client takes it for a block token), and it says all: which bytes may be read, or which file is written and
// by whom. So reading needs nothing of the namespace, and permissions are checked where files are opened.
//
// # Writing
//
// HDFS's client thinks of blocks that grow. Here a block is an immutable object, so what a client writes as one block
// becomes one object, or several if it flushes: a flush (hflush, hsync, or a connection that breaks) ends the object,
// and enters it in the namespace, and the rest goes into the next one. An object is made durable while the client
// writes its next block; whoever closes the file waits for all of them.
//
//	packets ──▶ receiver ──▶ block.Writer ──commit──▶ upload.done ──Settle──▶ namespace
package datatransfer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Magic begins each operation, and so tells a connection of this protocol from one of the name node's.
const Magic = "\x00\x1c"

// The operations that are known.
const (
	opWrite    = 80
	opRead     = 81
	opChecksum = 85
	opTransfer = 86
)

// Limits.
const (
	maxMessage    = 1 << 20          // bytes of an operation's request
	maxTransfers  = 1024             // operations at once; others wait
	idleTime      = 10 * time.Second // between two operations of a connection; Hadoop's clients keep one for 3 s
	requestTime   = time.Minute      // for a request, once it has begun
	transferPause = 8 * time.Minute  // in which not one packet moves, as at Hadoop
)

// Names finds the namespace that blocks belong to, while this process leads it; the error is told to clients.
type Names func(ctx context.Context) (*namespace.Service, error)

// Server is a data node. Any number of connections may be served at once.
type Server struct {
	store store.Store
	names Names
	key   []byte // of the tickets
	slots chan struct{}

	mu struct {
		sync.Mutex
		uploads   map[Writer]*upload
		receivers map[Writer]*receiver // the connection that a writer sends on
	}
}

// New returns the data node of the blocks in st.
func New(st store.Store, names Names) *Server {
	s := &Server{store: st, names: names, key: newKey(), slots: make(chan struct{}, maxTransfers)}
	s.mu.uploads, s.mu.receivers = map[Writer]*upload{}, map[Writer]*receiver{}
	return s
}

// conn is a connection to one client.
type conn struct {
	*Server
	net.Conn
	in *bufio.Reader
}

// Serve answers the operations of a connection until it ends or ctx does. in reads from it, and may hold some of it
// already. It does not close the connection. The error says why it ended before the client hung up.
func (s *Server) Serve(ctx context.Context, nc net.Conn, in *bufio.Reader) error {
	c := &conn{s, nc, in}
	for {
		if err := c.serveOne(ctx); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// serveOne answers one operation; io.EOF says that there are no more.
func (c *conn) serveOne(ctx context.Context) error {
	if err := c.SetReadDeadline(time.Now().Add(idleTime)); err != nil {
		return err
	}
	var head [3]byte
	if _, err := io.ReadFull(c.in, head[:1]); err != nil {
		return io.EOF // it hung up or has nothing more to ask
	}
	if err := c.SetDeadline(time.Now().Add(requestTime)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.in, head[1:]); err != nil {
		return err
	}
	if string(head[:2]) != Magic {
		return malformed("version %x", head[:2])
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	switch head[2] {
	case opRead:
		return serve(ctx, c, (*conn).read)
	case opWrite:
		return serve(ctx, c, (*conn).write)
	case opChecksum:
		return serve(ctx, c, (*conn).checksum)
	case opTransfer:
		return serve(ctx, c, (*conn).transfer)
	}
	// What follows can't be understood, so the connection has to end.
	return errors.Join(c.refuse(hadoop.Status_ERROR_UNSUPPORTED, "Unsupported operation %d", head[2]),
		malformed("operation %d", head[2]))
}

// serve reads a request and answers it.
func serve[T any, P interface {
	*T
	proto.Message
}](ctx context.Context, c *conn, answer func(*conn, context.Context, P) error) error {
	request := P(new(T))
	if err := readMessage(c.in, request); err != nil {
		return err
	}
	return answer(c, ctx, request)
}

func malformed(format string, args ...any) error {
	return errs.Errorf("datatransfer.Serve", errs.Invalid, nil, "malformed: %s", fmt.Sprintf(format, args...))
}

// readMessage reads `length varint | protobuf`.
func readMessage(in *bufio.Reader, m proto.Message) error {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	if n > maxMessage {
		return malformed("a message of %d bytes", n)
	}
	data, err := readN(in, nil, int(n))
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return malformed("%v", err)
	}
	return nil
}

// readN reads n bytes into buf, which grows as they come: not who says that he will send much gets memory, but who
// does.
func readN(in io.Reader, buf []byte, n int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < n {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, min(n-len(buf), max(len(buf), 64<<10)))...)[:len(buf)]
		}
		part := buf[len(buf):min(cap(buf), n)]
		if _, err := io.ReadFull(in, part); err != nil {
			return buf, err
		}
		buf = buf[:len(buf)+len(part)]
	}
	return buf, nil
}

// send writes `length varint | protobuf`.
func (c *conn) send(m proto.Message) error {
	b := binary.AppendUvarint(make([]byte, 0, 64), uint64(proto.Size(m)))
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err == nil {
		_, err = c.Write(b)
	}
	return err
}

// refuse answers an operation with an error.
func (c *conn) refuse(status hadoop.Status, format string, args ...any) error {
	return c.send(&hadoop.BlockOpResponse{Status: &status, Message: proto.String(fmt.Sprintf(format, args...)),
		FirstBadLink: proto.String("")})
}
