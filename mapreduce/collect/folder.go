package collect

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/bins"
	"github.com/seed3322913c/runner/mapreduce/fold"
	"github.com/seed3322913c/runner/mapreduce/merge"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// FoldOptions tune a Folder. Without a Partition function partitions are ranges of a hash; reducers take contiguous
// runs of them.
type FoldOptions struct {
	Options
	Values    functions.ValueKind  // what Emit's values are: ValueInt64, or ValueText for decimal numbers
	Partition func(key []byte) int // 0 to Partitions-1
}

// Folder collects int64 values that a combiner folds. It also is a functions.Int64Emitter.
//
// The cache is direct-mapped: each key has one place in it, and a new key throws out the old one, which goes to its bin
// as a record of its own. So a frequent word costs one cache line, a rare one a copy, and nothing is ever looked up in
// a table that is larger than the CPU's cache.
type Folder struct {
	opts   FoldOptions
	fold   fold.Func
	sum    bool // fold is addition, the usual case
	block  []byte
	cache  []entry
	bins   *bins.Set
	table  *fold.Table
	spills spills
	stats  Stats
	err    error // the first one, in case that the mapper does not pass it on
	done   bool
}

// entry is a place of the cache: a cache line.
type entry struct {
	tag   uint64 // the upper half of the hash, and the length + 1 in the lower half; 0 if there is no key
	value int64
	words [inline / 8]uint64 // the key's bytes, zeros after them
}

const (
	inline    = 48 // a longer key goes to its bin directly
	entrySize = 64

	// cacheSize is a compromise: 1 MiB fills the L2 cache of today's servers, and half of it makes 10 % more records
	// on real text.
	cacheSize = 1 << 14

	// tableKeys is for how many keys the table of the packer begins with room.
	tableKeys = 1 << 10
)

// NewFolder returns a collector that folds with f. It fails with errs.Exhausted if the budget is too small to begin.
func NewFolder(f functions.Int64Folder, opts FoldOptions) (*Folder, error) {
	if err := opts.check("collect.NewFolder"); err != nil {
		return nil, err
	}
	c := &Folder{opts: opts, fold: fold.Of(f)}
	c.sum = c.fold.IsSum()
	n := cacheSize
	for int64(n*entrySize) > opts.Budget.Limit()/8 && n > 1 {
		n /= 2
	}
	var err error
	if c.block, err = opts.Budget.Alloc(n * entrySize); err != nil {
		return nil, err
	}
	c.cache = arena.Of[entry](c.block)[:n]
	clear(c.cache)
	c.bins = bins.New(opts.Budget, opts.Partitions, bins.Options{Layout: segment.Folded})
	if c.table, err = fold.NewTable(opts.Budget, c.fold, min(tableKeys, n/4), opts.Budget.Limit()/8); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// Emit takes a value as bytes, of the kind that the options say; one that is not a number is errs.Invalid.
func (c *Folder) Emit(key, value []byte) error {
	v, err := merge.Int64(c.opts.Values, value)
	if err != nil {
		return c.fail(err)
	}
	return c.EmitInt64(key, v)
}

func (c *Folder) fail(err error) error {
	if c.err == nil {
		c.err = err
	}
	return err
}

// EmitInt64 takes a value.
func (c *Folder) EmitInt64(key []byte, value int64) error {
	n := len(key)
	c.stats.Records++
	c.stats.Bytes += int64(n)
	if n > 16 {
		return c.emitLong(key, value)
	}
	w0, w1 := segment.Load(key, 0), segment.Load(key, 8)
	h := segment.HashEnd(segment.HashPair(segment.HashStart(n), w0, w1))
	e := &c.cache[h&uint64(len(c.cache)-1)]
	tag := tagOf(h, n)
	if (e.tag^tag)|(e.words[0]^w0)|(e.words[1]^w1) == 0 { // one branch, since it is hard to predict
		c.foldInto(e, value)
		return nil
	}
	if err := c.evict(e); err != nil {
		return err
	}
	e.tag, e.value, e.words[0], e.words[1] = tag, value, w0, w1
	return nil
}

func tagOf(hash uint64, n int) uint64 { return hash>>32<<32 | uint64(n+1) }

func (c *Folder) foldInto(e *entry, value int64) {
	if c.sum {
		e.value += value
		return
	}
	e.value = c.fold.Fold(e.value, value)
}

func (c *Folder) emitLong(key []byte, value int64) error {
	n := len(key)
	h := segment.Hash(key)
	if n > inline {
		return c.put(h, key, value)
	}
	e := &c.cache[h&uint64(len(c.cache)-1)]
	tag := tagOf(h, n)
	if e.tag == tag && e.holds(key) {
		c.foldInto(e, value)
		return nil
	}
	if err := c.evict(e); err != nil {
		return err
	}
	e.tag, e.value = tag, value
	for i := 0; i < n; i += 8 {
		e.words[i/8] = segment.Load(key, i)
	}
	return nil
}

// holds reports whether the key of e, which is as long as key, is key.
func (e *entry) holds(key []byte) bool {
	var differ uint64
	for i := 0; i < len(key); i += 8 {
		differ |= e.words[i/8] ^ segment.Load(key, i)
	}
	return differ == 0
}

// evict puts what is in e, if anything, into its bin.
func (c *Folder) evict(e *entry) error {
	if e.tag == 0 {
		return nil
	}
	n := int(uint32(e.tag)) - 1
	if c.opts.Partition != nil {
		var key [inline]byte
		e.bytes(key[:])
		return c.put(0, key[:n], e.value)
	}
	bin := segment.Partition(e.tag, c.opts.Partitions)
	b, err := c.tail(bin, segment.MaxHeader+inline)
	if err != nil {
		return err
	}
	k := segment.PutHeader(b, n, segment.ZigZag(e.value))
	if key := b[k : k+inline]; n > 16 {
		e.bytes(key)
	} else {
		binary.LittleEndian.PutUint64(key, e.words[0])
		binary.LittleEndian.PutUint64(key[8:], e.words[1])
	}
	c.bins.Advance(bin, k+n)
	return nil
}

// bytes writes the key and what fills it up to key, which has inline bytes.
func (e *entry) bytes(key []byte) {
	for i, w := range e.words {
		binary.LittleEndian.PutUint64(key[8*i:], w)
	}
}

// put writes a record to its bin.
func (c *Folder) put(hash uint64, key []byte, value int64) error {
	bin := segment.Partition(hash, c.opts.Partitions)
	if c.opts.Partition != nil {
		var err error
		if bin, err = inBounds(c.opts.Partition(key), c.opts.Partitions); err != nil {
			return c.fail(err)
		}
	}
	b, err := c.tail(bin, segment.MaxHeader+len(key))
	if err != nil {
		return err
	}
	k := segment.PutHeader(b, len(key), segment.ZigZag(value))
	k += copy(b[k:], key)
	c.bins.Advance(bin, k)
	return nil
}

// tail is bins.Tail, which makes room by spilling.
func (c *Folder) tail(bin, n int) ([]byte, error) {
	b, err := c.bins.Tail(bin, n)
	if errors.Is(err, errs.Exhausted) {
		if err = c.spill(); err == nil {
			b, err = c.bins.Tail(bin, n)
		}
	}
	if err != nil {
		return nil, c.fail(err)
	}
	return b, nil
}

func (c *Folder) spill() error {
	err := c.spills.add(c.opts.Options, &c.stats, segment.Folded, func(w *segment.Writer) error {
		p := c.newPacker(w)
		for i := range c.bins.Len() {
			if err := p.add(i); err != nil {
				return err
			}
			if err := w.End(); err != nil {
				return err
			}
		}
		return nil
	})
	c.bins.Reset()
	return err
}

// Finish implements Collector.
func (c *Folder) Finish(ctx context.Context) (segment.Index, error) {
	defer c.Abort()
	if c.err != nil {
		return segment.Index{}, c.err
	}
	for i := range c.cache {
		if err := c.evict(&c.cache[i]); err != nil {
			return segment.Index{}, err
		}
		c.cache[i].tag = 0
	}
	f, err := segment.Create(c.opts.Dir, segment.Folded, c.opts.writer())
	if err != nil {
		return segment.Index{}, err
	}
	defer f.Abort() // no effect once committed
	p := c.newPacker(f.Writer)
	for i := range c.bins.Len() {
		if err := ctx.Err(); err != nil {
			return segment.Index{}, err
		}
		for _, r := range c.spills {
			if err := f.Copy(r, i); err != nil {
				return segment.Index{}, err
			}
		}
		if err := p.add(i); err != nil {
			return segment.Index{}, err
		}
		if err := f.End(); err != nil {
			return segment.Index{}, err
		}
	}
	x, err := f.Commit()
	c.stats.CombineIn, c.stats.CombineOut = c.stats.Records, x.Records()
	c.stats.Spilled += x.Records()
	return x, err
}

// Stats implements Collector.
func (c *Folder) Stats() Stats {
	s := c.stats
	s.Bytes += 8 * s.Records
	return s
}

// Abort implements Collector.
func (c *Folder) Abort() {
	if c.done {
		return
	}
	c.done = true
	c.bins.Close()
	if c.table != nil {
		c.table.Close()
	}
	c.opts.Budget.Free(c.block)
	c.cache = nil
	c.spills.close()
}
