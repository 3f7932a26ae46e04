package datatransfer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

func (tr *trial) startWrite(t Ticket) hadoop.Status {
	tr.t.Helper()
	return tr.enter(t, begins, 0)
}

// enter begins to write a block, or goes on after so many bytes of it were acknowledged.
func (tr *trial) enter(t Ticket, stage hadoop.OpWriteBlock_Stage, acked uint64) hadoop.Status {
	tr.t.Helper()
	return tr.ask(opWrite, &hadoop.OpWriteBlock{Header: header(t, tr.Issue(t)), PipelineSize: proto.Uint32(1),
		Stage: &stage, MinBytesRcvd: &acked, MaxBytesRcvd: proto.Uint64(1 << 20), LatestGenerationStamp: proto.Uint64(0),
		RequestedChecksum: &hadoop.Checksum{Type: hadoop.ChecksumType_CHECKSUM_CRC32C.Enum(),
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

// TestWhatIsFlushedToAMovedFileIsDurable moves the file between its opening and a flush, and looks at what another
// gateway would read of it.
func TestWhatIsFlushedToAMovedFileIsDurable(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		move := namespace.Request{Op: namespace.OpRename, Caller: root, Path: "/f", Dest: "/g"}
		if _, err := tr.names.Do(tr.t.Context(), move); err != nil {
			t.Fatal(err)
		}
		if tr.startWrite(tr.ticket()) != ok || tr.packet(0, []byte("hello"), synced) != ok {
			t.Fatal("refused")
		}
		another := namespace.New(namespace.Options{})
		if _, err := journal.Read(tr.t.Context(), tr.store, "namespace", another, journal.Options{}); err != nil {
			t.Fatal(err)
		}
		if s, err := another.Status(root, "/g"); err != nil || s.Length != 5 {
			t.Errorf("it has %d bytes, %v", s.Length, err)
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

// TestALateTimerLeavesTheNextBlockAlone has the timer of a block fire just before its upload is settled, so that it
// looks after it when the next block is being written.
func TestALateTimerLeavesTheNextBlockAlone(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		long := strings.Repeat("x", 40_000)
		tr.startWrite(tr.ticket())
		tr.packet(0, []byte(long), nil)
		tr.packet(40_000, nil, last)
		u := tr.find(Writer{tr.file, "me"})
		tr.release(u)
		if err := tr.Flush(tr.t.Context(), tr.file); err != nil {
			t.Fatal(err)
		}
		second := tr.ticket()
		second.Start = 40_000
		tr.startWrite(second)
		tr.packet(0, []byte(long), nil)
		u.settle(tr.t.Context())
		tr.packet(40_000, []byte(long), nil)
		tr.packet(80_000, nil, last)
		if err := tr.finish(); err != nil || tr.content() != long+long+long {
			t.Errorf("the file has %d bytes: %v", len(tr.content()), err)
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
