package split

import (
	"errors"
	"io"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/codec"
)

// Compressed reports whether the file is compressed. As in Hadoop the end of its name tells.
func (f File) Compressed() bool { return codec.ForFile(f.URI) != codec.None }

// cuttable reports whether maps can read parts of the file.
func (f File) cuttable(o Options) bool {
	c := codec.ForFile(f.URI)
	return !o.Whole && c == codec.None || c == codec.Bzip2 && o.Lines
}

// unpacked reads a compressed piece.
type unpacked struct {
	piece Piece
	file  io.ReadCloser
	plain io.ReadCloser // nil until the first Read
	saved *int64        // bytes read of the piece, less those that came of them
	raw   countingRead  // of file
}

func (u *unpacked) Read(p []byte) (n int, err error) {
	before := u.counted()
	if u.plain == nil {
		u.raw.Reader = u.file
		u.plain, err = u.open()
	}
	if err == nil {
		n, err = u.plain.Read(p)
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		u.raw.n = u.piece.Length // what is left is no data
	}
	*u.saved += u.counted() - before - int64(n)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if kind := errs.KindOf(err); kind == errs.Other || kind == errs.Corrupt {
			err = errs.Errorf("split.Read", errs.Corrupt, nil, "input %s cannot be decompressed: %v", u.piece.URI, err)
		}
	}
	return n, err
}

// counted returns how many bytes of the piece were read: those after it are another's.
func (u *unpacked) counted() int64 { return min(u.raw.n, u.piece.Length) }

func (u *unpacked) open() (io.ReadCloser, error) {
	if u.piece.Length < u.piece.Size {
		return io.NopCloser(codec.NewBlocks(&u.raw, u.piece.Length, u.piece.Offset == 0)), nil
	}
	return codec.ForFile(u.piece.URI).NewReader(&u.raw)
}

func (u *unpacked) Close() error {
	if u.plain != nil {
		_ = u.plain.Close() // gives memory back; nothing can be lost
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
