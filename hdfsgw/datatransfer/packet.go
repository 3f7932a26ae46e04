package datatransfer

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// Limits of a packet. The second is Hadoop's for what its clients send and take.
const (
	maxHeader = 1 << 10
	maxPacket = 16 << 20
)

// summer makes the checksums that a client has chosen.
type summer struct {
	kind  hadoop.ChecksumType
	chunk int // bytes that each covers
	table *crc32.Table
}

// newSummer returns the summer of what a request says; ok is false if there is no such.
func newSummer(kind hadoop.ChecksumType, chunk uint32) (s summer, ok bool) {
	s = summer{kind: kind, chunk: int(chunk)}
	switch kind {
	case hadoop.ChecksumType_CHECKSUM_NULL:
	case hadoop.ChecksumType_CHECKSUM_CRC32:
		s.table = crc32.IEEETable
	case hadoop.ChecksumType_CHECKSUM_CRC32C:
		s.table = crc32.MakeTable(crc32.Castagnoli)
	default:
		return s, false
	}
	return s, chunk > 0 && chunk <= maxPacket
}

// size is how many bytes the checksums of n bytes take.
func (s summer) size(n int) int {
	if s.table == nil {
		return 0
	}
	return (n + s.chunk - 1) / s.chunk * crc32.Size
}

// put writes the checksums of data.
func (s summer) put(sums, data []byte) {
	for ; len(sums) > 0; sums = sums[crc32.Size:] {
		part := data[:min(s.chunk, len(data))]
		binary.BigEndian.PutUint32(sums, crc32.Update(0, s.table, part))
		data = data[len(part):]
	}
}

// holds reports whether these are the checksums of data.
func (s summer) holds(sums, data []byte) bool {
	for ; len(sums) > 0; sums = sums[crc32.Size:] {
		part := data[:min(s.chunk, len(data))]
		if binary.BigEndian.Uint32(sums) != crc32.Update(0, s.table, part) {
			return false
		}
		data = data[len(part):]
	}
	return true
}

// packet is one that was received. Its bytes are valid until the next one is read.
type packet struct {
	header     hadoop.PacketHeader
	sums, data []byte
}

// readPacket reads a packet into buf, which it returns, perhaps grown.
func readPacket(in *bufio.Reader, s summer, p *packet, buf []byte) ([]byte, error) {
	var lengths [6]byte
	if _, err := io.ReadFull(in, lengths[:]); err != nil {
		return buf, err
	}
	payload := int64(binary.BigEndian.Uint32(lengths[:])) - 4
	header := int64(binary.BigEndian.Uint16(lengths[4:]))
	if payload < 0 || payload > maxPacket || header > maxHeader {
		return buf, malformed("a packet with %d and %d bytes", header, payload)
	}
	buf, err := readN(in, buf, int(header+payload))
	if err != nil {
		return buf, err
	}
	if err := proto.Unmarshal(buf[:header], &p.header); err != nil {
		return buf, malformed("%v", err)
	}
	n := int64(p.header.GetDataLen())
	if n < 0 || n > payload || int64(s.size(int(n)))+n != payload {
		return buf, malformed("a packet of %d bytes with %d of data", payload, n)
	}
	p.sums, p.data = buf[header:header+payload-n], buf[header+payload-n:]
	return buf, nil
}

// packetHead is room for what is in front of a packet's checksums.
const packetHead = 6 + 32

// appendHead appends what is in front of a packet's checksums.
func appendHead(b []byte, h *hadoop.PacketHeader, payload int) ([]byte, error) {
	at := len(b)
	b, err := proto.MarshalOptions{}.MarshalAppend(append(b, make([]byte, 6)...), h)
	if err != nil {
		return b, err
	}
	binary.BigEndian.PutUint32(b[at:], uint32(payload+4))
	binary.BigEndian.PutUint16(b[at+4:], uint16(len(b)-at-6))
	return b, nil
}
