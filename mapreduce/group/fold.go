package group

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/bins"
	"github.com/seed3322913c/runner/mapreduce/fold"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Fold is Groups over segments of layout Folded: each key has one value, all of its values folded.
type Fold struct {
	opts  Options
	fold  fold.Func
	table *fold.Table
	cuts  []uint64  // where ranges of keys begin, but the first: prefixes; filled up to a power of two less one
	bins  *bins.Set // the distinct keys by range; nil before the first partition was read
	stats Stats
}

var _ Groups = (*Fold)(nil)

// NewFold reads the ranges, which must be of the same partitions, and folds and sorts their records. It fails with
// errs.Corrupt when one of them is not what its index says.
func NewFold(ctx context.Context, in []*segment.Range, f functions.Int64Folder, opts Options) (*Fold, error) {
	g := &Fold{opts: opts, fold: fold.Of(f)}
	if err := g.read(ctx, in); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Fold) read(ctx context.Context, in []*segment.Range) (err error) {
	if len(in) == 0 {
		return nil
	}
	lo, hi := in[0].Index().First, in[0].Index().First+len(in[0].Index().Parts)
	readers := make([]*segment.Reader, len(in))
	for i, r := range in {
		if x := r.Index(); x.Layout != segment.Folded || x.First != lo || len(x.Parts) != hi-lo {
			return errs.Errorf("group.NewFold", errs.Invalid, nil, "segments do not fit each other")
		}
		readers[i] = r.Reader(lo, hi)
	}
	guess := 0
	if g.table, err = fold.NewTable(g.opts.Budget, g.fold, guess); err != nil {
		return err
	}
	for part := lo; part < hi; part++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.table.Reset(guess)
		for _, rd := range readers {
			if err := g.readPart(rd); err != nil {
				return err
			}
		}
		guess = g.table.Len() + g.table.Len()/8
		if err := g.drain(hi - part); err != nil {
			return err
		}
	}
	return nil
}

// readPart folds one partition of one map.
func (g *Fold) readPart(rd *segment.Reader) error {
	records := int64(0)
	for {
		payload, err := rd.Next()
		if err != nil {
			if err := rd.End(records); err != nil {
				return err
			}
			g.stats.Records += records
			return nil
		}
		for len(payload) > 0 {
			key, value, rest, err := segment.NextFolded(payload)
			if err != nil {
				return err
			}
			if err := g.table.Add(key, value); err != nil {
				return err
			}
			payload = rest
			records++
		}
	}
}

const rangeBytes = 96 << 10

// drain moves what the table has to the ranges.
func (g *Fold) drain(left int) error {
	if g.bins == nil {
		var sample []uint64
		size := 0
		if err := g.table.All(func(key []byte, value int64) error {
			sample = append(sample, segment.Prefix(key, 0))
			size += len(key) + 3
			return nil
		}); err != nil {
			return err
		}
		slices.Sort(sample)
		n := 1
		for n < 1024 && n*rangeBytes < size*left {
			n *= 2
		}
		g.cuts = make([]uint64, n-1)
		for i := range g.cuts {
			if len(sample) > 0 {
				g.cuts[i] = sample[(i+1)*len(sample)/n]
			}
		}
		g.bins = bins.New(g.opts.Budget, n, bins.Options{Layout: segment.Folded, Sort: true})
	}
	return g.table.All(g.scatter)
}

func (g *Fold) scatter(key []byte, value int64) error {
	i := uint(0)
	word := segment.Prefix(key, 0)
	for step := uint(len(g.cuts)+1) / 2; step > 0; step /= 2 {
		if word >= g.cuts[i+step-1] {
			i += step
		}
	}
	b, err := g.bins.Tail(i, segment.MaxHeader+len(key))
	if err != nil {
		return err
	}
	k := segment.PutHeader(b, len(key), segment.ZigZag(value))
	k += copy(b[k:], key)
	g.bins.Advance(i, k)
	return nil
}

// Each calls yield for every key in byte order with its folded value, and stops at its first error. It is for reducers
// that do nothing but fold: they need not be called. The key is valid until yield returns and has 8 more bytes of
// capacity.
func (g *Fold) Each(ctx context.Context, yield func(key []byte, value int64) error) error {
	if g.bins == nil {
		return nil
	}
	for i := range g.bins.Len() {
		s := g.bins.Sorted(i)
		var key []byte
		var value int64
		for j := range s.Len() {
			k, v, _, err := segment.NextFolded(s.Record(j))
			if err != nil {
				return err
			}
			if j > 0 && bytes.Equal(k, key) {
				value = g.fold.Fold(value, v)
				continue
			}
			if j > 0 {
				if err := yield(key, value); err != nil {
					return err
				}
				g.stats.Groups++
			}
			key, value = k, v
		}
		if s.Len() > 0 {
			if err := yield(key, value); err != nil {
				return err
			}
			g.stats.Groups++
		}
	}
	return nil
}

// Reduce implements Groups.
func (g *Fold) Reduce(ctx context.Context, r functions.Reducer, out functions.Emitter) error {
	return errors.New("not yet")
}

// Stats implements Groups.
func (g *Fold) Stats() Stats { return g.stats }

// Close implements Groups.
func (g *Fold) Close() error {
	if g.table != nil {
		g.table.Close()
	}
	if g.bins != nil {
		g.bins.Close()
	}
	return nil
}
