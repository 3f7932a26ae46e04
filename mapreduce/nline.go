package mapreduce

import (
	"bufio"
	"context"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// maxLineMaps is how many maps format.NLine makes at most: what is planned is kept in memory.
const maxLineMaps = 100_000

// split divides what is read in one way among maps.
func (e *Engine) split(ctx context.Context, c reading) ([]split.Split, error) {
	if c.opts.Format == format.NLine {
		return e.splitLines(ctx, c)
	}
	return split.Cut(c.files, split.Options{
		Size: c.opts.SplitSize, Slots: e.opts.Slots, Lines: c.opts.readsLines(), Whole: !c.opts.Format.Divisible(),
	}), nil
}

// splitLines gives each map the same number of lines of one file. It reads all files that are not compressed; of those
// that are each is a split.
func (e *Engine) splitLines(ctx context.Context, c reading) ([]split.Split, error) {
	n, err := c.opts.Format.Number(c.opts.Set)
	if err != nil {
		return nil, err
	}
	var splits []split.Split
	for _, f := range c.files {
		switch {
		case f.Size == 0:
		case f.Compressed() && len(splits) >= maxLineMaps:
			return nil, tooManyMaps(n)
		case f.Compressed():
			splits = append(splits, split.Split{{File: f, Length: f.Size}})
		default:
			if splits, err = e.appendLines(ctx, splits, f, n); err != nil {
				return nil, err
			}
		}
	}
	return splits, nil
}

// appendLines appends the splits of a file, n lines each.
func (e *Engine) appendLines(ctx context.Context, to []split.Split, f split.File, n int) ([]split.Split, error) {
	const op = "mapreduce.Plan"
	whole := split.Piece{File: f, Length: f.Size}
	file, err := split.NewSource(e.resolve, split.Split{whole}).Open(ctx, text.Piece{Name: f.URI, Length: f.Size}, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, text.DefaultBuffer)
	for at := int64(0); at < f.Size; {
		if err := ctx.Err(); err != nil {
			return nil, errs.E(op, errs.Canceled, f.URI, err)
		}
		bytes, err := format.SkipLines(in, n)
		switch {
		case err != nil:
			return nil, errs.E(op, errs.Other, f.URI, err)
		case bytes == 0:
			return nil, errs.Errorf(op, errs.Invalid, nil, "input %s was changed while the job was planned", f.URI)
		case len(to) >= maxLineMaps:
			return nil, tooManyMaps(n)
		}
		to = append(to, split.Split{{File: f, Offset: at, Length: bytes}})
		at += bytes
	}
	return to, nil
}

func tooManyMaps(lines int) error {
	return errs.Errorf("mapreduce.Plan", errs.Invalid, nil, "%d lines for each map makes more than %d maps; set %s higher",
		lines, maxLineMaps, format.LinesPerMap)
}
