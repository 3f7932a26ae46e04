package streaming

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// codec is the form of records on standard input or output. The binary ones are Hadoop Streaming's: a record is its key
// and then its value, also where the key is empty; numbers are big-endian.
//
//	text         key TAB value NEWLINE
//	rawbytes     each: length (4), bytes
//	typedbytes   each: type (1), and
//	             0 bytes, 7 string    length (4), bytes
//	             1 byte               1
//	             2 boolean            1: 0 or 1
//	             3 int, 5 float       4
//	             4 long, 6 double     8
//
// Programs get strings, and longs where the job has whole numbers; they may put out all of these types. Numbers become
// decimal text, or stay numbers where the job has whole numbers.
type codec string

const (
	text       codec = "text"
	rawBytes   codec = "rawbytes"
	typedBytes codec = "typedbytes"
)

// The types of typedbytes that are known.
const (
	typeBytes, typeByte, typeBool, typeInt, typeLong, typeFloat, typeDouble, typeString = 0, 1, 2, 3, 4, 5, 6, 7
)

func parseCodec(name string, p functions.Params) (codec, error) {
	switch c := codec(p[name]); c {
	case "":
		return text, nil
	case text, rawBytes, typedBytes:
		return c, nil
	}
	return "", errs.Errorf("streaming.Params", errs.Invalid, nil, "%s is %q; say text, rawbytes or typedbytes", name,
		p[name])
}

// item appends a key or value.
func (c codec) item(b, data []byte) []byte {
	if c == typedBytes {
		b = append(b, typeString)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(data))) // records are shorter than maxLine
	return append(b, data...)
}

// number appends a value that is a whole number.
func (c codec) number(b []byte, n int64) []byte {
	if c == typedBytes {
		return binary.BigEndian.AppendUint64(append(b, typeLong), uint64(n))
	}
	return c.item(b, strconv.AppendInt(nil, n, 10))
}

// cut takes a key or value off the front of b; ok is false if there is not all of it. What is no text is made text in
// scratch, which is returned.
func (c codec) cut(b, scratch []byte) (item, rest, grown []byte, ok bool, err error) {
	kind := byte(typeBytes)
	if c == typedBytes {
		if len(b) == 0 {
			return nil, b, scratch, false, nil
		}
		kind, b = b[0], b[1:]
	}
	size, known := map[byte]int{
		typeBytes: 4, typeString: 4, typeByte: 1, typeBool: 1, typeInt: 4, typeFloat: 4, typeLong: 8, typeDouble: 8,
	}[kind]
	switch {
	case !known:
		return nil, b, scratch, false, errs.Errorf("", errs.Failed, nil, "type %d of typedbytes is not supported", kind)
	case len(b) < size:
		return nil, b, scratch, false, nil
	}
	head, b := b[:size], b[size:]
	if kind == typeBytes || kind == typeString {
		n := int64(binary.BigEndian.Uint32(head))
		if n > maxLine {
			return nil, b, scratch, false, errs.Errorf("", errs.Failed, nil,
				"a key or value has %d bytes, at most %d are allowed", n, maxLine)
		}
		if int64(len(b)) < n {
			return nil, b, scratch, false, nil
		}
		return b[:n], b[n:], scratch, true, nil
	}
	from := len(scratch)
	scratch = appendPlain(scratch, kind, head)
	return scratch[from:], b, scratch, true, nil
}

// appendPlain appends a number or truth value as text.
func appendPlain(b []byte, kind byte, data []byte) []byte {
	be := binary.BigEndian
	switch kind {
	case typeByte:
		return strconv.AppendInt(b, int64(int8(data[0])), 10)
	case typeBool:
		return strconv.AppendBool(b, data[0] != 0)
	case typeInt:
		return strconv.AppendInt(b, int64(int32(be.Uint32(data))), 10)
	case typeLong:
		return strconv.AppendInt(b, int64(be.Uint64(data)), 10)
	case typeFloat:
		return strconv.AppendFloat(b, float64(math.Float32frombits(be.Uint32(data))), 'g', -1, 32)
	}
	return strconv.AppendFloat(b, math.Float64frombits(be.Uint64(data)), 'g', -1, 64)
}

// key appends a record's key to what the program reads; nil is none.
func (l layout) key(b, key []byte) []byte {
	switch {
	case l.codec != text:
		return l.codec.item(b, key)
	case key == nil:
		return b
	}
	return append(append(b, key...), l.sep...)
}

// value appends a record's value.
func (l layout) value(b, value []byte) []byte {
	if l.codec != text {
		return l.codec.item(b, value)
	}
	return append(append(b, value...), '\n')
}

// number appends a record's value that is a whole number.
func (l layout) number(b []byte, n int64) []byte {
	if l.codec != text {
		return l.codec.number(b, n)
	}
	return append(strconv.AppendInt(b, n, 10), '\n')
}
