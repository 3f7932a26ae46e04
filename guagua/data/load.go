package data

import (
	"context"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// BadRecords is the counter of rows that were left out, in the group Guagua.
const BadRecords = "BAD_RECORDS"

// Load reads a worker's split into a table. A worker without a single record fails, with its name.
func Load[T Float](ctx context.Context, env *guagua.Env, in guagua.Split, o Options) (*Table[T], error) {
	l := &loader[T]{env: env, o: o, bad: complaints{policy: o.Bad, logf: env.Logf}}
	l.build.room, l.build.keep, l.build.scratch = env.Memory, o.Keep, env.Scratch
	for _, p := range in.Pieces {
		if p.Length == 0 {
			continue
		}
		var err error
		if format, compression := o.FormatOf(p.URI); format == Parquet {
			err = l.parquet(ctx, p)
		} else {
			err = l.text(ctx, p, format, compression)
		}
		if err != nil {
			l.build.abort()
			return nil, err
		}
	}
	t, err := l.build.table()
	if err != nil {
		return nil, err
	}
	t.Bad = l.bad.count
	env.Count("Guagua", "RECORDS", int64(t.Rows))
	env.Count("Guagua", BadRecords, int64(t.Bad))
	if t.Rows == 0 {
		t.Close() //nolint:errcheck // it has no file without rows
		return nil, errs.Errorf(op, errs.Invalid, nil, "its share of the input has no records: %s", in)
	}
	return t, nil
}

type loader[T Float] struct {
	env    *guagua.Env
	o      Options
	bad    complaints
	build  builder[T]
	fields int // of every row of the split, 0 until known
}

// parser makes rows of text.
type parser[T Float] interface {
	parse(text []byte) rows[T]
}

// text loads a piece of a text file: one goroutine reads, some parse, and this one takes what they make, in order.
func (l *loader[T]) text(ctx context.Context, p guagua.Piece, format Format, compression string) error {
	parse, skip, err := l.parser(ctx, p, format, compression)
	if err != nil || parse == nil {
		return err
	}
	r, err := openText(ctx, l.env.Open, p, compression)
	if err != nil {
		return err
	}
	defer r.Close()
	g, ctx := errgroup.WithContext(ctx)
	queue := make(chan chan parsed[T], max(1, l.env.Threads))
	g.Go(func() error {
		defer close(queue)
		return lines(r, p, compression != "", func(c chunk) error {
			if c.line == 0 && skip && p.Offset == 0 {
				c.text, c.line = afterFirst(c.text)
			}
			done := make(chan parsed[T], 1)
			select {
			case queue <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error { done <- parsed[T]{parse.parse(c.text), c.line}; return nil })
			return nil
		})
	})
	g.Go(func() error {
		for done := range queue {
			if err := l.take(ctx, p, <-done); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// parsed is what became of a chunk.
type parsed[T Float] struct {
	rows[T]
	line int64
}

func (l *loader[T]) take(ctx context.Context, p guagua.Piece, c parsed[T]) error {
	for _, b := range c.bad {
		line := func() (int64, error) {
			before, err := linesBefore(ctx, l.env.Open, p)
			return before + c.line + b.line + 1, err
		}
		if err := l.bad.add(p.URI, line, b.why); err != nil {
			return err
		}
	}
	return l.build.add(c.block)
}

// parser returns the parser of a file, and whether its first line is no row. There is none for a file of blank lines.
func (l *loader[T]) parser(ctx context.Context, p guagua.Piece, format Format, compression string) (
	parser[T], bool, error) {
	if format == LibSVM {
		return &svmParser[T]{l.o.Scale, l.o.Labels}, false, nil
	}
	c := &csvParser[T]{delimiter: l.o.Delimiter, scale: l.o.Scale, labels: l.o.Labels}
	if c.delimiter == 0 {
		if c.delimiter = ','; format == TSV {
			c.delimiter = '\t'
		}
	}
	line, err := firstLine(ctx, l.env.Open, p.URI, compression)
	if err != nil {
		return nil, false, err
	}
	if len(line) == 0 {
		return nil, false, nil
	}
	first := fields(line, c.delimiter)
	if l.fields == 0 {
		l.fields = len(first)
	}
	c.fields = l.fields
	c.label, err = l.labelColumn(p.URI, first)
	return c, l.o.Header, err
}

// labelColumn returns which field the label is, -1 for none.
func (l *loader[T]) labelColumn(file string, names [][]byte) (int, error) {
	if l.o.Label == "none" {
		return -1, nil
	}
	if n, err := strconv.Atoi(l.o.Label); err == nil {
		if n < 1 || n > l.fields && l.fields > 0 {
			return 0, errs.Errorf(op, errs.Invalid, file, "label=%d: there are %d columns", n, l.fields)
		}
		return n - 1, nil
	}
	if l.o.Header {
		for i, name := range names {
			if string(name) == l.o.Label {
				return i, nil
			}
		}
	}
	return 0, errs.Errorf(op, errs.Invalid, file, "label=%s: no column has this name%s", l.o.Label, l.headerHint())
}

func (l *loader[T]) headerHint() string {
	if l.o.Header {
		return ""
	}
	return "; names need header=true"
}
