package parquetfile

import (
	"encoding/binary"
	"errors"
	"io"
	"sort"
	"sync"

	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// pages reads a file, and looks at each page header before the library does: the library reads a chunk of pages from
// its beginning on, so that the end of one page is where the next header is.
type pages struct {
	r  io.ReaderAt
	mu sync.Mutex // guards what is in chunks

	chunks []chunk // in order; none before the footer is known
}

// ReadAt implements io.ReaderAt.
func (p *pages) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.r.ReadAt(b, offset)
	if bad := p.check(b[:n], offset); bad != nil {
		return 0, bad
	}
	return n, err
}

// check looks at the headers that begin in b, and at those before them.
func (p *pages) check(b []byte, offset int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := offset + int64(len(b))
	i := sort.Search(len(p.chunks), func(i int) bool { return p.chunks[i].end > offset })
	for ; i < len(p.chunks) && p.chunks[i].start < end; i++ {
		c := &p.chunks[i]
		for c.next < min(end, c.end) {
			var known []byte
			if c.next >= offset {
				known = b[c.next-offset : min(end, c.end)-offset]
			}
			if err := p.look(c, known); err != nil {
				return err
			}
		}
	}
	return nil
}

// Page headers have some dozen bytes, and two values of the column, however long these are.
const (
	someHeader = 64 << 10
	maxHeader  = 16 << 20
)

// look looks at the next page of c, of which known are the first bytes.
func (p *pages) look(c *chunk, known []byte) error {
	h, err := parsePage(known)
	for errors.Is(err, errShort) {
		n := min(max(someHeader, 4*int64(len(known))), c.end-c.next, maxHeader)
		if int64(len(known)) >= n {
			return damagedf("the page header at %d has no end", c.next)
		}
		known = make([]byte, n)
		if err := readAt(p.r, known, c.next); err != nil {
			return err
		}
		h, err = parsePage(known)
	}
	if err != nil {
		return err
	}
	if err := h.check(c); err != nil {
		return err
	}
	if err := p.checkBody(c, h, known[h.length:]); err != nil {
		return err
	}
	c.values -= h.data
	c.next += h.length + h.packed
	return nil
}

// page is what a page header says.
type page struct {
	length   int64 // of the header
	packed   int64 // bytes of the page in the file
	unpacked int64
	values   int64
	data     int64 // values that count as the column's: none in a dictionary
	levels   int64 // bytes before the values that are not compressed
	plain    bool  // nor are the values
}

// The fields of a PageHeader, and of the structs in it.
const (
	fieldUnpacked   = 2
	fieldPacked     = 3
	fieldData       = 5
	fieldDictionary = 7
	fieldDataV2     = 8

	fieldValues      = 1 // of all three
	fieldDefinitions = 5 // of version 2, as are those that follow
	fieldRepetitions = 6
	fieldCompressed  = 7
)

// parsePage reads a page header, or fails with errShort if b has not all of it.
func parsePage(b []byte) (h page, err error) {
	w := walker{rest: b}
	number := func(into *int64) (taken bool, err error) {
		*into, err = w.number()
		return true, err
	}
	err = w.fields(func(id int64, kind byte) (bool, error) {
		switch {
		case kind == typeI32 && id == fieldUnpacked:
			return number(&h.unpacked)
		case kind == typeI32 && id == fieldPacked:
			return number(&h.packed)
		case kind != typeStruct || id != fieldData && id != fieldDictionary && id != fieldDataV2:
			return false, nil
		}
		dictionary, v2 := id == fieldDictionary, id == fieldDataV2
		return true, w.fields(func(id int64, kind byte) (bool, error) {
			switch {
			case kind == typeI32 && id == fieldValues:
				if _, err := number(&h.values); err != nil || dictionary {
					return true, err
				}
				h.data = h.values
				return true, nil
			case v2 && kind == typeI32 && (id == fieldDefinitions || id == fieldRepetitions):
				n, err := w.number()
				h.levels += n
				return true, err
			case v2 && kind == typeFalse && id == fieldCompressed:
				h.plain = true
			}
			return false, nil
		})
	})
	h.length = int64(len(b) - len(w.rest))
	return h, err
}

// check compares a header with its chunk.
func (h *page) check(c *chunk) error {
	left := c.end - c.next - h.length
	switch {
	case h.packed < 0 || h.packed > left:
		return damagedf("a page of %d bytes at %d, where %d are left of its column", h.packed, c.next, left)
	case h.unpacked < 0 || h.unpacked > MaxPage:
		return damagedf("a page of %d bytes at %d, decompressed; %d are allowed", h.unpacked, c.next, int64(MaxPage))
	case h.values < 0 || h.values > MaxValues || h.values*min(c.length, MaxPage) > MaxPage:
		return damagedf("a page of %d values at %d, of %d bytes each", h.values, c.next, c.length)
	case h.data > c.values:
		return damagedf("a page of %d values at %d, where %d are left of its column", h.values, c.next, c.values)
	case h.levels < 0 || h.levels > h.packed:
		return damagedf("%d bytes of levels in a page of %d at %d", h.levels, h.packed, c.next)
	}
	return nil
}

// checkBody looks into a page whose codec believes a length in it: what snappy says that it decompresses to, and lz4,
// for which the library tries ever larger buffers. Known are the first bytes of the page.
func (p *pages) checkBody(c *chunk, h page, known []byte) error {
	n := h.packed - h.levels
	at := c.next + h.length + h.levels
	known = known[min(h.levels, int64(len(known))):]
	switch {
	case n == 0 || h.plain:
		return nil
	case c.codec == format.Snappy:
		n = min(n, binary.MaxVarintLen64)
	case c.codec != format.Lz4Raw:
		return nil
	}
	if int64(len(known)) < n {
		known = make([]byte, n)
		if err := readAt(p.r, known, at); err != nil {
			return err
		}
	}
	if c.codec == format.Snappy {
		if size, k := binary.Uvarint(known); k <= 0 || size > uint64(h.unpacked) {
			return damagedf("a page at %d decompresses to %d bytes, not to %d", c.next, size, h.unpacked)
		}
		return nil
	}
	if _, err := lz4.UncompressBlock(known[:n], make([]byte, h.unpacked-min(h.levels, h.unpacked))); err != nil {
		return damagedf("a page at %d cannot be decompressed: %v", c.next, err)
	}
	return nil
}
