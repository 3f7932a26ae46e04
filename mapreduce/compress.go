package mapreduce

import (
	"context"
	"io"

	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/commit"
)

// compressedPart compresses what is written to a part.
type compressedPart struct {
	commit.Writer
	z io.WriteCloser
}

// compressed returns part, or what compresses to it.
func compressed(part commit.Writer, c codec.Codec) (commit.Writer, error) {
	if c == codec.None {
		return part, nil
	}
	z, err := c.NewWriter(part)
	return &compressedPart{part, z}, err
}

func (p *compressedPart) Write(b []byte) (int, error) { return p.z.Write(b) }

// Commit implements commit.Writer.
func (p *compressedPart) Commit(ctx context.Context) (commit.Part, error) {
	if err := p.z.Close(); err != nil {
		return commit.Part{}, err
	}
	return p.Writer.Commit(ctx)
}
