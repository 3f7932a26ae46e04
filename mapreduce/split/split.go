// Package split plans which part of which file each map task reads, and opens those parts later.
//
// List finds the files that a job's input names; Cut divides them; Append and Decode carry a split to the attempt that
// reads it; Source opens its files there and notices when one is no longer what was planned.
//
//	file:///logs/2026-*   List    a.log 150 MB   Cut (64 MB)   0: a.log 0+50 MB
//	                     ─────▶   b.log 2 KB    ────────────▶  1: a.log 50+50 MB
//	                              c.log 3 KB                   2: a.log 100+50 MB
//	                                                           3: b.log 0+2 KB, c.log 0+3 KB
//
// A large file becomes pieces of even size, unless it is compressed by other means than bzip2; small files are packed,
// since a task costs more than many of them. A piece is a range of bytes, and which lines belong to it is the reader's
// rule (see packages text and codec): the pieces of a file cover it without gaps, so every line is in exactly one.
package split

import (
	"encoding/binary"
	"fmt"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
)

// File is an input file as it was when the job was planned.
type File struct {
	URI     string
	Size    int64
	Version string // store.Info.Version
}

// Piece is a part of a file, or the whole of it.
type Piece struct {
	File
	Offset, Length int64
}

// Split is what one map task reads.
type Split []Piece

// Bytes returns the length of all pieces.
func (s Split) Bytes() int64 {
	var n int64
	for _, p := range s {
		n += p.Length
	}
	return n
}

// String writes the split as people read it: "a.txt 0+50 of 150", and how many pieces follow.
func (s Split) String() string {
	if len(s) == 0 {
		return "nothing"
	}
	p := s[0]
	text := fmt.Sprintf("%s %d+%d of %d", p.URI, p.Offset, p.Length, p.Size)
	if len(s) > 1 {
		text += fmt.Sprintf(" and %d more, %d bytes in all", len(s)-1, s.Bytes())
	}
	return text
}

// Options say how to cut.
type Options struct {
	Size  int64 // bytes of a split; 0: by the total and Slots
	Slots int   // how many map attempts run at a time; 0 counts as 1
	Whole bool  // no file is cut
	Lines bool  // records are lines: then bzip2 files can be cut, too
}

const (
	waves     = 6         // splits for each slot: enough that slots end together, few enough that starting them is cheap
	minSize   = 4 << 20   // below this a task costs more than its work
	maxSize   = 256 << 20 // above this a lost attempt costs too much
	slop      = 10        // a split may be larger by a tenth, rather than leave a small rest
	maxPieces = 10_000    // of a split, so that a payload stays below a megabyte
)

// SizeFor returns how many bytes a split of total bytes of input should have.
func (o Options) SizeFor(total int64) int64 {
	if o.Size > 0 {
		return o.Size
	}
	const mib = 1 << 20
	even := total / int64(max(o.Slots, 1)*waves)
	return min(max((even+mib-1)/mib*mib, minSize), maxSize)
}

// Cut divides files, in their order, into splits. Every byte of every file is in exactly one piece; an empty file is
// in none.
func Cut(files []File, o Options) []Split {
	var total int64
	for _, f := range files {
		total += f.Size
	}
	size := o.SizeFor(total)
	most := size + size/slop
	var splits []Split
	var pack Split
	var packed int64
	flush := func() {
		if len(pack) > 0 {
			splits, pack, packed = append(splits, pack), nil, 0
		}
	}
	for _, f := range files {
		switch {
		case f.Size == 0:
		case f.Size > most && f.cuttable(o):
			flush()
			splits = append(splits, cutFile(f, size)...)
		default:
			if packed+f.Size > most || len(pack) == maxPieces {
				flush()
			}
			pack = append(pack, Piece{f, 0, f.Size})
			packed += f.Size
		}
	}
	flush()
	return splits
}

// cutFile cuts a file of more than one split into pieces whose lengths differ by one byte at most.
func cutFile(f File, size int64) []Split {
	n := f.Size / size
	if rest := f.Size % size; rest > size/slop {
		n++
	}
	splits := make([]Split, n)
	for i := range n {
		from, to := share(f.Size, i, n), share(f.Size, i+1, n)
		splits[i] = Split{{f, from, to - from}}
	}
	return splits
}

// share returns where part i of n begins in size bytes, without the overflow of size*i/n.
func share(size, i, n int64) int64 { return size/n*i + size%n*i/n }

// version is the first byte of an encoded split.
const version = 1

// Append encodes s. Names that begin alike, as those of one folder do, are stored once.
//
//	| version 1B | pieces uvarint |
//	| shared uvarint | rest of URI bytes | file size uvarint | file version bytes | offset uvarint | length uvarint |
//
// the second line for each piece. There bytes are a uvarint length and as many bytes, and shared is how many bytes a
// URI has in common with the one before.
func (s Split) Append(b []byte) []byte {
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(len(s)))
	before := ""
	for _, p := range s {
		n := common(before, p.URI)
		b = binary.AppendUvarint(b, uint64(n))
		b = record.AppendBytes(b, []byte(p.URI[n:]))
		b = binary.AppendUvarint(b, uint64(p.Size))
		b = record.AppendBytes(b, []byte(p.Version))
		b = binary.AppendUvarint(b, uint64(p.Offset))
		b = binary.AppendUvarint(b, uint64(p.Length))
		before = p.URI
	}
	return b
}

func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Decode is the inverse of Append. It fails with errs.Corrupt.
func Decode(b []byte) (Split, error) {
	d := decoder{rest: b}
	if len(b) == 0 || b[0] != version {
		return nil, errs.Errorf("split.Decode", errs.Corrupt, nil, "not a split of version %d", version)
	}
	d.rest = b[1:]
	n := d.number()
	if n > int64(len(d.rest)) { // a piece has more than one byte, so a wrong count never makes a large slice
		d.bad = true
	}
	var s Split
	before := ""
	for i := int64(0); i < n && !d.bad; i++ {
		shared := d.number()
		suffix := d.bytes()
		if shared > int64(len(before)) {
			d.bad = true
			break
		}
		var p Piece
		p.URI = before[:shared] + string(suffix)
		p.Size, p.Version = d.number(), string(d.bytes())
		p.Offset, p.Length = d.number(), d.number()
		if p.Offset > p.Size || p.Length > p.Size-p.Offset {
			d.bad = true
		}
		s = append(s, p)
		before = p.URI
	}
	if d.bad || len(d.rest) > 0 {
		return nil, errs.Errorf("split.Decode", errs.Corrupt, nil, "damaged after piece %d of %d", len(s), n)
	}
	return s, nil
}

// decoder takes values from the front of rest until one is bad.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() int64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > 1<<62 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return int64(v)
}

func (d *decoder) bytes() []byte {
	b, rest, ok := record.Bytes(d.rest)
	d.bad = d.bad || !ok
	d.rest = rest
	return b
}
