package datatransfer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// packetData is how many bytes of data a packet has that is sent: whole chunks, and few enough that a client's buffer
// for it stays in its caches.
const packetData = 512 << 10

// badTicket refuses a ticket in the way that makes a client get another one.
func (c *conn) badTicket(h *hadoop.BaseHeader) error {
	return c.refuse(hadoop.Status_ERROR_ACCESS_TOKEN, "The token for block %d is not valid", h.GetBlock().GetBlockId())
}

// read sends a part of a block. It begins and ends with whole chunks, so the client may get a little more than it asked
// for, as at Hadoop.
func (c *conn) read(ctx context.Context, op *hadoop.OpReadBlock) error {
	h := op.GetHeader().GetBaseHeader()
	t, ok := c.check(h)
	if !ok || t.Path != "" {
		return c.badTicket(h)
	}
	size := uint64(t.Length)
	if op.GetOffset() > size || op.GetLen() > size-op.GetOffset() {
		return c.refuse(hadoop.Status_ERROR, "Offset %d and length %d don't match block %d, which has %d bytes",
			op.GetOffset(), op.GetLen(), t.Block, size)
	}
	kind := hadoop.ChecksumType_CHECKSUM_CRC32C
	if !op.GetSendChecksums() {
		kind = hadoop.ChecksumType_CHECKSUM_NULL
	}
	sums, _ := newSummer(kind, block.ChunkSize)
	start := int64(op.GetOffset()) / block.ChunkSize * block.ChunkSize
	end := int64(op.GetOffset() + op.GetLen())
	end = min((end+block.ChunkSize-1)/block.ChunkSize*block.ChunkSize, t.Length)
	r := io.ReadCloser(io.NopCloser(nil))
	if start < end {
		var err error
		at := store.Range{Offset: start, Length: end - start}
		if r, err = block.Reader(ctx, c.store, t.block(), at); err != nil {
			return c.refuse(hadoop.Status_ERROR, "Block %d cannot be read: %s", t.Block, errs.Cause(err))
		}
	}
	defer r.Close() // it was only read
	err := c.send(&hadoop.BlockOpResponse{Status: hadoop.Status_SUCCESS.Enum(),
		ReadOpChecksumInfo: &hadoop.ReadOpChecksumInfo{ChunkOffset: proto.Uint64(uint64(start)),
			Checksum: &hadoop.Checksum{Type: &kind, BytesPerChecksum: proto.Uint32(block.ChunkSize)}}})
	if err == nil {
		err = c.sendPackets(r, sums, start, end)
	}
	if err != nil {
		return err
	}
	return c.readStatus()
}

// sendPackets sends bytes start to end of a block, which r yields.
func (c *conn) sendPackets(r io.Reader, sums summer, start, end int64) error {
	room := int(min(packetData, end-start))
	buf := make([]byte, packetHead+sums.size(room)+room)
	for seqno := int64(0); ; seqno++ {
		n := int(min(packetData, end-start))
		h := hadoop.PacketHeader{OffsetInBlock: &start, Seqno: &seqno, DataLen: proto.Int32(int32(n)),
			LastPacketInBlock: proto.Bool(n == 0)}
		head, err := appendHead(buf[:0], &h, sums.size(n)+n)
		if err != nil {
			return err
		}
		p := buf[:len(head)+sums.size(n)+n]
		data := p[len(p)-n:]
		if _, err := io.ReadFull(r, data); n > 0 && err != nil {
			return err // only a broken connection tells the client now
		}
		sums.put(p[len(head):len(p)-n], data)
		if err := c.SetWriteDeadline(time.Now().Add(transferPause)); err != nil {
			return err
		}
		if _, err := c.Write(p); err != nil || n == 0 {
			return err
		}
		start += int64(n)
	}
}

// readStatus takes what a client says in the end about the checksums; one that is not interested any more hangs up.
func (c *conn) readStatus() error {
	if err := c.SetReadDeadline(time.Now().Add(transferPause)); err != nil {
		return err
	}
	if err := readMessage(c.in, &hadoop.ClientReadStatus{}); err != nil {
		return errors.Join(io.EOF, err)
	}
	return nil
}

// checksum tells the MD5 of the checksums of a block's chunks, or the CRC of the whole block. Clients combine them to
// those of files.
func (c *conn) checksum(ctx context.Context, op *hadoop.OpBlockChecksum) error {
	t, ok := c.check(op.GetHeader())
	if !ok || t.Path != "" {
		return c.badTicket(op.GetHeader())
	}
	kind := op.GetOptions().GetType()
	b, err := block.Sums(ctx, c.store, t.block())
	if err != nil {
		return c.refuse(hadoop.Status_ERROR, "Block %d cannot be read: %s", t.Block, errs.Cause(err))
	}
	sum := b.MD5[:]
	if kind == hadoop.BlockChecksumOptions_COMPOSITE_CRC {
		sum = binary.BigEndian.AppendUint32(nil, b.CRC)
	}
	return c.send(&hadoop.BlockOpResponse{Status: hadoop.Status_SUCCESS.Enum(),
		ChecksumResponse: &hadoop.OpBlockChecksumResponse{BytesPerCrc: proto.Uint32(block.ChunkSize),
			CrcPerBlock:   proto.Uint64(uint64((t.Length + block.ChunkSize - 1) / block.ChunkSize)),
			BlockChecksum: sum, CrcType: hadoop.ChecksumType_CHECKSUM_CRC32C.Enum(),
			Options: &hadoop.BlockChecksumOptions{Type: &kind}}})
}
