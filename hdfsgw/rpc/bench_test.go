package rpc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// BenchmarkCalls asks over many connections, one call at a time on each, as the Go client does. The clients do as
// little as they can.
func BenchmarkCalls(b *testing.B) {
	for _, test := range []struct {
		name    string
		request func(i int64) proto.Message
	}{
		{"mkdirs", func(i int64) proto.Message {
			return &hadoop.MkdirsRequest{Src: proto.String(fmt.Sprintf("/d/%d", i)), CreateParent: proto.Bool(true),
				Masked: &hadoop.FsPermission{Perm: proto.Uint32(0o755)}}
		}},
		{"getFileInfo", func(i int64) proto.Message {
			return &hadoop.PathRequest{Path: proto.String("/")}
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			c := newCluster(b, Options{})
			var next atomic.Int64
			ends := make(chan error)
			const clients = 64
			for n := range clients {
				go func() {
					ends <- c.askAll(n, test.name, func() proto.Message {
						if i := next.Add(1); i <= int64(b.N) {
							return test.request(i)
						}
						return nil
					})
				}()
			}
			for range clients {
				if err := <-ends; err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// askAll asks what next says until that is nil.
func (c *cluster) askAll(client int, method string, next func() proto.Message) error {
	nc, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	id := fmt.Appendf(nil, "%016d", client)
	send := func(call int32, parts ...proto.Message) error {
		b := make([]byte, 4, 256)
		for _, m := range append([]proto.Message{&hadoop.RpcRequestHeader{RpcKind: proto.Uint32(protobufKind), CallId: &call,
			ClientId: id}}, parts...) {
			var err error
			if b, err = appendMessage(b, m); err != nil {
				return err
			}
		}
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		_, err := nc.Write(b)
		return err
	}
	if _, err := io.WriteString(nc, helloSimple); err != nil {
		return err
	}
	who := &hadoop.UserInformation{EffectiveUser: proto.String("root")}
	err = send(callContext, &hadoop.IpcConnectionContext{UserInfo: who})
	header := &hadoop.RequestHeader{MethodName: &method, DeclaringClass: proto.String(clientProtocol),
		ClientProtocolVersion: proto.Uint64(1)}
	for call := int32(1); err == nil; call++ {
		m := next()
		if m == nil {
			return nil
		}
		if err = send(call, header, m); err != nil {
			return err
		}
		head, e := in.Peek(4)
		if e != nil {
			return e
		}
		_, err = in.Discard(4 + int(binary.BigEndian.Uint32(head)))
	}
	return err
}
