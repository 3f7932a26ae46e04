package group

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// MergeOptions tune a Merge.
type MergeOptions struct {
	Options
	Compare func(a, b []byte) int // the order in which the maps sorted; nil: byte order
	Group   func(a, b []byte) int // 0: one group; nil: as Compare. Equal keys must be neighbours in Compare's order
	FanIn   int                   // streams merged at once at most, 0: as many as the budget has buffers for
	Values  functions.ValueKind   // ValueInt64: values handed to a reducer are also Int64Values
}

// Merge is Groups over segments of layout Sorted.
type Merge struct{}

var _ Groups = (*Merge)(nil)

// NewMerge opens the ranges, every partition of each as a sorted stream, and merges until so few streams are left that
// the rest can be done while reducing.
func NewMerge(ctx context.Context, in []*segment.Range, opts MergeOptions) (*Merge, error) {
	return nil, errs.Errorf("group.NewMerge", errs.Unsupported, nil, "not yet")
}

// Reduce implements Groups.
func (m *Merge) Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error {
	return nil
}

// Stats implements Groups.
func (m *Merge) Stats() Stats { return Stats{} }

// Close implements Groups.
func (m *Merge) Close() error { return nil }
