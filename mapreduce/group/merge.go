package group

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/merge"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// MergeOptions tune a Merge.
type MergeOptions struct {
	Options
	Compare func(a, b []byte) int // the order in which the maps sorted; nil: byte order
	Group   func(a, b []byte) int // 0: one group; nil: as Compare. Equal keys must be neighbours in Compare's order
	FanIn   int                   // streams merged at once at most, 0: as many as the budget has buffers for
}

// Merge is Groups over segments of layout Sorted.
type Merge struct {
	merger *merge.Merger
	by     merge.Grouping
	groups merge.Groups
}

var _ Groups = (*Merge)(nil)

// NewMerge opens the ranges, every partition of each as a sorted stream, and merges until so few streams are left that
// the rest can be done while reducing. Values of a key come in the order of the ranges.
func NewMerge(ctx context.Context, in []*segment.Range, opts MergeOptions) (*Merge, error) {
	m := &Merge{by: merge.Grouping{Compare: opts.Group, Values: opts.Values, Alive: opts.Alive}}
	if opts.Group == nil {
		m.by.Compare = opts.Compare
	}
	var sources []merge.Source
	for _, r := range in {
		x := r.Index()
		if x.Layout != segment.Sorted {
			return nil, errs.Errorf("group.NewMerge", errs.Invalid, nil, "segments are not sorted")
		}
		for i := range x.Parts {
			sources = append(sources, merge.Source{Range: r, Part: x.First + i})
		}
	}
	var err error
	m.merger, err = merge.Open(ctx, sources, merge.Options{
		Compare: opts.Compare, Scratch: opts.Scratch, Budget: opts.Budget, FanIn: opts.FanIn,
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Reduce implements Groups.
func (m *Merge) Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error {
	var err error
	m.groups, err = merge.Reduce(ctx, m.merger, m.by, r, out)
	return err
}

// Stats implements Groups.
func (m *Merge) Stats() Stats {
	return Stats{Records: m.merger.Read(), Groups: m.groups.Count, Spilled: m.merger.Spilled(), Hot: m.groups.Hot}
}

// Close implements Groups.
func (m *Merge) Close() error {
	m.merger.Close()
	return nil
}
