// Package codec compresses and decompresses whole files, in the forms that Hadoop and the usual tools read and write.
//
//	name           end of a file's name   form
//	gzip           .gz                    any number of members, one after the other
//	bzip2          .bz2                   likewise; the only one that can be read from the middle (see Blocks)
//	zstd           .zst                   frames
//	snappy         .snappy                Hadoop's blocks; the framing format is read as well
//	snappy-framed  .sz                    the framing format
//	lz4            .lz4                   Hadoop's blocks; frames, as the tool lz4 makes them, are read as well
//	lz4-frame      .lz4                   frames
//
// Hadoop's form of the codecs that only know blocks:
//
//	| size of the data 4B | ( size of a compressed chunk 4B | chunk )... until the chunks make up the size |   repeated
//
// Numbers are big-endian. All readers bound what they keep, whatever a file says.
package codec

import (
	"bufio"
	"compress/bzip2"
	"io"
	"path"
	"slices"

	bzip2writer "github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/seed3322913c/runner/infra/errs"
)

// Codec is one way to compress. The zero Codec leaves things as they are.
type Codec string

// The codecs.
const (
	None         Codec = ""
	Gzip         Codec = "gzip"
	Bzip2        Codec = "bzip2"
	Zstd         Codec = "zstd"
	Snappy       Codec = "snappy"
	SnappyFramed Codec = "snappy-framed"
	LZ4          Codec = "lz4"
	LZ4Frame     Codec = "lz4-frame"
)

// Names are all codecs but None, in the order in which people are told.
func Names() []Codec { return []Codec{Gzip, Zstd, Bzip2, Snappy, LZ4, SnappyFramed, LZ4Frame} }

var ends = map[Codec]string{
	Gzip: ".gz", Bzip2: ".bz2", Zstd: ".zst", Snappy: ".snappy", SnappyFramed: ".sz", LZ4: ".lz4", LZ4Frame: ".lz4",
}

// Ext returns how the names of compressed files end, as in ".gz".
func (c Codec) Ext() string { return ends[c] }

// Check fails with errs.Invalid if there is no such codec.
func (c Codec) Check() error {
	if c == None || slices.Contains(Names(), c) {
		return nil
	}
	return errs.Errorf("codec.Check", errs.Invalid, nil, "there is no codec %q; say one of %v", string(c), Names())
}

// ForFile returns the codec of a file by the end of its name, None if it is not compressed.
func ForFile(name string) Codec {
	ext := path.Ext(name)
	for _, c := range Names() {
		if c.Ext() == ext && ext != "" {
			return c
		}
	}
	return None
}

// maxWindow bounds what a decompressor may keep of a file, in bytes.
const maxWindow = 64 << 20

// NewReader returns what reads r as its author wrote it. Close does not close r. Errors of damaged input are the
// codec's own.
func (c Codec) NewReader(r io.Reader) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z, nil
	case Bzip2:
		return io.NopCloser(bzip2.NewReader(r)), nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case Snappy, SnappyFramed, LZ4, LZ4Frame:
		return c.detect(r)
	}
	return io.NopCloser(r), nil
}

// detect tells the two forms of the codecs apart by the first bytes of a file.
func (c Codec) detect(r io.Reader) (io.ReadCloser, error) {
	const (
		snappyMagic = "\xff\x06\x00\x00sNaPpY"
		lz4Magic    = "\x04\x22\x4d\x18"
	)
	in := bufio.NewReaderSize(r, 64<<10)
	begin := func(magic string) bool {
		b, _ := in.Peek(len(magic)) // a shorter file is told by its reader
		return string(b) == magic
	}
	switch {
	case begin(snappyMagic):
		return io.NopCloser(s2.NewReader(in)), nil
	case begin(lz4Magic):
		return io.NopCloser(lz4.NewReader(in)), nil
	case c == Snappy || c == SnappyFramed:
		return io.NopCloser(&blockReader{in: in, chunk: snappyChunk}), nil
	}
	return io.NopCloser(&blockReader{in: in, chunk: lz4Chunk}), nil
}

// NewWriter returns what compresses to w. Close ends the file, and does not close w.
func (c Codec) NewWriter(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	case Bzip2:
		return bzip2writer.NewWriter(w, &bzip2writer.WriterConfig{Level: bzip2writer.DefaultCompression})
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	case Snappy:
		return newBlockWriter(w, func(dst, src []byte) ([]byte, error) { return s2.EncodeSnappy(dst, src), nil }), nil
	case SnappyFramed:
		return s2.NewWriter(w, s2.WriterSnappyCompat(), s2.WriterConcurrency(1)), nil
	case LZ4:
		return newBlockWriter(w, compressLZ4), nil
	case LZ4Frame:
		return lz4.NewWriter(w), nil
	}
	return nopWriter{w}, nil
}

type nopWriter struct{ io.Writer }

func (nopWriter) Close() error { return nil }
