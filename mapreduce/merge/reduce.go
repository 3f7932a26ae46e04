package merge

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Iterator is a sorted stream of records of layout Sorted, as a Merger is.
type Iterator interface {
	Record() *segment.Record // the current one, valid until Next; nil after the last
	Next() error
}

// Grouping says how a stream is cut into groups.
type Grouping struct {
	Compare func(a, b []byte) int // 0: the same group; nil: only equal keys
	Values  functions.ValueKind   // what the values are; but for ValueBytes they can be had as int64 too
	Alive   func()                // called after some thousand records, if not nil
}

// Reduce calls r for each group of it, and returns what they were. Values that r leaves unread are skipped. An
// error of it, or a value that is not the number that r takes it for, ends it even if r does not notice.
func Reduce(ctx context.Context, it Iterator, by Grouping, r functions.Reducer, out functions.Emitter) (Groups, error) {
	var groups Groups
	v := &values{stopped: ctx.Err, it: it, compare: by.Compare}
	if by.Alive != nil {
		v.stopped = func() error { by.Alive(); return ctx.Err() }
	}
	var given functions.Values = v
	if by.Values != functions.ValueBytes {
		given = &int64Values{v, by.Values}
	}
	for it.Record() != nil {
		v.begin()
		before := v.seen
		err := r.Reduce(v.key, given, out)
		if v.err != nil {
			return groups, v.err
		}
		if err != nil {
			return groups, err
		}
		for v.Next() {
		}
		if v.err != nil {
			return groups, v.err
		}
		groups.add(v.key, v.seen-before)
	}
	return groups, nil
}

// values are those of one group after the other.
type values struct {
	stopped func() error
	it      Iterator
	compare func(a, b []byte) int
	key     []byte // the group's first, with slack
	fresh   bool   // the current record was not yet handed out
	ended   bool
	seen    int64 // records that were left behind
	err     error
}

// begin makes the current record the first of a group.
func (v *values) begin() {
	key := v.it.Record().Key
	v.key = append(append(v.key[:0], key...), make([]byte, segment.Slack)...)[:len(key)]
	v.fresh, v.ended = true, false
}

// Next implements functions.Values.
func (v *values) Next() bool {
	if v.ended || v.err != nil {
		return false
	}
	if v.fresh {
		v.fresh = false
		return true
	}
	if v.seen++; v.seen%checkEvery == 0 {
		v.err = v.stopped()
	}
	if v.err == nil {
		v.err = v.it.Next()
	}
	if v.err != nil {
		return false
	}
	r := v.it.Record()
	v.ended = r == nil || !v.same(r.Key)
	return !v.ended
}

func (v *values) same(key []byte) bool {
	if v.compare != nil {
		return v.compare(v.key, key) == 0
	}
	return bytes.Equal(v.key, key)
}

// Value implements functions.Values.
func (v *values) Value() []byte { return v.it.Record().Value }

// int64Values are values that can be had as numbers.
type int64Values struct {
	*values
	kind functions.ValueKind
}

// ValueKind implements functions.Typed.
func (v *int64Values) ValueKind() functions.ValueKind { return v.kind }

// Int64 implements functions.Int64Values. What is not a number is 0, and ends the reduction.
func (v *int64Values) Int64() int64 {
	n, err := Int64(v.kind, v.Value())
	if err != nil && v.err == nil {
		v.err = err
	}
	return n
}

// Int64 returns the number that a value is, which is of kind ValueInt64 or ValueText. What is not a number is
// errs.Invalid.
func Int64(kind functions.ValueKind, value []byte) (int64, error) {
	const op = "merge.Int64"
	if kind == functions.ValueText {
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return 0, errs.E(op, errs.Invalid, nil, err)
		}
		return n, nil
	}
	n, w := binary.Varint(value)
	if w <= 0 || w != len(value) {
		return 0, errs.Errorf(op, errs.Invalid, nil, "a value of %d bytes is not an int64", len(value))
	}
	return n, nil
}
