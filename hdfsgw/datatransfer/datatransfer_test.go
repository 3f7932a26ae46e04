package datatransfer

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// trial is a data node with one file, /f, that is open for "me".
type trial struct {
	*Server
	t     *testing.T
	names *namespace.Service
	store store.Store
	file  uint64
	nc    net.Conn // to the server
	in    *bufio.Reader
	ended chan error // how the connection went, told by the server
}

var root = namespace.Caller{User: "root", Super: true}

// within runs a test in a bubble, whose clock goes on when all wait.
func within(t *testing.T, st store.Store, f func(*trial)) {
	synctest.Test(t, func(t *testing.T) {
		tree := namespace.New(namespace.Options{})
		leader, err := journal.Lead(t.Context(), st, "namespace", tree, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer leader.Close()
		tr := &trial{t: t, names: namespace.NewService(tree, leader, nil), store: st}
		tr.Server = New(st, func(context.Context) (*namespace.Service, error) { return tr.names, nil })
		r, err := tr.names.Do(t.Context(), namespace.Request{Op: namespace.OpCreate, Caller: root, Path: "/f",
			Holder: "me", BlockSize: 1 << 20, Replication: 1})
		if err != nil {
			t.Fatal(err)
		}
		tr.file = r.FileID
		tr.dial()
		f(tr)
		tr.nc.Close()
		<-tr.ended
	})
}

func (tr *trial) dial() {
	if tr.nc != nil {
		tr.nc.Close()
		<-tr.ended
	}
	here, there := net.Pipe()
	tr.nc, tr.in, tr.ended = here, bufio.NewReader(here), make(chan error, 1)
	go func(ended chan error) {
		ended <- tr.Serve(context.Background(), there, bufio.NewReader(there))
		there.Close()
	}(tr.ended)
}

func (tr *trial) ticket() Ticket {
	return Ticket{Block: 77, Path: "/f", File: tr.file, Holder: "me", Caller: root, Limit: 1 << 20}
}

func (tr *trial) send(b []byte) {
	tr.t.Helper()
	if _, err := tr.nc.Write(b); err != nil {
		tr.t.Fatal(err)
	}
}

// ask begins an operation and returns the answer.
func (tr *trial) ask(op byte, request proto.Message) *hadoop.BlockOpResponse {
	tr.t.Helper()
	body, err := proto.Marshal(request)
	if err != nil {
		tr.t.Fatal(err)
	}
	b := append([]byte(Magic), op)
	b = append(protoLength(b, len(body)), body...)
	tr.send(b)
	r := new(hadoop.BlockOpResponse)
	if err := readMessage(tr.in, r); err != nil {
		tr.t.Fatal(err)
	}
	return r
}

func protoLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func header(t Ticket, token *hadoop.Token) *hadoop.ClientOperationHeader {
	return &hadoop.ClientOperationHeader{ClientName: proto.String("me"), BaseHeader: &hadoop.BaseHeader{Token: token,
		Block: &hadoop.ExtendedBlock{PoolId: proto.String(""), BlockId: &t.Block, GenerationStamp: proto.Uint64(1)}}}
}

func TestTicketsAreNeeded(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		b := tr.stored("hello")
		good := Ticket{Block: b.ID, Length: b.Length, MD5: b.MD5[:]}
		forged := tr.Issue(good)
		forged.Identifier = bytes.Replace(forged.Identifier, []byte(`"Length":5`), []byte(`"Length":6`), 1)
		other := good
		other.Block++
		for name, token := range map[string]*hadoop.Token{"none": nil, "forged": forged, "another": tr.Issue(other),
			"for writing": tr.Issue(tr.ticket())} {
			r := tr.ask(opRead, &hadoop.OpReadBlock{Header: header(good, token), Offset: proto.Uint64(0), Len: proto.Uint64(5)})
			if r.GetStatus() != hadoop.Status_ERROR_ACCESS_TOKEN {
				t.Errorf("%s: %v", name, r)
			}
		}
		time.Sleep(ticketLife + time.Minute)
		tr.dial()
		if tr.startWrite(good) != hadoop.Status_ERROR_ACCESS_TOKEN {
			t.Error("a ticket to read lets write")
		}
	})
}

func TestUnknownOperationsAreRefused(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		const shortCircuit = 87
		r := tr.ask(shortCircuit, &hadoop.PipelineAck{Seqno: proto.Int64(1)})
		if r.GetStatus() != hadoop.Status_ERROR_UNSUPPORTED {
			t.Error(r)
		}
	})
}

func FuzzPacket(f *testing.F) {
	h := &hadoop.PacketHeader{OffsetInBlock: proto.Int64(0), Seqno: proto.Int64(0), DataLen: proto.Int32(3),
		LastPacketInBlock: proto.Bool(false)}
	b, err := appendHead(nil, h, 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(b, "sumsabc"...), byte(2))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff"), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		sums, known := newSummer(hadoop.ChecksumType(kind), 512)
		if !known {
			return
		}
		var p packet
		buf, err := readPacket(bufio.NewReader(bytes.NewReader(data)), sums, &p, nil)
		if err == nil && len(p.data) != int(p.header.GetDataLen()) {
			t.Error("the lengths differ")
		}
		if err == nil {
			sums.holds(p.sums, p.data)
		}
		if cap(buf) > 2*len(data)+128<<10 {
			t.Errorf("%d bytes for %d", cap(buf), len(data))
		}
	})
}
