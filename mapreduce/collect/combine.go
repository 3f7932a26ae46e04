package collect

import (
	"bytes"
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/bins"
	"github.com/seed3322913c/runner/mapreduce/merge"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// combines reports whether the combiner is to be applied: always at first, and then as long as it drops enough.
func (c *Sorter) combines() bool {
	return c.opts.Combiner != nil && (c.stats.CombineIn < trial || c.stats.CombineOut*100 <= c.stats.CombineIn*worth)
}

// combine applies the combiner to sorted records of partition i.
func (c *Sorter) combine(ctx context.Context, w *segment.Writer, i int, it merge.Iterator) error {
	in := &counting{Iterator: it, count: &c.stats.CombineIn}
	out := &combined{c: c, w: w, partition: i}
	by := merge.Grouping{Compare: c.opts.Compare, Values: c.opts.Values}
	if _, err := merge.Reduce(ctx, in, by, c.opts.Combiner, out); err != nil {
		return err
	}
	if f, ok := c.opts.Combiner.(functions.Flusher); ok {
		if err := f.Flush(out); err != nil {
			return err
		}
	}
	return out.err
}

// combined writes what a combiner puts out for one partition. It may do so late (see functions.Flusher), so a key
// cannot be compared with the one that was put in; but its order can, and its partition if that is by hash.
type combined struct {
	c         *Sorter
	w         *segment.Writer
	partition int
	any       bool
	last      []byte // the key before
	number    []byte // an encoded int64
	err       error  // the first one, in case that the combiner does not pass it on
}

// Emit implements functions.Emitter.
func (o *combined) Emit(key, value []byte) error {
	err := o.emit(key, value)
	if err != nil && o.err == nil {
		o.err = err
	}
	return err
}

func (o *combined) emit(key, value []byte) error {
	if !o.any || !bytes.Equal(key, o.last) {
		stays := o.c.opts.Partition != nil || segment.Partition(segment.Hash(key), o.c.opts.Partitions) == o.partition
		if !stays || o.any && o.compare(o.last, key) > 0 {
			return errs.Errorf("collect.Combine", errs.Invalid, nil, "the combiner puts out other keys than it gets")
		}
		o.any, o.last = true, append(o.last[:0], key...)
	}
	o.c.stats.CombineOut++
	return o.w.Record(key, value)
}

func (o *combined) compare(a, b []byte) int {
	if o.c.opts.Compare != nil {
		return o.c.opts.Compare(a, b)
	}
	return bytes.Compare(a, b)
}

// EmitInt64 implements functions.Int64Emitter.
func (o *combined) EmitInt64(key []byte, value int64) error {
	o.number = o.c.opts.appendInt64(o.number[:0], value)
	return o.Emit(key, o.number)
}

// binIterator is a sorted bin as a merge.Iterator.
type binIterator struct {
	sorted  bins.Sorted
	next    int
	current segment.Record
}

func sortedBin(s bins.Sorted) *binIterator {
	it := &binIterator{sorted: s, next: 0}
	_ = it.Next() // the records are our own: it never fails
	return it
}

// Record implements merge.Iterator.
func (it *binIterator) Record() *segment.Record {
	if it.current.Whole == nil {
		return nil
	}
	return &it.current
}

// Next implements merge.Iterator.
func (it *binIterator) Next() (err error) {
	if it.next == it.sorted.Len() {
		it.current = segment.Record{}
		return nil
	}
	it.current, _, err = segment.Sorted.Next(it.sorted.Record(it.next))
	it.next++
	return err
}

// counting counts the records that were read.
type counting struct {
	merge.Iterator
	count *int64
}

// Next implements merge.Iterator.
func (it *counting) Next() error {
	*it.count++
	return it.Iterator.Next()
}
