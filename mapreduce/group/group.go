// Package group is the reduce side: it takes the parts of all maps that belong to a reducer and yields groups of equal
// keys in order.
package group

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Options are what both ways of grouping need to know.
type Options struct {
	Scratch string        // where runs go that memory does not hold
	Budget  *arena.Budget // bounds the memory, beside what the ranges hold
}

// MergeOptions tune a Merge.
type MergeOptions struct {
	Options
	Compare func(a, b []byte) int // the order in which the maps sorted; nil: byte order
	Group   func(a, b []byte) int // 0: one group; nil: as Compare. Equal keys must be neighbours in Compare's order
	FanIn   int                   // streams merged at once at most, 0: as many as the budget has buffers for
	Values  functions.ValueKind   // ValueInt64: values handed to a reducer are also Int64Values
}

// Stats counts what went through.
type Stats struct {
	Records int64 // read from the maps
	Groups  int64 // handed to the reducer so far
	Spilled int64 // records written to scratch files
}

// Groups is what a reducer works through, once. It is used by one goroutine.
type Groups interface {
	// Reduce calls r for each group in order. An error of r, or of out through r, ends it; trouble with reading
	// is reported even if r did not notice. Values that r leaves unread are skipped.
	Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error

	// Stats returns what happened so far.
	Stats() Stats

	// Close frees memory and removes files; the ranges stay the caller's.
	Close() error
}

// Fold is Groups over segments of layout Folded: each key has one value, all of its values folded.
type Fold struct{}

var (
	_ Groups = (*Fold)(nil)
	_ Groups = (*Merge)(nil)
)

// NewFold reads the ranges, which must be of the same partitions, and folds and sorts their records. It fails with
// errs.Corrupt when one of them is not what its index says.
func NewFold(ctx context.Context, in []*segment.Range, f functions.Int64Folder, opts Options) (*Fold, error) {
	return nil, notYet("group.NewFold")
}

// Each calls yield for every key in byte order with its folded value, and stops at its first error. It is for reducers
// that do nothing but fold: they need not be called. The key is valid until yield returns and has 8 more bytes of
// capacity.
func (f *Fold) Each(ctx context.Context, yield func(key []byte, value int64) error) error {
	return notYet("group.Each")
}

// Reduce implements Groups.
func (f *Fold) Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error {
	return notYet("group.Reduce")
}

// Stats implements Groups.
func (f *Fold) Stats() Stats { return Stats{} }

// Close implements Groups.
func (f *Fold) Close() error { return nil }

// Merge is Groups over segments of layout Sorted.
type Merge struct{}

// NewMerge opens the ranges, every partition of each as a sorted stream, and merges until so few streams are left that
// the rest can be done while reducing.
func NewMerge(ctx context.Context, in []*segment.Range, opts MergeOptions) (*Merge, error) {
	return nil, notYet("group.NewMerge")
}

// Reduce implements Groups.
func (m *Merge) Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error {
	return notYet("group.Reduce")
}

// Stats implements Groups.
func (m *Merge) Stats() Stats { return Stats{} }

// Close implements Groups.
func (m *Merge) Close() error { return nil }
