package namespace

import (
	"encoding/binary"
	"fmt"
)

// coder writes or reads values one after the other; a type lists its fields once, for both ways. Numbers are varints,
// strings have their length in front. A reader that is at the end leaves the fields that are still to come as they are,
// so fields may be added at the end of a message and old logs stay readable.
type coder struct {
	buf     []byte // written so far, or still to be read
	reading bool
	noCRCs  bool  // reading what was written before blocks had them
	err     error // the first; nothing is read after it
}

// maxList bounds how many elements a list may claim to have.
const maxList = 1 << 20

func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("malformed %s, %d bytes before the end", what, len(c.buf))
	}
	c.buf = nil
}

func (c *coder) uint64(p *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *p)
		return
	}
	if len(c.buf) == 0 {
		return
	}
	v, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail("number")
		return
	}
	*p, c.buf = v, c.buf[n:]
}

// num codes any whole number; negative ones are folded, so that small ones stay short.
func num[T ~int8 | ~int16 | ~int32 | ~int64 | ~int | ~uint8 | ~uint16 | ~uint32](c *coder, p *T) {
	v := uint64(int64(*p)<<1) ^ uint64(int64(*p)>>63)
	c.uint64(&v)
	if c.reading {
		n := int64(v>>1) ^ -int64(v&1)
		*p = T(n)
		if int64(*p) != n {
			c.fail("number: it is out of range")
		}
	}
}

func (c *coder) bool(p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	num(c, &v)
	if c.reading {
		*p = v != 0
	}
}

// length codes the length of what follows; every element takes a byte at least, so it can't exceed what is there.
func (c *coder) length(n int) int {
	v := uint64(n)
	c.uint64(&v)
	if c.reading && (v > uint64(len(c.buf)) || c.err != nil) {
		c.fail("length")
		return 0
	}
	return int(v)
}

func (c *coder) string(p *string) {
	n := c.length(len(*p))
	if c.reading {
		*p, c.buf = string(c.buf[:n]), c.buf[n:]
	} else {
		c.buf = append(c.buf, *p...)
	}
}

func (c *coder) fixed(p []byte) {
	switch {
	case !c.reading:
		c.buf = append(c.buf, p...)
	case len(c.buf) < len(p):
		c.fail("bytes")
	default:
		copy(p, c.buf)
		c.buf = c.buf[len(p):]
	}
}

// list codes a slice, each element by its own function.
func list[T any](c *coder, p *[]T, each func(*coder, *T)) {
	n := c.length(len(*p))
	if c.reading {
		if n > maxList {
			c.fail("list")
			return
		}
		*p = nil
		for range n {
			var v T
			each(c, &v)
			if c.err != nil {
				return
			}
			*p = append(*p, v)
		}
		return
	}
	for i := range *p {
		each(c, &(*p)[i])
	}
}

// end says whether everything was read, and well.
func (c *coder) end(what string) error {
	if c.err == nil && len(c.buf) > 0 {
		c.fail(what)
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w", what, c.err)
	}
	return nil
}
