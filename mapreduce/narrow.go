package mapreduce

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// narrowing finds the records, or the groups of a reducer, that a function fails at, over several tries of one attempt,
// and leaves them out. Numbers count from 0.
//
//	fails somewhere ──▶ wait for the function every few thousand ──▶ wait after each one in that range ─┐
//	fails at record r ──▶ try again ──▶ fails at r again ──▶ leave out r, try again ◀───────────────────┘
//
// So a record is left out only after its function has failed at it twice at least. What counts in the end is a try
// that waited for nothing, since programs that are waited for begin anew.
type narrowing struct {
	most int              // records that may be left out
	skip []int64          // those that are, in order
	why  map[int64]string // the error of each

	every    int64 // wait after so many; 0: do not
	from, to int64 // and after each of these
	last     int64 // what failed alone in the try before; -1: none
	harmless bool  // a try that waited has worked since a record was found

	blame *blame // of the last try: nil if no record is to blame
}

// blame says that a function failed at one of some records.
type blame struct {
	from, to int64
	err      error
}

// waitEvery is how many records are handed over before the first wait.
const waitEvery = 4096

// persist calls try until it works, or fails in a way that does not change when bad records are left out. Without
// SkipBad it calls it once, with nil. What functions count in tries that fail does not count.
func (t *task) persist(ctx context.Context, try func(n *narrowing) error) error {
	n := &narrowing{most: t.opts.SkipBad, why: map[int64]string{}, last: -1}
	if n.most == 0 {
		return try(nil)
	}
	r := t.r
	defer func() { t.r = r }()
	for left := 6 * (n.most + 1); ; left-- { // each record takes four tries, if its function always fails at it
		count := &tally{Reporter: r, counts: scheduler.Counters{}}
		t.r = count
		t.in.env = attemptEnv{t.r, t.ID, t.opts.Set, t.in.files}
		n.blame = nil
		err := try(n)
		switch {
		case err == nil && !n.careful():
			count.report()
			return nil
		case ctx.Err() != nil || left == 0 || !n.learn(err):
			return err
		}
		r.Logf("trying again, with %d bad records left out", len(n.skip))
	}
}

// careful reports whether tries wait for the function.
func (n *narrowing) careful() bool { return n.every > 0 }

// learn decides how to try again. It reports whether that is worth it.
func (n *narrowing) learn(err error) bool {
	b := n.blame
	switch {
	case err == nil: // but it waited
		n.harmless = true
		n.calm()
		return true
	case b == nil || b.from >= b.to || n.harmless:
		return false
	case b.to-b.from > 1:
		if n.to > 0 {
			return false
		}
		if n.careful() {
			n.from, n.to = b.from, b.to
		}
		n.every = waitEvery
		return true
	case b.from != n.last && !n.careful():
		n.last = b.from
		return true
	case len(n.skip) == n.most:
		return false
	}
	i, _ := slices.BinarySearch(n.skip, b.from)
	n.skip = slices.Insert(n.skip, i, b.from)
	n.why[b.from] = b.err.Error()
	n.calm()
	return true
}

// calm makes the next try one that does not wait.
func (n *narrowing) calm() { n.every, n.from, n.to, n.last = 0, 0, 0, -1 }

// next returns how many from number at on may be handed over before waits is asked; 0 if this one is left out.
func (n *narrowing) next(at int64) int64 {
	if n == nil {
		return math.MaxInt64
	}
	i, found := slices.BinarySearch(n.skip, at)
	if found {
		return 0
	}
	most := int64(math.MaxInt64)
	if i < len(n.skip) {
		most = n.skip[i] - at
	}
	if n.every > 0 {
		most = min(most, n.every-at%n.every)
	}
	switch {
	case at >= n.from && at < n.to:
		return 1
	case at < n.from:
		most = min(most, n.from-at)
	}
	return most
}

// waits reports whether to wait for the function before it gets number at.
func (n *narrowing) waits(at int64) bool {
	return n != nil && n.every > 0 && (at%n.every == 0 || at >= n.from && at <= n.to)
}

// suspect notes that a function failed at one of from to to-1, if it is the function's error.
func (n *narrowing) suspect(from, to int64, err error) {
	var combining *combineError
	kind := errs.KindOf(err)
	if n == nil || kind != errs.Failed && kind != errs.Other || errors.As(err, &combining) {
		return
	}
	for from < to && n.next(from) == 0 { // nobody was given these
		from++
	}
	for from < to && n.next(to-1) == 0 {
		to--
	}
	n.blame = &blame{from, to, err}
}

// nthKept returns the number of the n-th, from 1, of those that are not in left, which is in order.
func nthKept(left []int64, n int64) int64 {
	at := n - 1
	for _, l := range left {
		if l > at {
			break
		}
		at++
	}
	return at
}

// suspects returns which may be to blame for an error of function f that was handed those before at, and has handled
// all before sure. Number tells the number of the n-th that it got, from 1.
func suspects(f any, err error, number func(n int64) int64, sure, at int64) (from, to int64) {
	var failure *wire.Failure
	var one *recordError
	switch {
	case errors.As(err, &one):
		return at - 1, at
	case errors.As(err, &failure) && failure.Record > 0:
		n := number(failure.Record)
		return n, n + 1
	}
	if _, background := f.(functions.Flusher); background {
		return sure, at
	}
	return at - 1, at
}

// wait waits for a function that works in the background.
func wait(f any, out functions.Emitter) error {
	if b, ok := f.(functions.Flusher); ok {
		return b.Flush(out)
	}
	return nil
}

// recordError is an error about the record at hand, before any function saw it.
type recordError struct{ error }

func (e *recordError) Unwrap() error { return e.error }

// combineError is an error of a combiner, for which the record at hand is not to blame.
type combineError struct{ error }

func (e *combineError) Error() string {
	return e.error.Error() +
		"; skip-bad leaves out what mappers and reducers fail at, not what a combiner does, which may " +
		"have met the values of many records"
}

func (e *combineError) Unwrap() error { return e.error }

// blamelessCombiner is a combiner whose errors can be told from those of the mapper.
type blamelessCombiner struct{ functions.Reducer }

func (c blamelessCombiner) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	return combining(c.Reducer.Reduce(key, values, out))
}

// Flush implements functions.Flusher.
func (c blamelessCombiner) Flush(out functions.Emitter) error { return combining(wait(c.Reducer, out)) }

func combining(err error) error {
	if err == nil {
		return nil
	}
	return &combineError{err}
}

// narrowedReducer leaves out groups.
type narrowedReducer struct {
	functions.Reducer
	narrow *narrowing
	at     int64 // groups so far
	sure   int64 // that were handled for sure
	left   []badRecord
}

// Reduce implements functions.Reducer.
func (r *narrowedReducer) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	at := r.at
	r.at++
	if r.narrow.next(at) == 0 {
		r.left = append(r.left, badGroup(at, key, values))
		return nil
	}
	if err := r.Reducer.Reduce(key, values, out); err != nil {
		return err
	}
	if !r.narrow.waits(r.at) {
		return nil
	}
	if err := wait(r.Reducer, out); err != nil {
		return err
	}
	r.sure = r.at
	return nil
}

// tally keeps what is counted until it is known to count.
type tally struct {
	scheduler.Reporter
	mu     sync.Mutex
	counts scheduler.Counters
}

// Count implements scheduler.Reporter.
func (t *tally) Count(group, name string, delta int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Add(group, name, delta)
}

func (t *tally) report() {
	for group, names := range t.counts {
		for name, n := range names {
			t.Reporter.Count(group, name, n)
		}
	}
}
