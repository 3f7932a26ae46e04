package collect

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// SortOptions tune a Sorter.
type SortOptions struct {
	Options
	Compare   func(a, b []byte) int       // order of keys; nil: byte order, which is much faster
	Partition func(key, value []byte) int // 0 to Partitions-1; nil: by hash
	Combiner  functions.Reducer           // nil: none. It must put out keys that are equal under Compare
}

// Sorter collects any records in the order of their keys.
type Sorter struct{}

var _ Collector = (*Sorter)(nil)

// NewSorter returns a collector that sorts. It fails with errs.Exhausted if the budget is too small to begin.
func NewSorter(opts SortOptions) (*Sorter, error) {
	return nil, errs.Errorf("collect.NewSorter", errs.Unsupported, nil, "not yet")
}

// Emit takes a record. One that does not fit the budget is errs.Exhausted.
func (c *Sorter) Emit(key, value []byte) error { return nil }

// Finish implements Collector.
func (c *Sorter) Finish(ctx context.Context) (segment.Index, error) { return segment.Index{}, nil }

// Stats implements Collector.
func (c *Sorter) Stats() Stats { return Stats{} }

// Abort implements Collector.
func (c *Sorter) Abort() {}
