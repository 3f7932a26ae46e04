package format

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/codec"
)

// A SequenceFile of Hadoop, version 6. Numbers are big-endian, a string is a vint length and as many bytes:
//
//	| SEQ 6 | class of keys | class of values | compressed 1B | by blocks 1B | class of codec, if compressed |
//	| pairs of metadata 4B | strings... | sync 16B |
//
//	| length of record 4B | length of key 4B | key | value |                  repeated; -1 and sync now and then
//	| -1 4B | sync | records vint | 4 x ( length vint | bytes ) |             repeated, if by blocks: the lengths of
//	                                                                          keys, keys, lengths of values, values

const (
	sequenceMagic = "SEQ\x06"
	textClass     = "org.apache.hadoop.io.Text"
	syncSize      = 16
	syncEvery     = 2000    // bytes between two syncs, about, as in Hadoop
	maxSequence   = 1 << 30 // bytes of a record or block
	maxString     = 1 << 16
)

// sequence reads a SequenceFile.
type sequence struct {
	in         *bufio.Reader
	key, value string // classes
	compressed bool
	codec      string
	sync       [syncSize]byte
	block      *sequenceBlock // nil: not by blocks
	buf        []byte
}

// sequenceBlock is what is left of a block.
type sequenceBlock struct {
	left                                  int
	keyLengths, keys, valueLengths, value *bufio.Reader
}

func readSequence(in *bufio.Reader) (records, error) {
	s := &sequence{in: in}
	if err := s.header(); err != nil {
		return nil, err
	}
	if s.block != nil {
		return s.nextOfBlock, nil
	}
	return s.next, nil
}

func damaged(what string) error {
	return errs.Errorf("format.Sequence", errs.Corrupt, nil, "SequenceFile: %s", what)
}

// torn says that the end of a file is none here.
func torn(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *sequence) header() (err error) {
	var magic [4]byte
	if _, err := io.ReadFull(s.in, magic[:]); err != nil || string(magic[:]) != sequenceMagic {
		return damaged("it does not begin with SEQ and version 6")
	}
	text := func() string {
		var b []byte
		if err == nil {
			b, err = readString(s.in, maxString)
		}
		return string(b)
	}
	flag := func() bool {
		var c byte
		if err == nil {
			c, err = s.in.ReadByte()
		}
		return c != 0
	}
	s.key, s.value = text(), text()
	s.compressed = flag()
	if flag() {
		s.block = &sequenceBlock{}
	}
	if s.compressed {
		s.codec = text()
	}
	var pairs uint32
	if err == nil {
		err = binary.Read(s.in, binary.BigEndian, &pairs)
	}
	if pairs > maxString {
		return damaged("too much metadata")
	}
	for range 2 * pairs {
		text()
	}
	if err == nil {
		_, err = io.ReadFull(s.in, s.sync[:])
	}
	return torn(err)
}

// length reads the length of a record, past syncs. The end of the file is io.EOF.
func (s *sequence) length() (int, error) {
	for {
		var n int32
		if err := binary.Read(s.in, binary.BigEndian, &n); err != nil {
			return 0, err
		}
		if n != -1 {
			if n < 0 || n > maxSequence {
				return 0, damaged("a record of " + strconv.Itoa(int(n)) + " bytes")
			}
			return int(n), nil
		}
		if err := s.readSync(); err != nil {
			return 0, err
		}
		if s.block != nil {
			return 0, nil
		}
	}
}

func (s *sequence) readSync() error {
	var sync [syncSize]byte
	if _, err := io.ReadFull(s.in, sync[:]); err != nil {
		return torn(err)
	}
	if sync != s.sync {
		return damaged("a sync that is not this file's")
	}
	return nil
}

func (s *sequence) next() (r functions.Record, err error) {
	n, err := s.length()
	if err != nil {
		return r, err
	}
	var keyLength uint32
	if err := binary.Read(s.in, binary.BigEndian, &keyLength); err != nil {
		return r, torn(err)
	}
	if int64(keyLength) > int64(n) {
		return r, damaged("a key longer than its record")
	}
	if s.buf, err = readExactly(s.in, n, s.buf); err != nil {
		return r, err
	}
	key, value := s.buf[:keyLength], s.buf[keyLength:]
	if s.compressed {
		if value, err = s.unpack(value); err != nil {
			return r, err
		}
	}
	if r.Key, err = plain(s.key, key); err == nil {
		r.Value, err = plain(s.value, value)
	}
	return r, err
}

func (s *sequence) nextOfBlock() (r functions.Record, err error) {
	b := s.block
	for b.left == 0 {
		if err := s.readBlock(); err != nil {
			return r, err
		}
	}
	b.left--
	read := func(lengths, data *bufio.Reader) []byte {
		n, e := readVInt(lengths)
		if e == nil && (n < 0 || n > maxSequence) {
			e = damaged("a length in a block")
		}
		var field []byte
		if e == nil {
			field, e = readExactly(data, int(n), nil)
		}
		if err == nil {
			err = torn(e)
		}
		return field
	}
	key, value := read(b.keyLengths, b.keys), read(b.valueLengths, b.value)
	if err == nil {
		r.Key, err = plain(s.key, key)
	}
	if err == nil {
		r.Value, err = plain(s.value, value)
	}
	return r, err
}

func (s *sequence) readBlock() error {
	if n, err := s.length(); err != nil || n != 0 {
		if err == nil {
			err = damaged("a block without its sync")
		}
		return err
	}
	n, err := readVInt(s.in)
	if err != nil || n < 0 || n > maxSequence {
		return damaged("a block of so many records")
	}
	s.block.left = int(n)
	for _, part := range []**bufio.Reader{
		&s.block.keyLengths, &s.block.keys, &s.block.valueLengths, &s.block.value,
	} {
		packed, err := readString(s.in, maxSequence)
		if err == nil {
			packed, err = s.unpack(packed)
		}
		if err != nil {
			return torn(err)
		}
		*part = bufio.NewReader(bytes.NewReader(packed))
	}
	return nil
}

// unpack decompresses a value or a part of a block.
func (s *sequence) unpack(packed []byte) ([]byte, error) {
	name := s.codec[strings.LastIndexByte(s.codec, '.')+1:]
	if name == "DefaultCodec" || name == "DeflateCodec" {
		z, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, damaged(err.Error())
		}
		return readBounded(z)
	}
	c, ok := map[string]codec.Codec{
		"GzipCodec": codec.Gzip, "BZip2Codec": codec.Bzip2, "SnappyCodec": codec.Snappy, "Lz4Codec": codec.LZ4,
		"ZStandardCodec": codec.Zstd,
	}[name]
	if !ok {
		return nil, errs.Errorf("format.Sequence", errs.Unsupported, nil, "SequenceFile: codec %s is not known", s.codec)
	}
	z, err := c.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, damaged(err.Error())
	}
	defer z.Close()
	return readBounded(z)
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSequence))
	if err != nil {
		return nil, damaged(err.Error())
	}
	return b, nil
}

// plain returns what people see of an encoded object: the bytes of a Text or BytesWritable, numbers in decimal, nothing
// for a NullWritable, and the encoding itself for what is not known.
func plain(class string, b []byte) ([]byte, error) {
	short, ok := strings.CutPrefix(class, "org.apache.hadoop.io.")
	if !ok {
		return b, nil
	}
	in := bytes.NewReader(b)
	size := map[string]int{"LongWritable": 8, "IntWritable": 4, "BooleanWritable": 1, "BytesWritable": 4}[short]
	if len(b) < size {
		return nil, damaged("a " + short + " of " + strconv.Itoa(len(b)) + " bytes")
	}
	switch short {
	case "Text":
		n, err := readVInt(in)
		if err != nil || int64(in.Len()) != n {
			return nil, damaged("a Text whose length is wrong")
		}
		return b[len(b)-in.Len():], nil
	case "BytesWritable":
		return b[4:], nil
	case "LongWritable":
		return strconv.AppendInt(nil, int64(binary.BigEndian.Uint64(b)), 10), nil
	case "IntWritable":
		return strconv.AppendInt(nil, int64(int32(binary.BigEndian.Uint32(b))), 10), nil
	case "BooleanWritable":
		return strconv.AppendBool(nil, b[0] != 0), nil
	case "VLongWritable", "VIntWritable":
		n, err := readVInt(in)
		return strconv.AppendInt(nil, n, 10), torn(err)
	case "NullWritable":
		return nil, nil
	}
	return b, nil
}

// readExactly reads n bytes, into buf if it is long enough. What is not there is not reserved.
func readExactly(in io.Reader, n int, buf []byte) ([]byte, error) {
	if n <= cap(buf) {
		_, err := io.ReadFull(in, buf[:n])
		return buf[:n], torn(err)
	}
	b := bytes.NewBuffer(buf[:0])
	if _, err := io.CopyN(b, in, int64(n)); err != nil {
		return nil, torn(err)
	}
	return b.Bytes(), nil
}

func readString(in *bufio.Reader, most int64) ([]byte, error) {
	n, err := readVInt(in)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > most {
		return nil, damaged("a string of " + strconv.FormatInt(n, 10) + " bytes")
	}
	return readExactly(in, int(n), nil)
}

// readVInt reads a number as Hadoop's WritableUtils writes it: one byte from -112 to 127, or a byte that says how many
// follow and whether the number is negative.
func readVInt(in io.ByteReader) (int64, error) {
	c, err := in.ReadByte()
	first := int8(c)
	if err != nil || first >= -112 {
		return int64(first), err
	}
	size, negative := -112-int(first), first < -120
	if negative {
		size = -120 - int(first)
	}
	var n int64
	for range size {
		c, err := in.ReadByte()
		if err != nil {
			return 0, torn(err)
		}
		n = n<<8 | int64(c)
	}
	if negative {
		n = ^n
	}
	return n, nil
}

// appendVInt is the inverse of readVInt, for numbers that are not negative.
func appendVInt(b []byte, n int) []byte {
	if n <= 127 {
		return append(b, byte(n))
	}
	size := 1
	for n>>(8*size) != 0 {
		size++
	}
	b = append(b, byte(-112-size))
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

func appendString(b []byte, s []byte) []byte { return append(appendVInt(b, len(s)), s...) }

// sequenceWriter writes keys and values as Text, not compressed.
type sequenceWriter struct {
	endless
	sync  [syncSize]byte
	since int // bytes since the last sync
}

// begin appends the header of a file. The sync differs between files with different names.
func (s *sequenceWriter) begin(b []byte, name string) []byte {
	sum := sha256.Sum256([]byte(name))
	copy(s.sync[:], sum[:])
	b = append(b, sequenceMagic...)
	b = appendString(appendString(b, []byte(textClass)), []byte(textClass))
	b = append(b, 0, 0, 0, 0, 0, 0) // neither compressed nor by blocks, no metadata
	return append(b, s.sync[:]...)
}

// Append implements Appender.
func (s *sequenceWriter) Append(b, key, value []byte) ([]byte, error) {
	before := len(b)
	if s.since >= syncEvery {
		b = append(append(b, 0xff, 0xff, 0xff, 0xff), s.sync[:]...)
		s.since = 0
	}
	at := len(b)
	b = append(b, make([]byte, 8)...)
	b = appendString(b, key)
	keyEnd := len(b)
	b = appendString(b, value)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-8))
	binary.BigEndian.PutUint32(b[at+4:], uint32(keyEnd-at-8))
	s.since += len(b) - before
	return b, nil
}
