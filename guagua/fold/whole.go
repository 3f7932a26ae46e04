package fold

import (
	"iter"
	"os"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// whole collects results that can't be taken apart. Those that are folded in pairs are folded as soon as both are
// whole; what waits for a neighbour, and every result of a list, is kept encoded, so that it is known how much memory
// it takes. What has no room in memory, also while it arrives, goes to a file.
type whole struct {
	Options
	tree
	gate
	reducer guagua.Reducer
	pool    *Pool
	slots   chan struct{} // for pieces that are being read
	results []result      // by worker
	waiting []*stored     // by node, for Pairs
	used    int64         // bytes of results in memory
	folding int64         // bytes that are being folded
	spill   spill
}

// result is a worker's result, or as much of it as has come.
type result struct {
	stored
	attempt int
	taken   int64
	begun   bool
	whole   bool
}

// stored is a result, or what several were folded to.
type stored struct {
	size   int64
	data   []byte // nil if it is in the file
	offset int64  // there
}

// minSlots is how many pieces may be read at a time at least, so that a few slow workers keep nobody waiting.
const minSlots = 8

func newWhole(r guagua.Reducer, pool *Pool, o Options) *whole {
	w := &whole{Options: o, tree: tree{o.Workers}, reducer: r, pool: pool, spill: spill{dir: o.Scratch}}
	w.slots = make(chan struct{}, max(minSlots, o.Memory/4/int64(max(1, o.Piece))))
	w.changed.L = &w.Mutex
	w.results = make([]result, o.Workers)
	w.waiting = make([]*stored, w.nodes())
	return w
}

// Take adds one piece to its worker's result.
func (w *whole) Take(p Piece, read func(dst []byte) error) (Status, error) {
	if p.Total > w.Largest {
		return Dropped, errs.Errorf(op, errs.Invalid, p.From, "a result of %d bytes, above the limit of %d",
			p.Total, w.Largest)
	}
	status, err := w.readAndMerge(p, read)
	if status != Whole || err != nil {
		return status, err
	}
	defer w.leave()
	if w.reducer.Kind == guagua.List {
		return Whole, nil
	}
	return Whole, w.climb(node{0, p.From.Index}, w.takeOut(p.From.Index))
}

// takeOut returns a result, which is the tree's from now on.
func (w *whole) takeOut(index int) stored {
	w.Lock()
	defer w.Unlock()
	r := &w.results[index]
	s := r.stored
	r.stored = stored{}
	return s
}

// readAndMerge reads a piece into a place of its own, since two connections of one worker may send the same one.
func (w *whole) readAndMerge(p Piece, read func(dst []byte) error) (Status, error) {
	w.slots <- struct{}{}
	defer func() { <-w.slots }()
	room := w.pool.get((p.Length + 7) / 8)
	defer w.pool.put(room)
	buf := guagua.FloatBytes(room)[:p.Length]
	if err := read(buf); err != nil {
		return Dropped, err
	}
	return w.merge(p, buf)
}

// merge adds a piece to what has come. When the result is whole, the fold is busy with it until leave.
func (w *whole) merge(p Piece, buf []byte) (Status, error) {
	w.Lock()
	defer w.Unlock()
	r := &w.results[p.From.Index]
	if w.over || r.whole {
		return Dropped, nil
	}
	if !r.begun || r.attempt < p.From.Attempt {
		w.beginLocked(r, p)
	}
	if r.attempt != p.From.Attempt || r.taken != p.Offset || r.size != p.Total {
		return Dropped, nil
	}
	if r.data != nil {
		copy(r.data[p.Offset:], buf)
	} else if err := w.spill.write(buf, r.offset+p.Offset); err != nil {
		return Dropped, err
	}
	r.taken += int64(p.Length)
	if r.taken < r.size {
		return Partial, nil
	}
	r.whole = true
	w.busy++
	return Whole, nil
}

// beginLocked finds a place for a result.
func (w *whole) beginLocked(r *result, p Piece) {
	w.forgetLocked(r.stored) // of a worker that is gone
	*r = result{stored: stored{size: p.Total}, attempt: p.From.Attempt, begun: true}
	if w.fitsLocked(p.Total) {
		r.data = make([]byte, p.Total)
	} else {
		r.offset = w.spill.reserve(p.Total)
	}
}

// fitsLocked reports whether there is memory for so many bytes, and then takes it.
func (w *whole) fitsLocked(size int64) bool {
	if w.used+size > w.Memory {
		return false
	}
	w.used += size
	return true
}

// forgetLocked gives back the memory of what is not needed any more.
func (w *whole) forgetLocked(s stored) {
	if s.data != nil {
		w.used -= s.size
	}
}

// load returns the bytes of a result.
func (w *whole) load(s stored) ([]byte, error) {
	if s.data != nil {
		return s.data, nil
	}
	return w.spill.read(s.offset, int(s.size))
}

// climb carries a result up the tree, as far as neighbours are there.
func (w *whole) climb(n node, v stored) (err error) {
	for !w.root(n) {
		if s, exists := w.sibling(n); exists {
			other := w.meet(n, s, v)
			if other == nil {
				return nil
			}
			left, right := v, *other
			if n.right() {
				left, right = right, left
			}
			if v, err = w.combine(left, right); err != nil {
				return err
			}
		}
		n = n.parent()
	}
	w.Lock()
	w.waiting[w.place(n)] = &v
	w.Unlock()
	return nil
}

// meet takes the neighbour's result out, or leaves v for the neighbour to find and returns nil.
func (w *whole) meet(n, sibling node, v stored) *stored {
	w.Lock()
	defer w.Unlock()
	place := &w.waiting[w.place(sibling)]
	other := *place
	if other == nil {
		w.waiting[w.place(n)] = &v
	}
	*place = nil
	return other
}

// combine folds two results to one.
func (w *whole) combine(left, right stored) (sum stored, err error) {
	need := left.size + right.size
	w.Lock()
	for w.folding > 0 && w.folding+need > w.Memory/2 {
		w.changed.Wait()
	}
	w.folding += need
	w.Unlock()
	data, err := w.combined(left, right)
	w.Lock()
	defer w.changed.Broadcast()
	defer w.Unlock()
	w.folding -= need
	w.forgetLocked(left)
	w.forgetLocked(right)
	if err != nil {
		return sum, err
	}
	sum.size = int64(len(data))
	if w.fitsLocked(sum.size) {
		sum.data = append([]byte{}, data...) // without the room for more that the user's code may have left
		return sum, nil
	}
	sum.offset = w.spill.reserve(sum.size)
	return sum, w.spill.write(data, sum.offset)
}

func (w *whole) combined(left, right stored) ([]byte, error) {
	a, err := w.load(left)
	if err != nil {
		return nil, err
	}
	b, err := w.load(right)
	if err != nil {
		return nil, err
	}
	return w.reducer.Combine(a, b)
}

// Results yields what has come.
func (w *whole) Results() (iter.Seq2[any, error], error) {
	w.end()
	if w.reducer.Kind == guagua.List {
		return w.list, nil
	}
	take := func(n node) (stored, bool) {
		if v := w.waiting[w.place(n)]; v != nil {
			return *v, true
		}
		return stored{}, false
	}
	v, ok, err := rest(w.tree, w.top(), take, w.combine)
	return func(yield func(any, error) bool) {
		if ok {
			yield(w.decode(v))
		}
	}, err
}

// list yields all results.
func (w *whole) list(yield func(any, error) bool) {
	for i := range w.results {
		r := &w.results[i]
		if !r.whole {
			continue
		}
		if v, err := w.decode(r.stored); !yield(v, err) || err != nil {
			return
		}
	}
}

func (w *whole) decode(s stored) (any, error) {
	data, err := w.load(s)
	if err != nil {
		return nil, err
	}
	return w.reducer.Decode(data)
}

// Close removes the file.
func (w *whole) Close() error {
	w.end()
	return w.spill.close()
}

// spill is a file without a name: it is gone when the process is.
type spill struct {
	dir  string
	file *os.File
	size int64
}

// reserve returns where n bytes may be written.
func (s *spill) reserve(n int64) int64 {
	s.size += n
	return s.size - n
}

func (s *spill) write(data []byte, at int64) (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.dir, "spill-*"); err != nil {
			return errs.E(op, errs.Other, s.dir, err)
		}
		if err := os.Remove(s.file.Name()); err != nil {
			return errs.E(op, errs.Other, s.file.Name(), err)
		}
	}
	if _, err := s.file.WriteAt(data, at); err != nil {
		return errs.E(op, errs.Other, "results that do not fit into memory", err)
	}
	return nil
}

// read returns n bytes in memory of their own: whoever gets them may keep them.
func (s *spill) read(at int64, n int) ([]byte, error) {
	buf := make([]byte, n)
	if _, err := s.file.ReadAt(buf, at); err != nil {
		return nil, errs.E(op, errs.Other, "results that did not fit into memory", err)
	}
	return buf, nil
}

func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
