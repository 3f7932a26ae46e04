// Package group is the reduce side: it takes the parts of all maps that belong to a reducer and yields groups of equal
// keys in order.
//
// A Merge serves segments whose partitions are sorted: it merges them as streams. A Fold serves segments of folded
// int64 values, which come unsorted, in hash order of partitions; so it needs one partition of all maps at a time to
// have all there is of its keys:
//
//	map 0: | p8 | p9 | ...      p8 of all maps ─▶ table that fits L2 ─▶ distinct keys ─┐
//	map 1: | p8 | p9 | ...                                                             ▼
//	map 2: | p8 | p9 | ...                       ranges of keys, each fits L2: | a-c | c-k | k-z |
//	                                                                               │
//	                 too many for the memory: sorted run on disk ◀──── sorted one by one ────▶ reducer
//
// Both the table and the sort thus work in the cache, which makes them several times faster than a table of all keys
// and a sort of all keys would be.
package group

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/merge"
)

// Options are what both ways of grouping need to know.
type Options struct {
	Scratch string              // where runs go that memory does not hold
	Budget  *arena.Budget       // bounds the memory, beside what the ranges hold
	Alive   func()              // called now and then while Reduce reads records; may be nil
	Values  functions.ValueKind // what a reducer's values are; but for ValueBytes they also are Int64Values
}

// Stats counts what went through.
type Stats struct {
	Records int64 // of the maps, read so far: all of them when Reduce is done, a Fold has read them before
	Groups  int64 // handed to the reducer so far
	Spilled int64 // records written to scratch files
	// the groups of the most records, when Reduce is done; a Fold has none, since it leaves one of each key
	Hot []merge.Hot
}

// Groups is what a reducer works through, once. It is used by one goroutine.
type Groups interface {
	// Reduce calls r for each group in order. An error of r, or of out through r, ends it; trouble with reading is
	// reported even if r did not notice. Values that r leaves unread are skipped.
	Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error

	// Stats returns what happened so far.
	Stats() Stats

	// Close frees memory and removes files; the ranges stay the caller's.
	Close() error
}
