// Package collect is the map side: it takes what a mapper emits and leaves one segment.
package collect

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Options are what both collectors need to know.
type Options struct {
	Dir        string        // where the segment goes: an attempt's directory
	Scratch    string        // where spills go: removed by whoever made it
	Budget     *arena.Budget // bounds the memory
	Partitions int           // how many, 1 or more
}

// FoldOptions tune a Folder. Without a Partition function partitions are ranges of a hash, and their number must be a
// power of two; reducers then take contiguous runs of them.
type FoldOptions struct {
	Options
	Values    functions.ValueKind  // what Emit's values are: ValueInt64, or ValueText for decimal numbers
	Partition func(key []byte) int // 0 to Partitions-1
}

// SortOptions tune a Sorter.
type SortOptions struct {
	Options
	Compare   func(a, b []byte) int       // order of keys; nil: byte order, which is much faster
	Partition func(key, value []byte) int // 0 to Partitions-1; nil: by hash
	Combiner  functions.Reducer           // nil: none. It must put out keys that are equal under Compare
}

// Collector is what a map attempt emits to. It is used by one goroutine.
type Collector interface {
	functions.Emitter

	// Finish writes what is left, and makes the segment readable. Afterwards the collector is of no use.
	Finish(ctx context.Context) (segment.Index, error)

	// Stats returns what happened so far.
	Stats() Stats

	// Abort frees memory and removes files. After Finish it does nothing.
	Abort()
}

// Stats counts what went through a collector.
type Stats struct {
	Records, Bytes int64 // emitted: keys and values, an int64 as 8 bytes
	CombineIn      int64 // records that went into the combiner or fold
	CombineOut     int64 // records that came out of it
	Spilled        int64 // records written to disk, each as often as it was
	Spills         int64 // how often memory ran out
}

// Folder collects int64 values that a combiner folds. It also is a functions.Int64Emitter.
type Folder struct{}

var (
	_ Collector              = (*Folder)(nil)
	_ functions.Int64Emitter = (*Folder)(nil)
	_ Collector              = (*Sorter)(nil)
)

// NewFolder returns a collector that folds with f. It fails with errs.Exhausted if the budget is too small to begin.
func NewFolder(f functions.Int64Folder, opts FoldOptions) (*Folder, error) {
	return nil, notYet("collect.NewFolder")
}

// Emit takes a value as bytes, of the kind that the options say; one that is not a number is errs.Invalid.
func (c *Folder) Emit(key, value []byte) error { return notYet("collect.Emit") }

// EmitInt64 takes a value.
func (c *Folder) EmitInt64(key []byte, value int64) error { return notYet("collect.EmitInt64") }

// Finish implements Collector.
func (c *Folder) Finish(ctx context.Context) (segment.Index, error) {
	return segment.Index{}, notYet("collect.Finish")
}

// Stats implements Collector.
func (c *Folder) Stats() Stats { return Stats{} }

// Abort implements Collector.
func (c *Folder) Abort() {}

// Sorter collects any records in the order of their keys.
type Sorter struct{}

// NewSorter returns a collector that sorts. It fails with errs.Exhausted if the budget is too small to begin.
func NewSorter(opts SortOptions) (*Sorter, error) { return nil, notYet("collect.NewSorter") }

// Emit takes a record. One that does not fit the budget is errs.Exhausted.
func (c *Sorter) Emit(key, value []byte) error { return notYet("collect.Emit") }

// Finish implements Collector.
func (c *Sorter) Finish(ctx context.Context) (segment.Index, error) {
	return segment.Index{}, notYet("collect.Finish")
}

// Stats implements Collector.
func (c *Sorter) Stats() Stats { return Stats{} }

// Abort implements Collector.
func (c *Sorter) Abort() {}
