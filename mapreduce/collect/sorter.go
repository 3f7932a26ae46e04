package collect

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/bins"
	"github.com/seed3322913c/runner/mapreduce/merge"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// SortOptions tune a Sorter.
type SortOptions struct {
	Options
	Values    functions.ValueKind         // what Emit's values are, and what EmitInt64 makes of an int64
	Compare   func(a, b []byte) int       // order of keys; nil: byte order, which is much faster
	Partition func(key, value []byte) int // 0 to Partitions-1; nil: by hash
	Combiner  functions.Reducer           // nil: none. It must put out keys that are equal under Compare
}

// Sorter collects any records in the order of their keys, those of equal keys in the order they came.
type Sorter struct {
	opts   SortOptions
	bins   *bins.Set
	spills spills
	stats  Stats
	number []byte // an encoded int64
	err    error  // the first one, in case that the mapper does not pass it on
	done   bool
}

var (
	_ Collector              = (*Sorter)(nil)
	_ functions.Int64Emitter = (*Sorter)(nil)
)

// NewSorter returns a collector that sorts.
func NewSorter(opts SortOptions) (*Sorter, error) {
	if err := opts.check("collect.NewSorter"); err != nil {
		return nil, err
	}
	set := bins.New(opts.Budget, opts.Partitions, bins.Options{Layout: segment.Sorted, Sort: true, Compare: opts.Compare})
	return &Sorter{opts: opts, bins: set}, nil
}

// EmitInt64 takes a number.
func (c *Sorter) EmitInt64(key []byte, value int64) error {
	c.number = c.opts.appendInt64(c.number[:0], value)
	return c.Emit(key, c.number)
}

func (o SortOptions) appendInt64(b []byte, value int64) []byte {
	if o.Values == functions.ValueText {
		return strconv.AppendInt(b, value, 10)
	}
	return binary.AppendVarint(b, value)
}

// Emit takes a record. One that does not fit the budget is errs.Exhausted.
func (c *Sorter) Emit(key, value []byte) error {
	err := c.emit(key, value)
	if err != nil && c.err == nil {
		c.err = err
	}
	return err
}

func (c *Sorter) emit(key, value []byte) error {
	bin, err := c.partition(key, value)
	if err != nil {
		return err
	}
	c.stats.Records++
	c.stats.Bytes += int64(len(key) + len(value))
	need := segment.MaxHeader + len(key) + len(value)
	b, err := c.bins.Tail(bin, need)
	if errors.Is(err, errs.Exhausted) {
		if err = c.spill(); err == nil {
			b, err = c.bins.Tail(bin, need)
		}
	}
	if err != nil {
		return err
	}
	n := segment.PutHeader(b, len(key), uint64(len(value)))
	n += copy(b[n:], key)
	n += copy(b[n:], value)
	c.bins.Advance(bin, n)
	return nil
}

func (c *Sorter) partition(key, value []byte) (int, error) {
	if c.opts.Partition == nil {
		return segment.Partition(segment.Hash(key), c.opts.Partitions), nil
	}
	return inBounds(c.opts.Partition(key, value), c.opts.Partitions)
}

// inBounds checks what a user's function says.
func inBounds(partition, partitions int) (int, error) {
	if partition < 0 || partition >= partitions {
		return 0, errs.Errorf("collect.Emit", errs.Invalid, nil, "partition %d of %d", partition, partitions)
	}
	return partition, nil
}

// spill writes all bins to a file, and empties them. It cannot be interrupted, since Emit knows no context; it takes no
// longer than writing the budget to the disk.
func (c *Sorter) spill() error {
	err := c.spills.add(c.opts.Options, &c.stats, segment.Sorted, func(w *segment.Writer) error {
		for i := range c.bins.Len() {
			if err := c.write(context.Background(), w, i, sortedBin(c.bins.Sorted(i))); err != nil {
				return err
			}
		}
		return nil
	})
	c.bins.Reset()
	return err
}

// Finish implements Collector.
func (c *Sorter) Finish(ctx context.Context) (segment.Index, error) {
	defer c.Abort()
	if c.err != nil {
		return segment.Index{}, c.err
	}
	if len(c.spills) > 0 { // what is left is merged like the others
		if err := c.spill(); err != nil {
			return segment.Index{}, err
		}
		c.bins.Close()
	}
	f, err := segment.Create(c.opts.Dir, segment.Sorted, c.opts.writer())
	if err != nil {
		return segment.Index{}, err
	}
	defer f.Abort() // no effect once committed
	for i := range c.bins.Len() {
		if len(c.spills) > 0 {
			err = c.merge(ctx, f.Writer, i)
		} else {
			err = c.write(ctx, f.Writer, i, sortedBin(c.bins.Sorted(i)))
		}
		if err != nil {
			return segment.Index{}, err
		}
	}
	x, err := f.Commit()
	c.stats.Spilled += x.Records()
	return x, err
}

// merge writes partition i of all spills.
func (c *Sorter) merge(ctx context.Context, w *segment.Writer, i int) error {
	sources := make([]merge.Source, len(c.spills))
	for k, r := range c.spills {
		sources[k] = merge.Source{Range: r, Part: i}
	}
	opts := merge.Options{Compare: c.opts.Compare, Scratch: c.opts.Scratch, Budget: c.opts.Budget}
	m, err := merge.Open(ctx, sources, opts)
	if err != nil {
		return err
	}
	defer m.Close()
	c.stats.Spilled += m.Spilled()
	return c.write(ctx, w, i, m)
}

// write makes a partition of sorted records, combined if there is a combiner and it pays.
func (c *Sorter) write(ctx context.Context, w *segment.Writer, i int, it merge.Iterator) error {
	if c.combines() {
		if err := c.combine(ctx, w, i, it); err != nil {
			return err
		}
		return w.End()
	}
	for n := 1; ; n++ {
		r := it.Record()
		if r == nil {
			return w.End()
		}
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.Append([][]byte{r.Whole}, 1); err != nil {
			return err
		}
		if err := it.Next(); err != nil {
			return err
		}
	}
}

// checkEvery is after how many records a long loop looks whether it is still wanted.
const checkEvery = 1 << 14

// Stats implements Collector.
func (c *Sorter) Stats() Stats { return c.stats }

// Abort implements Collector.
func (c *Sorter) Abort() {
	if c.done {
		return
	}
	c.done = true
	c.bins.Close()
	c.spills.close()
}
