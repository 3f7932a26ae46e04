package fold

import (
	"iter"
	"sync"

	"gonum.org/v1/gonum/floats"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

const op = "guagua.Fold"

// vectors adds vectors up, piece by piece.
type vectors struct {
	Options
	tree
	gate
	pool    *Pool
	total   int64 // bytes of every vector; -1 until the first piece
	first   int   // the worker that said so
	members []progress
	columns []column // one for each piece
	low     int      // the first column that is not finished
	next    int      // the first worker whose piece of it has not been taken
	used    int64    // bytes of buffers that wait in columns or are being read into
	sum     []float64
}

// progress is how far a worker's result has come.
type progress struct {
	attempt int
	taken   int // pieces
}

// column is the tree over one piece of all vectors.
type column struct {
	waiting [][]float64 // by node
	done    bool
}

func newVectors(pool *Pool, o Options) *vectors {
	v := &vectors{Options: o, tree: tree{o.Workers}, pool: pool, total: -1, members: make([]progress, o.Workers)}
	v.changed.L = &v.Mutex
	return v
}

// Take adds one piece. The lock is not held while bytes are read or added.
func (v *vectors) Take(p Piece, read func(dst []byte) error) (Status, error) {
	if ok, err := v.admit(p); !ok || err != nil {
		return Dropped, err
	}
	buf := v.pool.get(v.size())[:p.Length/8]
	if err := read(guagua.FloatBytes(buf)); err != nil {
		v.giveBack(buf)
		return Dropped, err
	}
	if !v.claim(p) {
		v.giveBack(buf)
		return Dropped, nil
	}
	defer v.leave()
	v.climb(v.column(p), node{p.Level, p.From.Index >> p.Level}, buf)
	if p.Offset+int64(p.Length) == p.Total {
		return Whole, nil
	}
	return Partial, nil
}

func (v *vectors) column(p Piece) int { return int(p.Offset / int64(v.Piece)) }

// size returns how many numbers a buffer holds.
func (v *vectors) size() int { return int(min(int64(v.Piece), v.total) / 8) }

// admit decides whether a piece is wanted, and waits until there is room for it.
func (v *vectors) admit(p Piece) (bool, error) {
	v.Lock()
	defer v.Unlock()
	if v.over {
		return false, nil
	}
	if v.total < 0 {
		if p.Total%8 != 0 || p.Total > v.Largest {
			return false, errs.Errorf(op, errs.Invalid, p.From,
				"a result of %d bytes is no vector, or above the limit of %d", p.Total, v.Largest)
		}
		v.total, v.first = p.Total, p.From.Index
		v.sum = v.pool.sum(int(p.Total / 8))
		v.columns = v.pool.table(max(1, int((p.Total+int64(v.Piece)-1)/int64(v.Piece))), v.nodes())
	}
	if p.Total != v.total {
		return false, errs.Errorf(op, errs.Invalid, p.From, "its vector has %d numbers, that of worker %d has %d",
			p.Total/8, v.first, v.total/8)
	}
	need := int64(v.size() * 8)
	for v.Patient && !v.over && v.wantedLocked(p) && v.used+need > v.Memory && !v.firstLocked(p) {
		v.changed.Wait()
	}
	if v.over || !v.wantedLocked(p) {
		return false, nil
	}
	v.used += need
	return true, nil
}

// firstLocked reports whether p is the piece that is let in however short memory is: that of the lowest column, of the
// first worker that it waits for, when nobody is on the way up. In this order, one after the other, no more than one
// piece of each level of the tree has to wait for others: behind one that is late, there would be others.
func (v *vectors) firstLocked(p Piece) bool {
	if v.busy > 0 {
		return false
	}
	for v.next < len(v.members) && (v.members[v.next].taken > v.low || v.Within != nil && v.Within[v.next]) {
		v.next++
	}
	return v.column(p) == v.low && p.From.Index == v.next
}

// wantedLocked reports whether p is the next piece of its worker's result. A worker that sends again begins at the
// beginning; what has been merged stays merged. Another attempt's pieces do not go with what has been merged.
func (v *vectors) wantedLocked(p Piece) bool {
	m := &v.members[p.From.Index]
	return v.column(p) == m.taken && (m.taken == 0 || m.attempt == p.From.Attempt)
}

// claim makes p count, unless another connection of the same worker was faster.
func (v *vectors) claim(p Piece) bool {
	v.Lock()
	defer v.Unlock()
	if v.over || !v.wantedLocked(p) {
		return false
	}
	m := &v.members[p.From.Index]
	m.attempt = p.From.Attempt
	m.taken++
	v.busy++
	v.changed.Broadcast()
	return true
}

func (v *vectors) giveBack(bufs ...[]float64) {
	for _, buf := range bufs {
		v.pool.put(buf)
	}
	v.Lock()
	v.used -= int64(len(bufs) * v.size() * 8)
	v.Unlock()
	v.changed.Broadcast()
}

// climb carries a buffer up the tree of its column, as far as neighbours are there.
func (v *vectors) climb(at int, n node, buf []float64) {
	for !v.root(n) {
		if s, exists := v.sibling(n); exists {
			other := v.meet(at, n, s, buf)
			if other == nil {
				return
			}
			if v.root(n.parent()) { // the sum of the piece: straight to its place
				floats.AddTo(v.part(at, len(buf)), other, buf)
				v.giveBack(buf, other)
				v.finish(at)
				return
			}
			floats.Add(other, buf)
			v.giveBack(buf)
			buf = other
		}
		n = n.parent()
	}
	copy(v.part(at, len(buf)), buf) // of a single worker
	v.giveBack(buf)
	v.finish(at)
}

// meet takes the neighbour's buffer out, or leaves buf for the neighbour to find and returns nil.
func (v *vectors) meet(at int, n, sibling node, buf []float64) []float64 {
	v.Lock()
	defer v.Unlock()
	place := &v.columns[at].waiting[v.place(sibling)]
	other := *place
	if other == nil {
		v.columns[at].waiting[v.place(n)] = buf
	}
	*place = nil
	return other
}

// part returns where a column's sum goes.
func (v *vectors) part(at, length int) []float64 { return v.sum[at*v.Piece/8:][:length] }

func (v *vectors) finish(at int) {
	v.Lock()
	v.columns[at].done = true
	for v.low < len(v.columns) && v.columns[v.low].done {
		v.low++
		v.next = 0
	}
	low := v.low
	v.Unlock()
	v.changed.Broadcast()
	if v.Grown != nil {
		v.Grown(v.sum, min(low*v.Piece, len(v.sum)*8))
	}
}

// Results adds up what waits for workers that are missing, and yields the sum.
func (v *vectors) Results() (iter.Seq2[any, error], error) {
	v.end()
	there := false
	for at := range v.columns {
		c := &v.columns[at]
		if c.done {
			there = true
			continue
		}
		take := func(n node) ([]float64, bool) { buf := c.waiting[v.place(n)]; return buf, buf != nil }
		add := func(a, b []float64) ([]float64, error) { floats.Add(a, b); return a, nil }
		buf, ok, _ := rest(v.tree, v.top(), take, add) // adding never fails
		there = there || ok
		copy(v.sum[at*v.Piece/8:], buf)
	}
	v.pool.keepSum()
	return func(yield func(any, error) bool) {
		if there {
			yield(v.sum, nil)
		}
	}, nil
}

// Close gives back the buffers that still wait.
func (v *vectors) Close() error {
	v.end()
	for at := range v.columns {
		c := &v.columns[at]
		c.done = false
		for i, buf := range c.waiting {
			if buf != nil {
				v.pool.put(buf)
				c.waiting[i] = nil
			}
		}
	}
	v.columns = nil
	return nil
}

// Pool keeps buffers from one turn to the next, so that iterations cost no memory. The zero Pool is ready.
type Pool struct {
	mu      sync.Mutex
	free    [][]float64
	out     int64 // bytes of buffers in use
	peak    int64
	sums    [2][]float64
	last    int // which of the sums was the last one that was used
	columns []column
}

// Peak returns the most bytes that have been in use for pieces at a time.
func (p *Pool) Peak() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

func (p *Pool) get(n int) []float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var buf []float64
	if k := len(p.free); k > 0 {
		buf = p.free[k-1]
		p.free = p.free[:k-1]
	}
	if n = max(n, 1); cap(buf) < n { // a buffer of no numbers must not look like no buffer
		buf = make([]float64, n)
	}
	p.out += int64(cap(buf)) * 8
	p.peak = max(p.peak, p.out)
	return buf[:n]
}

func (p *Pool) put(buf []float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out -= int64(cap(buf)) * 8
	p.free = append(p.free, buf)
}

// sum returns a vector for the next sum, which is not the last one that was kept: masters may go on using that.
func (p *Pool) sum(n int) []float64 {
	next := &p.sums[1-p.last]
	if cap(*next) < n {
		*next = make([]float64, n)
	}
	*next = (*next)[:n]
	return *next
}

// Abandon forgets the vectors for sums: somebody may still read one that was not kept.
func (p *Pool) Abandon() { p.sums = [2][]float64{} }

func (p *Pool) keepSum() { p.last = 1 - p.last }

// table returns columns with so many nodes, all empty.
func (p *Pool) table(columns, nodes int) []column {
	for len(p.columns) < columns {
		p.columns = append(p.columns, column{})
	}
	for i := range p.columns[:columns] {
		c := &p.columns[i]
		if c.done = false; len(c.waiting) != nodes {
			c.waiting = make([][]float64, nodes)
		}
	}
	return p.columns[:columns]
}
