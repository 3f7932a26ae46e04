package rpc

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// ipcVersion is the one version there is.
const ipcVersion = 9

// How a connection wants to prove who is there.
const (
	authSimple = 0x00
	authSASL   = 0xDF
)

// Call ids that are no calls.
const (
	callContext = -3
	callPing    = -4
	callSASL    = -33
)

// protobufKind says in a header that the request is a protobuf.
const protobufKind = 2

// conn is a connection to one client.
type conn struct {
	*Server
	nc    net.Conn
	in    *bufio.Reader
	slots chan struct{} // calls under way
	calls sync.WaitGroup

	digest *digest // a challenge that waits for its answer
	user   string  // who has been proven; "" for nobody
	who    namespace.Caller
	met    bool   // who is known
	host   string // under which clients reach the data, at this port
	port   uint32
	node   *hadoop.DatanodeInfo

	out sync.Mutex // held while a frame is written
}

// fatal is an error after which the connection ends. The client is told why.
type fatal struct {
	detail hadoop.RpcResponseHeader_Detail
	class  string
	cause  error
}

func (f *fatal) Error() string { return f.cause.Error() }

func fatalf(detail hadoop.RpcResponseHeader_Detail, format string, args ...any) error {
	return &fatal{detail, "org.apache.hadoop.ipc.RpcServerException", fmt.Errorf(format, args...)}
}

// serve answers frames until the client hangs up or sends what can't be understood.
func (c *conn) serve(ctx context.Context) error {
	defer c.calls.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // nobody waits for the answers of calls that are under way
	if err := c.greet(); err != nil {
		return c.tellFatal(err)
	}
	for {
		frame, err := c.readFrame()
		if err == nil {
			err = c.frame(ctx, frame)
		}
		if err != nil {
			return c.tellFatal(err)
		}
	}
}

// greet reads the handshake.
func (c *conn) greet() error {
	var hello [7]byte
	if _, err := io.ReadFull(c.in, hello[:]); err != nil {
		return err
	}
	if string(hello[:4]) != "hrpc" {
		return fatalf(hadoop.RpcResponseHeader_FATAL_INVALID_RPC_HEADER, "not a Hadoop RPC: %q", hello[:4])
	}
	if hello[4] != ipcVersion {
		return &fatal{hadoop.RpcResponseHeader_FATAL_VERSION_MISMATCH, "org.apache.hadoop.ipc.RPC$VersionMismatch",
			fmt.Errorf("Server IPC version %d cannot communicate with client version %d", ipcVersion, hello[4])}
	}
	if auth := hello[6]; auth != authSimple && auth != authSASL {
		return fatalf(hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, "unknown authentication %#x", auth)
	}
	if c.o.Secret != "" && hello[6] == authSimple {
		return &fatal{hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, namespace.AccessControl.JavaName(),
			errors.New("SIMPLE authentication is not enabled.  Available:[TOKEN]")}
	}
	return c.reached()
}

// readFrame reads a frame, which is only valid until the next one. Between two, a client may be silent for ever.
func (c *conn) readFrame() ([]byte, error) {
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	head, err := c.in.Peek(4)
	if err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	if n > maxFrame {
		return nil, fatalf(hadoop.RpcResponseHeader_FATAL_INVALID_RPC_HEADER,
			"Requested data length %d is longer than maximum configured RPC length %d", n, maxFrame)
	}
	if int64(c.in.Buffered()) >= 4+n { // the usual case: nothing to wait for, so no deadline to set
		frame := make([]byte, n)
		_, err = c.in.Discard(4)
		if err == nil {
			_, err = io.ReadFull(c.in, frame)
		}
		return frame, err
	}
	if err := c.nc.SetReadDeadline(time.Now().Add(frameTime)); err != nil {
		return nil, err
	}
	if _, err := c.in.Discard(4); err != nil {
		return nil, err
	}
	// Memory comes with the bytes, not with the promise of them.
	frame, err := io.ReadAll(io.LimitReader(c.in, n))
	if err == nil && int64(len(frame)) < n {
		err = io.ErrUnexpectedEOF
	}
	return frame, err
}

// cut takes the next `length varint | bytes` off a frame.
func cut(frame []byte) (part, rest []byte, err error) {
	n, used := binary.Uvarint(frame)
	if used <= 0 || n > uint64(len(frame)-used) {
		return nil, nil, fatalf(hadoop.RpcResponseHeader_FATAL_DESERIALIZING_REQUEST, "a part of a frame is too long")
	}
	return frame[used : used+int(n)], frame[used+int(n):], nil
}

// decode reads a message of a client. What it does not know is left out.
func decode(data []byte, m proto.Message) error {
	err := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	if err != nil {
		return fatalf(hadoop.RpcResponseHeader_FATAL_DESERIALIZING_REQUEST, "%v", err)
	}
	return nil
}

// next is cut and decode.
func next(frame []byte, m proto.Message) (rest []byte, err error) {
	part, rest, err := cut(frame)
	if err == nil {
		err = decode(part, m)
	}
	return rest, err
}

// frame answers one frame, or begins to.
func (c *conn) frame(ctx context.Context, frame []byte) error {
	h := new(hadoop.RpcRequestHeader)
	frame, err := next(frame, h)
	if err != nil {
		return err
	}
	switch id := h.GetCallId(); {
	case h.GetRpcOp() == hadoop.RpcRequestHeader_CLOSE_CONNECTION:
		return io.EOF
	case id == callPing:
		return nil
	case id == callSASL:
		return c.negotiate(ctx, h, frame)
	case id == callContext:
		return c.meet(frame)
	case id < 0:
		return fatalf(hadoop.RpcResponseHeader_FATAL_INVALID_RPC_HEADER, "call %d is unknown", id)
	case h.GetRpcKind() != protobufKind:
		return fatalf(hadoop.RpcResponseHeader_FATAL_UNSUPPORTED_SERIALIZATION, "requests of kind %d are unknown",
			h.GetRpcKind())
	case !c.met:
		return fatalf(hadoop.RpcResponseHeader_FATAL_INVALID_RPC_HEADER, "a call before the connection's context")
	}
	return c.call(ctx, h, frame)
}

// negotiate has a client prove who it is, or tells it that it is enough to say so, as a NameNode without security does.
func (c *conn) negotiate(ctx context.Context, h *hadoop.RpcRequestHeader, frame []byte) error {
	var m hadoop.RpcSasl
	if _, err := next(frame, &m); err != nil {
		return err
	}
	if c.o.Secret != "" {
		answer, err := c.authenticate(ctx, &m)
		if err != nil {
			return err
		}
		return c.reply(h, &hadoop.RpcResponseHeader{}, answer)
	}
	if m.GetState() != hadoop.RpcSasl_NEGOTIATE {
		return &fatal{hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, namespace.AccessControl.JavaName(),
			fmt.Errorf("SIMPLE authentication is the only one here")}
	}
	return c.reply(h, &hadoop.RpcResponseHeader{}, &hadoop.RpcSasl{State: hadoop.RpcSasl_SUCCESS.Enum()})
}

// meet reads who is connected.
func (c *conn) meet(frame []byte) error {
	var m hadoop.IpcConnectionContext
	if _, err := next(frame, &m); err != nil {
		return err
	}
	effective, real := shortName(m.GetUserInfo().GetEffectiveUser()), shortName(m.GetUserInfo().GetRealUser())
	if real == "" {
		effective, real = "", effective
	}
	if c.o.Secret != "" {
		if real = c.user; real == "" {
			return &fatal{hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, namespace.AccessControl.JavaName(),
				errors.New("nobody has proven who he is")}
		}
	}
	who, err := c.o.Realm.Caller(real, effective)
	if err != nil {
		return &fatal{hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, namespace.Authorization.JavaName(), err}
	}
	c.who, c.met = who, true
	return nil
}

// shortName is the user of a Kerberos principal.
func shortName(principal string) string {
	user, _, _ := strings.Cut(principal, "@")
	user, _, _ = strings.Cut(user, "/")
	return user
}

// reached finds out where the client is to go for the data.
func (c *conn) reached() error {
	host, port, err := net.SplitHostPort(c.nc.LocalAddr().String())
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	c.host, c.port = cmp.Or(c.o.Host, host), uint32(number)
	c.node = c.dataNode(0)
	return err
}

// nodeID is what clients tell data nodes apart by.
func nodeID(number int) string { return "objects-" + strconv.Itoa(number) }

// dataNode describes this server as one of the data nodes that the client is to use.
func (c *conn) dataNode(number int) *hadoop.DatanodeInfo {
	return &hadoop.DatanodeInfo{Id: &hadoop.DatanodeID{IpAddr: &c.host, HostName: &c.host,
		Uuid: proto.String(nodeID(number)), XferPort: &c.port, InfoPort: proto.Uint32(0), IpcPort: &c.port},
		Location: proto.String("/default-rack"), Capacity: proto.Uint64(uint64(namespace.Capacity)),
		Remaining: proto.Uint64(uint64(namespace.Capacity))}
}

// reply writes an answer. header has its status, SUCCESS if it has none.
func (c *conn) reply(to *hadoop.RpcRequestHeader, header *hadoop.RpcResponseHeader, body proto.Message) error {
	header.CallId = proto.Uint32(uint32(to.GetCallId()))
	header.ClientId, header.RetryCount = to.GetClientId(), to.RetryCount
	header.ServerIpcVersion = proto.Uint32(ipcVersion)
	if header.Status == nil {
		header.Status = hadoop.RpcResponseHeader_SUCCESS.Enum()
	}
	frame, err := appendMessage(make([]byte, 4, 512), header)
	if err == nil && body != nil {
		frame, err = appendMessage(frame, body)
	}
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	c.out.Lock()
	defer c.out.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = c.nc.Write(frame)
	return err
}

// appendMessage appends `length varint | protobuf`.
func appendMessage(b []byte, m proto.Message) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(proto.Size(m)))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// tellFatal tells a client why the connection ends, if that can be told.
func (c *conn) tellFatal(err error) error {
	var f *fatal
	if !errors.As(err, &f) {
		return err
	}
	h := hadoop.RpcResponseHeader{Status: hadoop.RpcResponseHeader_FATAL.Enum(), ErrorDetail: &f.detail,
		ExceptionClass: &f.class, ErrorMessage: proto.String(f.Error())}
	return errors.Join(err, c.reply(&hadoop.RpcRequestHeader{CallId: proto.Int32(-1)}, &h, nil))
}

// refuse tells an error as Java's exception.
func (c *conn) refuse(to *hadoop.RpcRequestHeader, err error) error {
	h := hadoop.RpcResponseHeader{Status: hadoop.RpcResponseHeader_ERROR.Enum(),
		ErrorDetail: hadoop.RpcResponseHeader_APPLICATION.Enum()}
	var unknown *unknownMethod
	if errors.As(err, &unknown) {
		h.ErrorDetail, h.ExceptionClass = &unknown.detail, &unknown.class
		h.ErrorMessage = proto.String(unknown.message)
		return c.reply(to, &h, nil)
	}
	e := namespace.AsError(err)
	h.ExceptionClass, h.ErrorMessage = proto.String(e.Class.JavaName()), &e.Message
	return c.reply(to, &h, nil)
}
