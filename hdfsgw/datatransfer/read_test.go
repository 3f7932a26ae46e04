package datatransfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/mem"
)

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
