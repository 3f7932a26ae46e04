package group

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/fold"
	"github.com/seed3322913c/runner/mapreduce/merge"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Fold is Groups over segments of layout Folded: each key has one value, all of its values folded.
type Fold struct {
	opts  Options
	fold  fold.Func
	table *fold.Table      // the keys of the partition being read
	keys  *ranges          // those of the partitions before it; nil as long as there are none
	runs  []*segment.Range // those that memory does not hold, each run sorted
	raw   struct {         // bytes of records, to guess how many keys will come
		part, left int64 // of the partition being read; of it and those after it
	}
	stats Stats
}

var _ Groups = (*Fold)(nil)

// NewFold reads the ranges, which must be of the same partitions, and folds their records. It fails with errs.Corrupt
// when one of them is not what its index says.
func NewFold(ctx context.Context, in []*segment.Range, f functions.Int64Folder, opts Options) (*Fold, error) {
	g := &Fold{opts: opts, fold: fold.Of(f)}
	if err := g.read(ctx, in); err != nil {
		_ = g.Close() // the first error says more
		return nil, err
	}
	return g, nil
}

// read takes in partition after partition, each from all maps.
func (g *Fold) read(ctx context.Context, in []*segment.Range) (err error) {
	readers, raw, err := open(in)
	if err != nil {
		return err
	}
	for _, n := range raw {
		g.raw.left += n
	}
	if g.table, err = fold.NewTable(g.opts.Budget, g.fold, 0, g.opts.Budget.Left()/tableShare); err != nil {
		return err
	}
	guess := 0
	for _, n := range raw {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.raw.part = n
		g.table.Reset(guess)
		for _, rd := range readers {
			if err := g.readPart(rd); err != nil {
				return err
			}
		}
		guess = g.table.Len() + g.table.Len()/8 // partitions are alike
		if err := g.empty(); err != nil {
			return err
		}
		g.raw.left -= n
	}
	g.table.Close()
	return nil
}

// tableShare is the part of the memory that the table may take, if one partition has so many keys. The rest is for
// those of the partitions before it.
const tableShare = 3

// open returns readers of all ranges, and how many bytes of records all of them have of each partition.
func open(in []*segment.Range) (readers []*segment.Reader, raw []int64, err error) {
	for i, r := range in {
		x, first := r.Index(), in[0].Index()
		if i == 0 {
			raw = make([]int64, len(x.Parts))
		}
		if x.Layout != segment.Folded || x.First != first.First || len(x.Parts) != len(raw) {
			return nil, nil, errs.Errorf("group.NewFold", errs.Invalid, nil, "segments do not fit each other")
		}
		readers = append(readers, r.Reader(x.First, x.First+len(x.Parts)))
		for j, p := range x.Parts {
			raw[j] += p.Raw
		}
	}
	return readers, raw, nil
}

// readPart folds one partition of one map.
func (g *Fold) readPart(rd *segment.Reader) error {
	records := int64(0)
	for {
		payload, err := rd.Next()
		if errors.Is(err, io.EOF) {
			g.stats.Records += records
			return rd.End(records)
		}
		for len(payload) > 0 && err == nil {
			var key []byte
			var value int64
			if key, value, payload, err = segment.NextFolded(payload); err != nil {
				return err
			}
			if err = g.table.Add(key, value); errors.Is(err, errs.Exhausted) {
				err = g.overflow(key, value)
			}
			records++
		}
		if err != nil {
			return err
		}
	}
}

// overflow makes room in the table, and keeps the record that found none.
func (g *Fold) overflow(key []byte, value int64) error {
	if err := g.empty(); err != nil {
		return err
	}
	g.table.Reset(g.table.Len())
	return g.add(key, value)
}

// empty moves what the table has to the ranges.
func (g *Fold) empty() error { return g.table.All(g.add) }

// add keeps a key until the end. It may come again.
func (g *Fold) add(key []byte, value int64) error {
	if g.keys == nil {
		g.keys = newRanges(g.opts.Budget, g.fold, g.table, float64(g.raw.left)/float64(g.raw.part))
	}
	err := g.keys.add(key, value)
	if !errors.Is(err, errs.Exhausted) {
		return err
	}
	if err := g.spill(); err != nil {
		return err
	}
	return g.keys.add(key, value)
}

// spill writes what is in memory to a sorted run.
func (g *Fold) spill() error {
	run, err := segment.Spill(g.opts.Scratch, segment.Folded, segment.WriterOptions{}, func(w *segment.Writer) error {
		if err := g.keys.each(w.RecordInt64); err != nil {
			return err
		}
		return w.End()
	})
	if err != nil {
		return err
	}
	g.runs = append(g.runs, run)
	g.stats.Spilled += run.Index().Records()
	g.keys.bins.Reset()
	return nil
}

// Each calls yield for every key in byte order with its folded value, and stops at its first error. It is for reducers
// that do nothing but fold: they need not be called. The key is valid until yield returns.
func (g *Fold) Each(ctx context.Context, yield func(key []byte, value int64) error) error {
	if g.keys == nil {
		return nil
	}
	counted := func(key []byte, value int64) error {
		if g.stats.Groups++; g.stats.Groups%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return yield(key, value)
	}
	if len(g.runs) == 0 {
		return g.keys.each(counted)
	}
	return g.merge(ctx, counted)
}

// checkEvery is after how many keys a loop looks whether it is still wanted.
const checkEvery = 1 << 14

// merge is Each when not all keys are in memory.
func (g *Fold) merge(ctx context.Context, yield func(key []byte, value int64) error) error {
	if err := g.spill(); err != nil {
		return err
	}
	g.keys.bins.Close()
	sources := make([]merge.Source, len(g.runs))
	for i, run := range g.runs {
		sources[i] = merge.Source{Range: run}
	}
	m, err := merge.Open(ctx, sources, merge.Options{Scratch: g.opts.Scratch, Budget: g.opts.Budget})
	if err != nil {
		return err
	}
	defer m.Close()
	f := folding{fold: g.fold, yield: yield, copies: true}
	for r := m.Record(); r != nil; r = m.Record() {
		if err := f.add(r.Key, segment.UnZigZag(r.Second)); err != nil {
			return err
		}
		if err := m.Next(); err != nil {
			return err
		}
	}
	g.stats.Spilled += m.Spilled()
	return f.end()
}

// Reduce implements Groups.
func (g *Fold) Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error {
	v := &single{text: g.opts.Values == functions.ValueText}
	return g.Each(ctx, func(key []byte, value int64) error {
		v.value, v.fresh = value, true
		return r.Reduce(key, v, out)
	})
}

// Stats implements Groups.
func (g *Fold) Stats() Stats { return g.stats }

// Close implements Groups.
func (g *Fold) Close() (err error) {
	if g.table != nil {
		g.table.Close()
	}
	if g.keys != nil {
		g.keys.bins.Close()
	}
	for _, run := range g.runs {
		if e := run.Close(); err == nil {
			err = e
		}
	}
	g.runs = nil
	return err
}

// single is functions.Int64Values of one value.
type single struct {
	value int64
	fresh bool
	text  bool // how Value tells it
	buf   []byte
}

// Next implements functions.Values.
func (v *single) Next() bool {
	fresh := v.fresh
	v.fresh = false
	return fresh
}

// ValueKind implements functions.Typed.
func (v *single) ValueKind() functions.ValueKind {
	if v.text {
		return functions.ValueText
	}
	return functions.ValueInt64
}

// Int64 implements functions.Int64Values.
func (v *single) Int64() int64 { return v.value }

// Value implements functions.Values.
func (v *single) Value() []byte {
	if v.text {
		v.buf = strconv.AppendInt(v.buf[:0], v.value, 10)
	} else {
		v.buf = binary.AppendVarint(v.buf[:0], v.value)
	}
	return v.buf
}
