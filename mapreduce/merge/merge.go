// Package merge makes one sorted stream of many: spills of a map, segments of all maps, runs of a reducer.
//
// All sources are read at once, with one block of each in memory, however long they are. If there are more of them than
// the memory allows, groups of neighbours are merged to files first. Records of equal keys come in the order of their
// sources in any case, so what comes out does not depend on the memory.
package merge

import (
	"context"
	"slices"

	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Options tune a Merger.
type Options struct {
	Compare func(a, b []byte) int // the order of the sources; nil: byte order
	Scratch string                // where runs go when there are too many sources
	Budget  *arena.Budget         // what is left of it says how many sources are too many
	FanIn   int                   // sources that are read at once at most; 0: as many as Budget has room for
}

const (
	// fileCost is about what a source that is read from a file holds: a block, and what is read ahead. A short source
	// holds no more than smallCost times its bytes.
	fileCost  = 3 * segment.DefaultBlock
	smallCost = 3
	// minFanIn goes beyond a very small budget, rather than merge in very many passes.
	minFanIn = 8
)

// fanIn returns how many of sources may be read at once.
func (o Options) fanIn(sources []Source) int {
	if o.FanIn > 0 {
		return max(2, o.FanIn)
	}
	cost := int64(0)
	for _, s := range sources {
		if !s.Range.InMemory() {
			cost += min(fileCost, smallCost*s.part().Stored)
		}
	}
	if left := o.Budget.Left(); cost > left {
		return max(minFanIn, int(left/fileCost))
	}
	return len(sources)
}

// Merger is a sorted stream of records, those of equal keys in the order of their sources. It is used by one goroutine.
//
//	for ; m.Record() != nil; err = m.Next() { ... }
type Merger struct {
	tree    *tree
	runs    []*segment.Range // of our own making
	read    int64
	spilled int64
}

// Open begins to merge. It fails with errs.Corrupt if a source is not what its index says, as Next does.
func Open(ctx context.Context, sources []Source, opts Options) (*Merger, error) {
	m := &Merger{}
	sources = slices.DeleteFunc(slices.Clone(sources), Source.empty)
	if err := m.open(ctx, sources, opts); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Merger) open(ctx context.Context, sources []Source, opts Options) (err error) {
	fanIn := opts.fanIn(sources)
	for len(sources) > fanIn {
		n := min(fanIn, len(sources)-fanIn+1) // as many as it takes, and no more, so that little is read twice
		i := smallest(sources, n)
		run, err := m.pass(ctx, sources[i:i+n], opts)
		if err != nil {
			return err
		}
		sources = slices.Replace(sources, i, i+n, run)
	}
	m.tree, err = start(sources, opts)
	return err
}

func (s Source) part() segment.Part {
	x := s.Range.Index()
	return x.Parts[s.Part-x.First]
}

// smallest returns where the n neighbours begin that have the fewest bytes together. Only neighbours can be merged
// without changing the order of equal keys.
func smallest(sources []Source, n int) (at int) {
	sum := int64(0)
	for _, s := range sources[:n] {
		sum += s.part().Stored
	}
	least := sum
	for i := n; i < len(sources); i++ {
		sum += sources[i].part().Stored - sources[i-n].part().Stored
		if sum < least {
			least, at = sum, i-n+1
		}
	}
	return at
}

// start begins to read all sources at once.
func start(sources []Source, opts Options) (*tree, error) {
	streams := make([]*stream, len(sources))
	for i, s := range sources {
		streams[i] = newStream(s)
		if err := streams[i].next(); err != nil {
			return nil, err
		}
	}
	return newTree(streams, opts.Compare), nil
}

// empty reports whether there is nothing to read.
func (s Source) empty() bool { return s.part().Stored == 0 && s.part().Records == 0 }

// pass merges sources to one in a file.
func (m *Merger) pass(ctx context.Context, sources []Source, opts Options) (Source, error) {
	layout := sources[0].Range.Index().Layout
	run, err := segment.Spill(opts.Scratch, layout, segment.WriterOptions{}, func(w *segment.Writer) error {
		t, err := start(sources, opts)
		if err != nil {
			return err
		}
		some := Merger{tree: t}
		for r := some.Record(); r != nil; r = some.Record() {
			if err := w.Append([][]byte{r.Whole}, 1); err != nil {
				return err
			}
			if m.spilled++; m.spilled%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := some.Next(); err != nil {
				return err
			}
		}
		return w.End()
	})
	if err != nil {
		return Source{}, err
	}
	m.runs = append(m.runs, run)
	return Source{Range: run}, nil
}

// checkEvery is after how many records a long loop looks whether it is still wanted.
const checkEvery = 1 << 14

// Record returns the current record, or nil after the last one. It is valid until Next.
func (m *Merger) Record() *segment.Record {
	if len(m.tree.streams) == 0 {
		return nil
	}
	s := m.tree.streams[m.tree.winner]
	if s.ended {
		return nil
	}
	return &s.Record
}

// Next moves to the next record.
func (m *Merger) Next() error {
	w := m.tree.winner
	if err := m.tree.streams[w].next(); err != nil {
		return err
	}
	m.tree.enter(w)
	m.read++
	return nil
}

// Read returns how many records Next has left behind.
func (m *Merger) Read() int64 { return m.read }

// Spilled returns how many records were written to files.
func (m *Merger) Spilled() int64 { return m.spilled }

// Close removes the files.
func (m *Merger) Close() {
	for _, r := range m.runs {
		_ = r.Close() // in a scratch directory, which goes with the attempt
	}
	m.runs = nil
}
