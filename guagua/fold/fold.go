// Package fold brings the results of many workers together while they arrive.
//
// A Fold collects one turn. Pieces of results come from many goroutines, one for each worker, in any order among them;
// each worker's own pieces come in order. What comes out does not depend on the order of arrival: results are folded as
// neighbours by worker index, then neighbours of these, and so on. For five workers:
//
//	0   1   2   3   4
//	└─┬─┘   └─┬─┘   │
//	  └───┬───┘     │
//	      └────┬────┘
//	          sum
//
// So a sum of floating-point numbers is the same to the bit whoever came first. If workers are missing, their places
// count as absent in the same shape.
//
// Vectors are folded piece by piece: as soon as piece 3 of two neighbours is there it is added up, while their pieces 4
// are on the way; a vector never waits whole. Other results are folded, or kept, when they are whole, always encoded;
// what does not fit into memory is written to a file that vanishes with the process.
package fold

import (
	"iter"
	"sync"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
)

// Piece is a part of a worker's result.
type Piece struct {
	From   superstep.Member
	Total  int64 // bytes of the whole result
	Offset int64
	Length int
	Level  int // 0, or the sum of all results below From's node of this level, in the shape of the fold; for Vectors
}

// Status is what became of a piece.
type Status uint8

// The states.
const (
	Dropped Status = iota // it was there already, or came for a turn that is over
	Partial               // it was taken; there is more to come
	Whole                 // it was taken, and completes the worker's result
)

// Fold collects the results of one turn.
type Fold interface {
	// Take merges a piece, whose bytes read puts into a buffer; it may wait for memory. It is called by any number of
	// goroutines, with pieces of different workers. An error of kind Invalid says that the results do not fit together;
	// other errors are read's.
	Take(p Piece, read func(dst []byte) error) (Status, error)

	// Results ends the collection: what comes later is dropped, whoever waits goes on. It returns what the reducer left:
	// one value or none for Pairs and Vectors, all in order of worker index for List. The loop may run any number of
	// times until Close.
	Results() (iter.Seq2[any, error], error)

	// Close gives memory and files back. It may be called without Results, to end a turn that came to nothing.
	Close() error
}

// Options are the limits of a fold.
type Options struct {
	Workers int
	Piece   int    // bytes of all pieces but the last of a result
	Memory  int64  // bytes that results which wait may take
	Largest int64  // bytes that one result may have
	Scratch string // a directory for what does not fit into memory

	// Within says of which workers the results come within those of others, see Piece.Level; nil: of none.
	Within []bool

	// Grown is told how many bytes of a sum of vectors are there, from the front, while the rest is on the way; nil:
	// nobody wants to know. Several goroutines may call it at once.
	Grown func(sum []float64, bytes int)

	// Patient says that every worker's result will come. Then workers that run ahead are made to wait when memory is
	// short; otherwise nobody may be kept waiting by one who never comes, and memory is bounded by the shape alone.
	Patient bool
}

// New returns a fold for a program's reducer. pool keeps buffers from turn to turn, and is used by one fold at a time.
func New(r guagua.Reducer, pool *Pool, o Options) Fold {
	if r.Kind == guagua.Vectors {
		return newVectors(pool, o)
	}
	return newWhole(r, pool, o)
}

// tree is the shape: where a node's neighbour is, and which node they make.
type tree struct{ leaves int }

// node is a place in the tree: level 0 are the workers.
type node struct{ level, index int }

// width returns how many nodes a level has.
func (t tree) width(level int) int { return (t.leaves + 1<<level - 1) >> level }

// root reports whether n has all leaves below it.
func (t tree) root(n node) bool { return t.width(n.level) == 1 }

// sibling returns the neighbour to fold with, if there is one.
func (t tree) sibling(n node) (node, bool) {
	s := node{n.level, n.index ^ 1}
	return s, s.index < t.width(n.level)
}

func (n node) parent() node { return node{n.level + 1, n.index / 2} }

func (n node) right() bool { return n.index%2 == 1 }

// place numbers the nodes of all levels, for tables.
func (t tree) place(n node) int {
	at := n.index
	for level := range n.level {
		at += t.width(level)
	}
	return at
}

// nodes returns how many places there are.
func (t tree) nodes() int { return t.place(t.top()) + 1 }

// top returns the root's node.
func (t tree) top() node {
	n := node{}
	for !t.root(n) {
		n = n.parent()
	}
	return n
}

// rest folds what stands in the tree, in its shape, when no more will come. at looks into a node.
func rest[T any](t tree, n node, at func(node) (T, bool), fold func(left, right T) (T, error)) (T, bool, error) {
	if v, ok := at(n); ok || n.level == 0 {
		return v, ok, nil
	}
	left := node{n.level - 1, 2 * n.index}
	a, hasA, err := rest(t, left, at, fold)
	right, exists := t.sibling(left)
	if !exists || err != nil {
		return a, hasA, err
	}
	b, hasB, err := rest(t, right, at, fold)
	switch {
	case err != nil:
		return b, false, err
	case hasA && hasB:
		v, err := fold(a, b)
		return v, err == nil, err
	case hasB:
		return b, true, nil
	}
	return a, hasA, nil
}

// gate keeps takers and the end apart: what a taker has begun to merge is merged before the end.
type gate struct {
	sync.Mutex
	changed sync.Cond // signalled when anything that somebody may wait for has changed
	busy    int       // takers that merge, without holding the lock
	over    bool
}

// leave says that a taker has merged.
func (g *gate) leave() {
	g.Lock()
	g.busy--
	g.Unlock()
	g.changed.Broadcast()
}

// end lets nobody in any more and waits for those who are in.
func (g *gate) end() {
	g.Lock()
	defer g.Unlock()
	g.over = true
	g.changed.Broadcast()
	for g.busy > 0 {
		g.changed.Wait()
	}
}
