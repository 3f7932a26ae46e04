package segment

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"

	"github.com/seed3322913c/runner/infra/errs"
)

// Layout says what the records of a segment look like.
type Layout uint8

// The layouts.
const (
	Folded Layout = 1 // key and int64, in no order, a key perhaps many times
	Sorted Layout = 2 // key and value bytes, each partition in the order of the job's comparator
)

// MaxParts is how many partitions a segment may have.
const MaxParts = 1 << 20

// Part says where one partition lies in a data file and what is in it.
type Part struct {
	Offset  int64  // of its first byte
	Stored  int64  // bytes in the file
	Raw     int64  // bytes of the records, before compression and framing
	Records int64  // how many
	Sum     uint32 // CRC32C of the stored bytes
}

// Index describes a data file: one Part for each partition, in order, without gaps.
type Index struct {
	Layout Layout
	First  int // number of the first partition: 0 unless the index was cut
	Parts  []Part
}

// Cut returns the index of the partitions lo to hi-1 alone (numbered as in the whole segment), which x must have.
// Offsets stay those of the data file.
func (x Index) Cut(lo, hi int) Index {
	return Index{Layout: x.Layout, First: lo, Parts: x.Parts[lo-x.First : hi-x.First]}
}

// Span returns where the bytes of all parts lie in the data file.
func (x Index) Span() (offset, length int64) {
	if len(x.Parts) == 0 {
		return 0, 0
	}
	last := x.Parts[len(x.Parts)-1]
	return x.Parts[0].Offset, last.Offset + last.Stored - x.Parts[0].Offset
}

// Stored returns how many bytes all parts have in the data file.
func (x Index) Stored() (n int64) {
	for _, p := range x.Parts {
		n += p.Stored
	}
	return n
}

// Records returns how many records all parts have.
func (x Index) Records() (n int64) {
	for _, p := range x.Parts {
		n += p.Records
	}
	return n
}

// Raw returns how many bytes of records all parts have.
func (x Index) Raw() (n int64) {
	for _, p := range x.Parts {
		n += p.Raw
	}
	return n
}

const (
	indexMagic = "RSG1"
	crcSize    = 4
	minPart    = 3 + crcSize // three numbers of a byte and the sum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Append encodes the index: the content of an index file.
func (x Index) Append(b []byte) []byte {
	start := len(b)
	offset, _ := x.Span()
	b = append(b, indexMagic...)
	b = append(b, byte(x.Layout))
	b = binary.AppendUvarint(b, uint64(x.First))
	b = binary.AppendUvarint(b, uint64(len(x.Parts)))
	b = binary.AppendUvarint(b, uint64(offset))
	for _, p := range x.Parts {
		b = binary.AppendUvarint(b, uint64(p.Stored))
		b = binary.AppendUvarint(b, uint64(p.Raw))
		b = binary.AppendUvarint(b, uint64(p.Records))
		b = binary.LittleEndian.AppendUint32(b, p.Sum)
	}
	return binary.LittleEndian.AppendUint32(b, checksumOf(b[start:]))
}

// Parse is the inverse of Append. Anything that Append did not write is errs.Corrupt.
func Parse(b []byte) (Index, error) {
	if len(b) < len(indexMagic)+1+crcSize || string(b[:len(indexMagic)]) != indexMagic {
		return Index{}, corruptIndex("no index begins so")
	}
	body, sum := b[:len(b)-crcSize], b[len(b)-crcSize:]
	if checksumOf(body) != binary.LittleEndian.Uint32(sum) {
		return Index{}, corruptIndex("checksum differs")
	}
	x := Index{Layout: Layout(body[len(indexMagic)])}
	if x.Layout != Folded && x.Layout != Sorted {
		return Index{}, corruptIndex("layout %d", x.Layout)
	}
	d := decoder{rest: body[len(indexMagic)+1:]}
	x.First = int(d.number(MaxParts))
	count := d.number(MaxParts)
	offset := d.number(math.MaxInt64)
	if count > int64(len(d.rest)/minPart) { // before room is made for that many
		return Index{}, corruptIndex("%d parts in %d bytes", count, len(d.rest))
	}
	x.Parts = make([]Part, count)
	for i := range x.Parts {
		p := Part{Offset: offset, Stored: d.number(math.MaxInt64 - offset)}
		p.Raw, p.Records, p.Sum = d.number(math.MaxInt64), d.number(math.MaxInt64), d.sum()
		x.Parts[i] = p
		offset += p.Stored
	}
	if d.bad || len(d.rest) > 0 {
		return Index{}, corruptIndex("malformed")
	}
	return x, nil
}

func corruptIndex(format string, args ...any) error {
	return errs.Errorf("segment.Parse", errs.Corrupt, "index", format, args...)
}

// decoder takes numbers off rest, until one is bad.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number(limit int64) int64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > uint64(limit) {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return int64(v)
}

func (d *decoder) sum() uint32 {
	if len(d.rest) < crcSize {
		d.bad, d.rest = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint32(d.rest)
	d.rest = d.rest[crcSize:]
	return v
}

// ReadIndex reads the index of the segment in dir. It fails with errs.NotFound or errs.Corrupt.
func ReadIndex(dir string) (Index, error) {
	const op = "segment.ReadIndex"
	b, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		return Index{}, errs.E(op, errs.Other, nil, err)
	}
	x, err := Parse(b)
	if err != nil {
		return Index{}, errs.E(op, errs.Other, filepath.Join(dir, IndexName), err)
	}
	return x, nil
}
