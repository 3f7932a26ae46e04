package child

import (
	"context"
	"iter"
	"sync"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// This file brings the results of an iteration to a child's master, batch by batch, so that neither side holds more
// than one, however many there are: the child asks for the next when its program does.

// moreCall asks for the parts after the first so many; the answer is a batch.
type moreCall struct {
	After int `json:"after"`
}

// batch has parts one after the other in its data.
type batch struct {
	Parts []int `json:"parts,omitempty"` // lengths
	End   bool  `json:"end,omitempty"`   // there are no more
}

// supply is where the parts of an iteration come from, in the parent. The zero supply has none.
type supply struct {
	mu    sync.Mutex // guards what follows
	parts iter.Seq2[any, error]
	next  func() (any, error, bool)
	stop  func()
	given int // parts that next has yielded
}

// set makes parts those that are given out.
func (s *supply) set(parts iter.Seq2[any, error]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked()
	s.parts = parts
}

func (s *supply) endLocked() {
	if s.stop != nil {
		s.stop()
	}
	s.next, s.stop, s.given = nil, nil, 0
}

// after returns about a chunk of parts: those after the first n.
func (s *supply) after(n int) (b batch, data []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts == nil {
		return b, nil, errs.Errorf("child.Parts", errs.Corrupt, n, "nobody computes")
	}
	if s.next == nil || s.given > n { // it begins again
		s.endLocked()
		s.next, s.stop = iter.Pull2(s.parts)
	}
	for len(data) < chunk {
		part, err, ok := s.next()
		if err != nil || !ok {
			b.End = !ok
			return b, data, err
		}
		if s.given++; s.given <= n {
			continue
		}
		before := len(data)
		switch v := part.(type) {
		case []float64:
			data = append(data, guagua.FloatBytes(v)...)
		case []byte:
			data = append(data, v...)
		}
		b.Parts = append(b.Parts, len(data)-before)
	}
	return b, data, nil
}

// parts yields what a child's master expects: a vector, or results that are decoded. It may be ranged over any number
// of times.
func (s *server) parts(ctx context.Context, first batch, data []byte) iter.Seq2[any, error] {
	r := s.reducer
	if r.Kind == guagua.Vectors {
		r.Decode = func(part []byte) (any, error) { return guagua.BytesFloats(part) }
	}
	return func(yield func(any, error) bool) {
		b, data, given := first, data, 0
		for {
			for _, n := range b.Parts {
				v, err := r.Decode(data[:n])
				if !yield(v, err) || err != nil {
					return
				}
				data = data[n:]
			}
			if b.End {
				return
			}
			given += len(b.Parts)
			var err error
			b = batch{}
			if data, err = s.peer.call(ctx, "more", moreCall{given}, nil, &b); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
