package fold

import (
	"iter"
	"os"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// whole collects results that can't be taken apart. Those that are folded in pairs are decoded and folded as soon as
// they are whole; a list keeps their bytes. What has no room in memory, also while it arrives, goes to a file.
type whole struct {
	Options
	tree
	gate
	reducer guagua.Reducer
	pool    *Pool
	slots   chan struct{} // for pieces that are being read
	results []result      // by worker
	waiting []any         // by node, for Pairs
	used    int64         // bytes of results in memory
	spill   spill
}

// result is a worker's result, or as much of it as has come.
type result struct {
	attempt int
	total   int64
	taken   int64
	begun   bool
	whole   bool
	data    []byte // nil if it is in the file
	offset  int64  // there
}

// minSlots is how many pieces may be read at a time at least, so that a few slow workers keep nobody waiting.
const minSlots = 8

func newWhole(r guagua.Reducer, pool *Pool, o Options) *whole {
	w := &whole{Options: o, tree: tree{o.Workers}, reducer: r, pool: pool, spill: spill{dir: o.Scratch}}
	w.slots = make(chan struct{}, max(minSlots, o.Memory/4/int64(max(1, o.Piece))))
	w.changed.L = &w.Mutex
	w.results = make([]result, o.Workers)
	w.waiting = make([]any, w.nodes())
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
	r := &w.results[p.From.Index]
	data, err := w.load(r, nil)
	if err != nil {
		return Dropped, err
	}
	v, err := w.reducer.Decode(data)
	if err != nil {
		return Dropped, errs.E(op, errs.Other, p.From, err)
	}
	w.forget(r)
	return Whole, w.climb(node{0, p.From.Index}, v)
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
	if r.attempt != p.From.Attempt || r.taken != p.Offset || r.total != p.Total {
		return Dropped, nil
	}
	if r.data != nil {
		copy(r.data[p.Offset:], buf)
	} else if err := w.spill.write(buf, r.offset+p.Offset); err != nil {
		return Dropped, err
	}
	r.taken += int64(p.Length)
	if r.taken < r.total {
		return Partial, nil
	}
	r.whole = true
	w.busy++
	return Whole, nil
}

// beginLocked finds a place for a result.
func (w *whole) beginLocked(r *result, p Piece) {
	if r.data != nil { // of a worker that is gone
		w.used -= r.total
	}
	*r = result{attempt: p.From.Attempt, total: p.Total, begun: true}
	if w.used+p.Total <= w.Memory {
		w.used += p.Total
		r.data = make([]byte, p.Total)
		return
	}
	r.offset = w.spill.reserve(p.Total)
}

// load returns the bytes of a result, in buf if they are in the file and it is long enough.
func (w *whole) load(r *result, buf []byte) ([]byte, error) {
	if r.data != nil {
		return r.data, nil
	}
	return w.spill.read(r.offset, int(r.total), buf)
}

// forget gives back the memory of a result that has been decoded.
func (w *whole) forget(r *result) {
	w.Lock()
	defer w.Unlock()
	if r.data != nil {
		w.used -= r.total
		r.data = nil
	}
}

// climb carries a value up the tree, as far as neighbours are there.
func (w *whole) climb(n node, v any) (err error) {
	for !w.root(n) {
		if s, exists := w.sibling(n); exists {
			other := w.meet(n, s, v)
			if other == nil {
				return nil
			}
			left, right := v, other
			if n.right() {
				left, right = other, v
			}
			if v, err = w.reducer.Combine(left, right); err != nil {
				return err
			}
		}
		n = n.parent()
	}
	w.Lock()
	w.waiting[w.place(n)] = v
	w.Unlock()
	return nil
}

// meet takes the neighbour's value out, or leaves v for the neighbour to find and returns nil.
func (w *whole) meet(n, sibling node, v any) any {
	w.Lock()
	defer w.Unlock()
	place := &w.waiting[w.place(sibling)]
	other := *place
	if other == nil {
		w.waiting[w.place(n)] = v
	}
	*place = nil
	return other
}

// Results yields what has come.
func (w *whole) Results() (iter.Seq2[any, error], error) {
	w.end()
	if w.reducer.Kind == guagua.List {
		return w.list, nil
	}
	take := func(n node) (any, bool) { v := w.waiting[w.place(n)]; return v, v != nil }
	v, ok, err := rest(w.tree, w.top(), take, w.reducer.Combine)
	return func(yield func(any, error) bool) {
		if ok {
			yield(v, nil)
		}
	}, err
}

func (w *whole) list(yield func(any, error) bool) {
	var buf []byte
	for i := range w.results {
		r := &w.results[i]
		if !r.whole {
			continue
		}
		data, err := w.load(r, buf)
		if err != nil {
			yield(nil, err)
			return
		}
		if r.data == nil {
			buf = data
		}
		v, err := w.reducer.Decode(data)
		if !yield(v, err) || err != nil {
			return
		}
	}
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

func (s *spill) read(at int64, n int, buf []byte) ([]byte, error) {
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	if n == 0 { // nothing was written, perhaps not even the file made
		return buf[:0], nil
	}
	if _, err := s.file.ReadAt(buf[:n], at); err != nil {
		return nil, errs.E(op, errs.Other, "results that did not fit into memory", err)
	}
	return buf[:n], nil
}

func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
