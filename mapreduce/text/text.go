// Package text reads splits of text as lines, without copying or allocating per line.
//
// A Reader fills one large buffer, finds the last newline in it, and hands out all the lines before that at once or one
// by one, as views of the buffer. What follows the last newline is moved to the front, and the rest is filled again.
//
//	file     ...the end of a line\nfirst line of ours\n ... \nlast line of ours, goes on\nnot ours\n
//	piece                   |- Offset                       Offset+Length -|
//	lines                           |- first ...                   ... last -|
package text

import (
	"context"
	"io"

	"github.com/seed3322913c/runner/mapreduce/arena"
)

// Piece is a part of a file, the whole of it often. A split is one large piece or many small ones. A line belongs to
// the piece in which its first byte lies, so pieces that cover a file without gaps yield each line exactly once.
type Piece struct {
	Name   string // what errors call it
	Offset int64  // the first byte
	Length int64  // how many bytes; ToEnd: all there are (a compressed file, whose length is not known)
}

// ToEnd as a Piece's Length means: up to the end of the stream, wherever that is.
const ToEnd = -1

// Opener opens p's file for reading from an offset on, past the end of the piece up to the end of the file. It is asked
// for p.Offset-1, if that is not negative, since the byte before tells whether a line begins at p.Offset.
type Opener func(ctx context.Context, p Piece, from int64) (io.ReadCloser, error)

// Options tune a Reader.
type Options struct {
	Budget *arena.Budget // where buffers come from; required
	Buffer int           // bytes of the buffer, 1 MiB by default; a longer line makes it grow as far as the budget goes
}

// DefaultBuffer is large enough to make the cost per buffer vanish, and fits the last-level cache.
const DefaultBuffer = 1 << 20

// slack is how many bytes behind a line may be read, since words are loaded eight bytes at a time.
const slack = 8
