package data

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"
)

// Float is the precision in which features are kept.
type Float interface{ float32 | float64 }

// Block is a run of rows: dense if X is there, else sparse.
type Block[T Float] struct {
	First   int // the number of its first row in the table
	Rows    int
	Columns int
	X       []T       // row by row, Columns each
	Y       []float64 // one label a row; nil if there are none

	// A sparse row i has the values Values[Starts[i]:Starts[i+1]] at the columns Indexes[...], ascending.
	Starts  []int32
	Indexes []int32
	Values  []T
}

// Sparse reports whether the block is sparse.
func (b *Block[T]) Sparse() bool { return b.Starts != nil }

// Slice returns rows from from below to, as a view.
func (b Block[T]) Slice(from, to int) Block[T] {
	b.First += from
	b.Rows = to - from
	if b.Y != nil {
		b.Y = b.Y[from:to]
	}
	if b.Sparse() {
		b.Starts = b.Starts[from : to+1]
	} else {
		b.X = b.X[from*b.Columns : to*b.Columns]
	}
	return b
}

// Dense returns the rows as a dense matrix, in buf if they have to be made and there is room.
func (b *Block[T]) Dense(buf []T) []T {
	if !b.Sparse() {
		return b.X
	}
	n := b.Rows * b.Columns
	if cap(buf) < n {
		buf = make([]T, n)
	}
	buf = buf[:n]
	clear(buf)
	for i := range b.Rows {
		row := buf[i*b.Columns : (i+1)*b.Columns]
		for k := b.Starts[i]; k < b.Starts[i+1]; k++ {
			row[b.Indexes[k]] = b.Values[k]
		}
	}
	return buf
}

// Table is a worker's rows. After loading it does not change, and any number of goroutines may go over it.
type Table[T Float] struct {
	Rows    int
	Columns int // features; for sparse rows the highest index seen, unless Widen was called
	Labeled bool
	Bad     int // rows that were left out
	blocks  []Block[T]
	file    *blockFile[T] // where the blocks are, if they are not in memory
}

// Widen sets the number of columns of sparse rows, which a single worker can't know.
func (t *Table[T]) Widen(columns int) {
	t.Columns = columns
	for i := range t.blocks {
		t.blocks[i].Columns = columns
	}
}

// Sparse reports whether the rows are sparse.
func (t *Table[T]) Sparse() bool { return len(t.blocks) > 0 && t.blocks[0].Sparse() }

// Close gives back what the table holds on disk.
func (t *Table[T]) Close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}

// Stripes is how many parts the rows are divided into: a part is the work of one goroutine at a time, and its rows come
// in order. It is the same for however many threads, so that sums by stripe are too.
const Stripes = 16

// rows of a stripe, at least, so that small tables are not cut into crumbs.
const leastStripe = 64

// StripeCount returns how many stripes the table has: 1 to Stripes.
func (t *Table[T]) StripeCount() int { return max(1, min(Stripes, t.Rows/leastStripe)) }

// Each calls f for all rows, block by block: blocks of one stripe in order and by one goroutine, up to threads stripes
// at a time. A block is valid until f returns. It stops at the first error, or when ctx ends.
func (t *Table[T]) Each(ctx context.Context, threads int, f func(stripe int, b Block[T]) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, threads))
	n := t.StripeCount()
	for s := range n {
		g.Go(func() error {
			for b, err := range t.rows(t.Rows*s/n, t.Rows*(s+1)/n) {
				if err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := f(s, b); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// Range yields the rows from from below to, block by block.
func (t *Table[T]) Range(from, to int) iter.Seq2[Block[T], error] { return t.rows(from, to) }

func (t *Table[T]) rows(from, to int) iter.Seq2[Block[T], error] {
	return func(yield func(Block[T], error) bool) {
		var room Block[T]
		for i := range t.blocks {
			b := t.blocks[i]
			if b.First >= to {
				return
			}
			if b.First+b.Rows <= from {
				continue
			}
			if t.file != nil {
				var err error
				if b, err = t.file.load(i, b, &room); err != nil {
					yield(b, err)
					return
				}
			}
			part := b.Slice(max(0, from-b.First), min(b.Rows, to-b.First))
			if !yield(part, nil) {
				return
			}
		}
	}
}
