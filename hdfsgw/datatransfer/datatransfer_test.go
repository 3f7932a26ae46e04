package datatransfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
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

func (tr *trial) startWrite(t Ticket) hadoop.Status {
	tr.t.Helper()
	none := proto.Uint64(0)
	return tr.ask(opWrite, &hadoop.OpWriteBlock{Header: header(t, tr.Issue(t)), PipelineSize: proto.Uint32(0),
		Stage: hadoop.OpWriteBlock_PIPELINE_SETUP_CREATE.Enum(), MinBytesRcvd: none, MaxBytesRcvd: none,
		LatestGenerationStamp: none, RequestedChecksum: &hadoop.Checksum{Type: hadoop.ChecksumType_CHECKSUM_CRC32C.Enum(),
			BytesPerChecksum: proto.Uint32(512)}}).GetStatus()
}

// packet sends a packet, changed if change is not nil, and returns what its ack says.
func (tr *trial) packet(at int64, data []byte, change func(h *hadoop.PacketHeader, raw []byte)) hadoop.Status {
	tr.t.Helper()
	sums, _ := newSummer(hadoop.ChecksumType_CHECKSUM_CRC32C, 512)
	h := &hadoop.PacketHeader{OffsetInBlock: &at, Seqno: proto.Int64(at), DataLen: proto.Int32(int32(len(data))),
		LastPacketInBlock: proto.Bool(false)}
	body := make([]byte, sums.size(len(data))+len(data))
	copy(body[len(body)-len(data):], data)
	sums.put(body[:len(body)-len(data)], data)
	if change != nil {
		change(h, body)
	}
	b, err := appendHead(nil, h, len(body))
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.send(append(b, body...))
	var ack hadoop.PipelineAck
	if err := readMessage(tr.in, &ack); err != nil || ack.GetSeqno() != h.GetSeqno() || len(ack.GetReply()) != 1 {
		tr.t.Fatal(&ack, err)
	}
	return ack.GetReply()[0]
}

func last(h *hadoop.PacketHeader, _ []byte)   { h.LastPacketInBlock = proto.Bool(true) }
func synced(h *hadoop.PacketHeader, _ []byte) { h.SyncBlock = proto.Bool(true) }

// content is what the namespace has of /f.
func (tr *trial) content() string {
	tr.t.Helper()
	s, blocks, err := tr.names.Blocks(root, "/f")
	var b bytes.Buffer
	if err == nil {
		err = block.Write(tr.t.Context(), tr.store, &b, blocks, 0, s.Length)
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	return b.String()
}

// finish settles the file as who closes it does.
func (tr *trial) finish() error {
	return tr.Settle(tr.t.Context(), Writer{tr.file, "me"}, true, func(blocks []namespace.Block, _ int64) error {
		_, err := tr.names.Do(tr.t.Context(), namespace.Request{Op: namespace.OpAddBlocks, Caller: root, Path: "/f",
			Holder: "me", Blocks: blocks, Close: true})
		return err
	})
}

const ok = hadoop.Status_SUCCESS

func TestABlockIsWritten(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		long := strings.Repeat("x", 40_000)
		if tr.startWrite(tr.ticket()) != ok || tr.packet(0, []byte(long), nil) != ok ||
			tr.packet(40_000, []byte(long), nil) != ok || tr.packet(80_000, nil, last) != ok {
			t.Fatal("refused")
		}
		if got := tr.content(); got != "" {
			t.Errorf("%d bytes are seen before anybody asked for it", len(got))
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
		if tr.content() != long+long {
			t.Error("other bytes")
		}
	})
}

// TestFlushesAreSeen flushes with hsync, which the packet says, and with hflush, which it does not, and sends the chunk
// that was begun again, as clients do.
func TestFlushesAreSeen(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		tr.startWrite(tr.ticket())
		for _, step := range []struct {
			at     int64
			data   string
			change func(*hadoop.PacketHeader, []byte)
			seen   string
		}{{0, "hello", synced, "hello"}, {0, "hello, wor", nil, "hello, wor"}, {10, "ld", nil, "hello, world"}} {
			if tr.packet(step.at, []byte(step.data), step.change) != ok {
				t.Fatal("refused")
			}
			if got := tr.content(); got != step.seen {
				t.Errorf("%q is seen, not %q", got, step.seen)
			}
		}
		if tr.packet(12, nil, last) != ok || tr.finish() != nil || tr.content() != "hello, world" {
			t.Error("the end is wrong")
		}
	})
}

func TestWhatArrivedIsKept(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		long := strings.Repeat("x", 40_000)
		tr.startWrite(tr.ticket())
		tr.packet(0, []byte(long), nil)
		tr.dial() // the writer's connection breaks
		if tr.content() != long {
			t.Error("it is lost with the connection")
		}
		t2 := tr.ticket()
		t2.Block, t2.Start = 78, 40_000
		tr.startWrite(t2)
		tr.packet(0, []byte(long), nil)
		tr.packet(40_000, nil, last)
		time.Sleep(aloneAfter + time.Second) // of the bubble's time: nobody asks for more
		if tr.content() != long+long {
			t.Error("a block that is done is lost with its writer")
		}
	})
}

func TestBadPacketsAreRefused(t *testing.T) {
	data := []byte(strings.Repeat("x", 40_000))
	for name, test := range map[string]struct {
		at     int64
		change func(*hadoop.PacketHeader, []byte)
		want   hadoop.Status
	}{
		"checksum": {40_000, func(_ *hadoop.PacketHeader, raw []byte) { raw[7]++ }, hadoop.Status_ERROR_CHECKSUM},
		"data":     {40_000, func(_ *hadoop.PacketHeader, raw []byte) { raw[len(raw)-1]++ }, hadoop.Status_ERROR_CHECKSUM},
		"gap":      {40_001, nil, hadoop.Status_ERROR},
		"negative": {-512, nil, hadoop.Status_ERROR},
		"too long": {1 << 20, nil, hadoop.Status_ERROR},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, mem.New(), func(tr *trial) {
				tr.startWrite(tr.ticket())
				tr.packet(0, data, nil)
				if got := tr.packet(test.at, data, test.change); got != test.want {
					t.Errorf("%v", got)
				}
				if err := <-tr.ended; err == nil {
					t.Error("the connection goes on")
				}
				tr.ended <- nil
				if tr.content() != string(data) {
					t.Error("what came before is lost")
				}
			})
		})
	}
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

// stored returns a block with these bytes.
func (tr *trial) stored(data string) namespace.Block {
	tr.t.Helper()
	blocks, err := block.Copy(tr.t.Context(), tr.store, strings.NewReader(data), 1<<30, tr.names.NewBlock)
	if err != nil {
		tr.t.Fatal(err)
	}
	return blocks[0]
}

func TestReadsAreWholeChunks(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		var text strings.Builder
		for i := range 200_000 {
			fmt.Fprintln(&text, i)
		}
		data := text.String()
		b := tr.stored(data)
		t1 := Ticket{Block: b.ID, Length: b.Length, MD5: b.MD5[:]}
		size := len(data)
		for _, c := range []struct {
			offset, length, from, to int
			plain                    bool
		}{{0, size, 0, size, false}, {0, 0, 0, 0, false}, {700, 10, 512, 1024, false}, {700, 10, 512, 1024, true},
			{size - 1, 1, (size - 1) / 512 * 512, size, false}, {size, 0, size / 512 * 512, size, false}} {
			r := tr.ask(opRead, &hadoop.OpReadBlock{Header: header(t1, tr.Issue(t1)), Offset: proto.Uint64(uint64(c.offset)),
				Len: proto.Uint64(uint64(c.length)), SendChecksums: proto.Bool(!c.plain)})
			info := r.GetReadOpChecksumInfo()
			sums, _ := newSummer(info.GetChecksum().GetType(), info.GetChecksum().GetBytesPerChecksum())
			if (sums.table == nil) != c.plain || info.GetChunkOffset() != uint64(c.from) {
				t.Fatal(r)
			}
			var got []byte
			var p packet
			for !p.header.GetLastPacketInBlock() {
				p = packet{}
				if _, err := readPacket(tr.in, sums, &p, nil); err != nil || !sums.holds(p.sums, p.data) {
					t.Fatal(err, "or a checksum is wrong")
				}
				if p.header.GetOffsetInBlock() != int64(c.from+len(got)) {
					t.Error(&p.header)
				}
				got = append(got, p.data...)
			}
			if string(got) != data[c.from:c.to] {
				t.Errorf("%+v: %d bytes, or others", c, len(got))
			}
			tr.send([]byte{2, 8, 6}) // CHECKSUM_OK
		}
		r := tr.ask(opRead, &hadoop.OpReadBlock{Header: header(t1, tr.Issue(t1)), Offset: proto.Uint64(1),
			Len: proto.Uint64(uint64(size))})
		if r.GetStatus() != hadoop.Status_ERROR {
			t.Errorf("beyond the end: %v", r)
		}
		sum := tr.ask(opChecksum, &hadoop.OpBlockChecksum{Header: header(t1, tr.Issue(t1)).BaseHeader}).GetChecksumResponse()
		if !bytes.Equal(sum.GetBlockChecksum(), b.MD5[:]) || sum.GetBytesPerCrc() != 512 {
			t.Error(sum)
		}
		composite := hadoop.BlockChecksumOptions_COMPOSITE_CRC.Enum()
		sum = tr.ask(opChecksum, &hadoop.OpBlockChecksum{Header: header(t1, tr.Issue(t1)).BaseHeader,
			Options: &hadoop.BlockChecksumOptions{Type: composite}}).GetChecksumResponse()
		want := binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(data), crc32.MakeTable(crc32.Castagnoli)))
		if !bytes.Equal(sum.GetBlockChecksum(), want) || sum.GetOptions().GetType() != *composite {
			t.Error(sum)
		}
	})
}

// TestDamageIsNotSent asks for a byte of a block that has lost a bit far from it.
func TestDamageIsNotSent(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		data := bytes.Repeat([]byte("0123456789"), 1000)
		blocks, err := block.Copy(t.Context(), tr.store, bytes.NewReader(data), 1<<20, tr.names.NewBlock)
		if err != nil {
			t.Fatal(err)
		}
		data[9999] ^= 1
		if err := store.Put(t.Context(), tr.store, block.ObjectName(blocks[0].ID), data); err != nil {
			t.Fatal(err)
		}
		ticket := Ticket{Block: blocks[0].ID, Length: blocks[0].Length, MD5: blocks[0].MD5[:], CRC: blocks[0].CRC}
		r := tr.ask(opRead, &hadoop.OpReadBlock{Header: header(ticket, tr.Issue(ticket)), Offset: proto.Uint64(0),
			Len: proto.Uint64(1)})
		if r.GetStatus() != hadoop.Status_ERROR || !strings.Contains(r.GetMessage(), "checksum differs") {
			t.Error(r)
		}
	})
}

// TestAClientThatTakesNothing asks for a long block and reads none of it: little is read for him, and he is cut off.
func TestAClientThatTakesNothing(t *testing.T) {
	var read atomic.Int64
	st := around.New(mem.New(), func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		n, err := do(c.Data)
		if c.Op == around.Read && strings.HasPrefix(string(c.Name), block.Prefix) {
			read.Add(int64(n))
		}
		return n, err
	})
	within(t, st, func(tr *trial) {
		data := bytes.NewReader(make([]byte, 16<<20))
		blocks, err := block.Copy(t.Context(), st, data, 1<<30, tr.names.NewBlock)
		if err != nil {
			t.Fatal(err)
		}
		b := blocks[0]
		ticket := Ticket{Block: b.ID, Length: b.Length, MD5: b.MD5[:], CRC: b.CRC}
		r := tr.ask(opRead, &hadoop.OpReadBlock{Header: header(ticket, tr.Issue(ticket)), Offset: proto.Uint64(0),
			Len: proto.Uint64(uint64(b.Length))})
		if r.GetStatus() != ok {
			t.Fatal(r)
		}
		began := time.Now()
		if err := <-tr.ended; err == nil || time.Since(began) != transferPause {
			t.Errorf("it ended after %v: %v", time.Since(began), err)
		}
		if n := read.Load(); n > 2*packetData {
			t.Errorf("%d bytes were read for nobody", n)
		}
		tr.ended <- nil
	})
}

// TestBlocksStayInOrder writes a block that does not begin where the file ends: another gateway had what was before it.
func TestBlocksStayInOrder(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		late := tr.ticket()
		late.Start = 1000
		tr.startWrite(late)
		if got := tr.packet(0, []byte("x"), synced); got != hadoop.Status_ERROR || tr.content() != "" {
			t.Errorf("%v, and the file has %q", got, tr.content())
		}
		<-tr.ended
		tr.ended <- nil
	})
}

// TestALostLeaseKeepsNothing writes to a file that was taken away: the objects go, too.
func TestALostLeaseKeepsNothing(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		tr.startWrite(tr.ticket())
		tr.packet(0, bytes.Repeat([]byte("x"), 40_000), nil)
		take := namespace.Request{Op: namespace.OpRecoverLease, Caller: root, Path: "/f"}
		if _, err := tr.names.Do(tr.t.Context(), take); err != nil {
			t.Fatal(err)
		}
		if got := tr.packet(40_000, []byte("y"), synced); got != hadoop.Status_ERROR {
			t.Error(got)
		}
		<-tr.ended
		tr.ended <- nil
		for i, err := range tr.store.List(tr.t.Context(), block.Prefix) {
			t.Error("left behind: ", i, err)
		}
	})
}

// TestAFullStoreIsTold fails what makes a block durable: the file is not closed as if all were well.
func TestAFullStoreIsTold(t *testing.T) {
	full := errs.E("disk", errs.Exhausted, nil, nil)
	st := fault.New(mem.New(), 1, fault.Rule{Op: around.Commit, Match: block.Prefix, Nth: 1, Err: full})
	within(t, st, func(tr *trial) {
		tr.startWrite(tr.ticket())
		tr.packet(0, bytes.Repeat([]byte("x"), 40_000), nil)
		tr.packet(40_000, nil, last)
		if err := tr.finish(); !errors.Is(err, errs.Exhausted) {
			t.Error(err)
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
