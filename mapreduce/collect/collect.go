// Package collect is the map side: it takes what a mapper emits and leaves one segment.
//
// There are two collectors. A Folder serves jobs whose combiner folds int64 values: it folds most repetitions in a
// cache and throws the rest into bins by hash, unsorted, since the reduce side counts before it sorts. A Sorter serves
// all other jobs: it sorts each partition, perhaps combines, and merges when there was more than fits the memory.
//
//	           ┌ Folder: cache ──evict──▶ bins ──┐ memory is full: spill      ┌ blocks copied    ┐
//	Emit ──────┤                                 ├──────────▶ scratch ──────▶─┤                  ├──▶ segment
//	           └ Sorter: ───────────────▶ bins ──┘ each sorted, combined      └ merged, combined ┘
package collect

import (
	"context"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Options are what both collectors need to know.
//
// How many partitions are good for a Folder follows from the reduce side, which counts one partition of all maps at a
// time in a table: with about one for each MiB of the job's input it fits the CPU's cache. More than 1024 do not fit
// the cache on the map side, where all of them are written to in turn.
type Options struct {
	Dir        string        // where the segment goes: an attempt's directory
	Scratch    string        // where spills go: removed by whoever made it
	Budget     *arena.Budget // bounds the memory
	Partitions int           // how many, 1 to segment.MaxParts
	Codec      record.Codec  // how the segment is compressed
}

func (o Options) check(op string) error {
	if o.Partitions < 1 || o.Partitions > segment.MaxParts {
		return errs.Errorf(op, errs.Invalid, nil, "%d partitions, 1 to %d allowed", o.Partitions, segment.MaxParts)
	}
	return nil
}

func (o Options) writer() segment.WriterOptions { return segment.WriterOptions{Codec: o.Codec} }

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

// spills are the files that a collector wrote when memory ran out, each like a segment.
type spills []*segment.Range

// add makes one more spill of what write puts out.
func (s *spills) add(opts Options, stats *Stats, layout segment.Layout, write func(w *segment.Writer) error) error {
	r, err := segment.Spill(opts.Scratch, layout, opts.writer(), write)
	if err != nil {
		return err
	}
	*s = append(*s, r)
	stats.Spills++
	stats.Spilled += r.Index().Records()
	return nil
}

// close removes all spills.
func (s *spills) close() {
	for _, r := range *s {
		_ = r.Close() // in a scratch directory, which goes with the attempt
	}
	*s = nil
}
