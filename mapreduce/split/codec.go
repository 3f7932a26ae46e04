package split

import (
	"compress/bzip2"
	"errors"
	"io"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/seed3322913c/runner/infra/errs"
)

// maxWindow bounds what a decompressor may keep of a file, in bytes.
const maxWindow = 64 << 20

// decompressor returns what reads a file with such a name as its author wrote it, or nil if it is not compressed. As in
// Hadoop the end of the name tells.
func decompressor(uri string) func(io.Reader) (io.Reader, error) {
	switch path.Ext(uri) {
	case ".gz":
		return func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	case ".bz2":
		return func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }
	case ".zst":
		return func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(maxWindow))
		}
	}
	return nil
}

// Compressed reports whether the file is compressed, so that it is read from its beginning to its end by one map.
func (f File) Compressed() bool { return decompressor(f.URI) != nil }

// unpacked reads a compressed file.
type unpacked struct {
	uri   string
	file  io.ReadCloser
	make  func(io.Reader) (io.Reader, error)
	plain io.Reader    // nil until the first Read
	saved *int64       // bytes read of the file, less those that came of them
	raw   countingRead // of file
}

func (u *unpacked) Read(p []byte) (n int, err error) {
	before := u.raw.n
	if u.plain == nil {
		u.raw.Reader = u.file
		u.plain, err = u.make(&u.raw)
	}
	if err == nil {
		n, err = u.plain.Read(p)
	}
	*u.saved += u.raw.n - before - int64(n)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if kind := errs.KindOf(err); kind == errs.Other {
			err = errs.Errorf("split.Read", errs.Corrupt, nil, "input %s cannot be decompressed: %v", u.uri, err)
		}
	}
	return n, err
}

func (u *unpacked) Close() error {
	if z, ok := u.plain.(*zstd.Decoder); ok {
		z.Close()
	}
	return u.file.Close()
}

// countingRead counts what is read.
type countingRead struct {
	io.Reader
	n int64
}

func (c *countingRead) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
