package rpc

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// clientProtocol is the one protocol that is spoken.
const clientProtocol = "org.apache.hadoop.hdfs.protocol.ClientProtocol"

// call is one request on its way.
type call struct {
	*conn
	ctx    context.Context // the request's, as net/http has it: a call lives no longer
	names  *namespace.Service
	header *hadoop.RpcRequestHeader
}

// method answers calls.
type method struct {
	quick  bool // needs no journal and no walk, so that it is done while the next call waits
	answer func(*call, []byte) (proto.Message, error)
}

// on makes a method of a function that takes a decoded request.
func on[T any, P interface {
	*T
	proto.Message
}](answer func(*call, P) (proto.Message, error)) method {
	return method{answer: func(c *call, data []byte) (proto.Message, error) {
		request := P(new(T))
		if err := decode(data, request); err != nil {
			return nil, err
		}
		return answer(c, request)
	}}
}

func quick(m method) method {
	m.quick = true
	return m
}

// unknownMethod is an error of the call's header.
type unknownMethod struct {
	detail         hadoop.RpcResponseHeader_Detail
	class, message string
}

func (u *unknownMethod) Error() string { return u.message }

// find returns what a call asks for.
func (s *Server) find(h *hadoop.RequestHeader) (method, error) {
	if p := h.GetDeclaringClass(); p != clientProtocol {
		return method{}, &unknownMethod{hadoop.RpcResponseHeader_NO_SUCH_PROTOCOL,
			"org.apache.hadoop.ipc.RpcNoSuchProtocolException", "Unknown protocol: " + p}
	}
	m, ok := s.methods[h.GetMethodName()]
	if !ok {
		return method{}, &unknownMethod{hadoop.RpcResponseHeader_NO_SUCH_METHOD,
			"org.apache.hadoop.ipc.RpcNoSuchMethodException",
			fmt.Sprintf("Unknown method %s called on %s protocol.", h.GetMethodName(), clientProtocol)}
	}
	return m, nil
}

// call answers a call, or begins to. An error ends the connection.
func (c *conn) call(ctx context.Context, h *hadoop.RpcRequestHeader, frame []byte) error {
	header := new(hadoop.RequestHeader)
	frame, err := next(frame, header)
	if err != nil {
		return err
	}
	request, _, err := cut(frame)
	if err != nil {
		return err
	}
	m, err := c.find(header)
	if err != nil {
		return c.refuse(h, err)
	}
	work := func() error {
		answer, err := c.answer(ctx, m, h, request)
		if err != nil {
			return c.refuse(h, err)
		}
		return c.reply(h, &hadoop.RpcResponseHeader{}, answer)
	}
	if m.quick {
		return work()
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.calls.Go(func() {
		defer func() { <-c.slots }()
		if work() != nil {
			c.nc.Close() // it can't be answered, and the client would wait for it
		}
	})
	return nil
}

// answer executes a call.
func (c *conn) answer(ctx context.Context, m method, h *hadoop.RpcRequestHeader, request []byte) (proto.Message,
	error) {
	names, err := c.Server.names(ctx)
	if err != nil {
		return nil, err
	}
	return m.answer(&call{conn: c, ctx: ctx, names: names, header: h}, request)
}

// clientID is how long a client's id is; with another one a client does not ask again.
const clientID = 16

// operation names what the call asks for, so that it is done once however often it comes. Users can't meet each
// other's.
func (c *call) operation() string {
	id := c.header.GetClientId()
	if len(id) != clientID {
		return ""
	}
	return "rpc/" + c.who.User + "/" + hex.EncodeToString(id) + "/" + strconv.Itoa(int(c.header.GetCallId()))
}

// path reads a path of a request.
func path(text string) (string, error) {
	p := namespace.Clean(text)
	if text == "" || text[0] != '/' {
		p = text // which CheckPath refuses
	}
	return p, namespace.CheckPath(p)
}

// change executes an operation that changes the namespace. Its paths may be as the client wrote them.
func (c *call) change(r namespace.Request) (namespace.Result, error) {
	for _, p := range []*string{&r.Path, &r.Dest} {
		if *p != "" {
			*p = namespace.Clean(*p)
		}
	}
	r.ID, r.Caller = c.operation(), c.who
	r.Client, _, _ = net.SplitHostPort(c.nc.RemoteAddr().String())
	return c.names.Do(c.ctx, r)
}

// changed executes an operation whose answer is Hadoop's boolean.
func (c *call) changed(r namespace.Request) (proto.Message, error) {
	result, err := c.change(r)
	return &hadoop.BoolResponse{Result: &result.OK}, err
}

// done executes an operation that answers nothing.
func (c *call) done(r namespace.Request) (proto.Message, error) {
	_, err := c.change(r)
	return &hadoop.Empty{}, err
}
