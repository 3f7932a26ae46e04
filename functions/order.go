package functions

import (
	"bytes"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/infra/errs"
)

// KeyOrder says in which order a job's keys come to its reducers, and which of them come together. The zero KeyOrder is
// byte order, and a call of Reduce for each key.
//
// With Group, keys are fields between separators, and the first so many are the group: it alone decides which reducer
// gets a key, and Reduce is called once for each group, with the first of its keys and the values of all of them in the
// order of the keys. That is a secondary sort: with the key "user,time" and Group 1, a reducer gets what a user did in
// the order of time.
type KeyOrder struct {
	Group     int    `json:"group,omitempty"`     // fields that make a group; 0: the whole key
	Separator string `json:"separator,omitempty"` // between fields; TAB if empty
	Numeric   bool   `json:"numeric,omitempty"`   // what follows the group is a decimal number; what is none comes first
	Reverse   bool   `json:"reverse,omitempty"`   // what follows the group comes in descending order
}

// Validate fails with errs.Invalid, in one sentence.
func (o KeyOrder) Validate() error {
	if o.Group < 0 {
		return errs.Errorf("functions.KeyOrder", errs.Invalid, nil,
			"the key's group is %d; say how many of its fields make a group, or leave it out", o.Group)
	}
	return nil
}

// GroupOf returns the beginning of a key that is its group: so many fields with the separator behind each, or all of
// the key if it has fewer separators.
func (o KeyOrder) GroupOf(key []byte) []byte {
	if o.Group == 0 {
		return key
	}
	return key[:o.groupLen(key)]
}

func (o KeyOrder) groupLen(key []byte) int {
	separator := o.Separator
	if separator == "" {
		separator = "\t"
	}
	end := 0
	for range o.Group {
		i := bytes.Index(key[end:], []byte(separator))
		if i < 0 {
			return len(key)
		}
		end += i + len(separator)
	}
	return end
}

// Compare returns the comparison of keys, or nil if it is that of their bytes. Only equal keys compare as equal. Keys
// of a group are neighbours in it.
func (o KeyOrder) Compare() func(a, b []byte) int {
	if !o.Numeric && !o.Reverse {
		return nil // keys of a group begin alike, so byte order keeps them together
	}
	return func(a, b []byte) int {
		var group int
		if o.Group > 0 {
			group = o.groupLen(a)
			if c := bytes.Compare(a[:group], o.GroupOf(b)); c != 0 {
				return c
			}
		}
		return o.compareRest(a[group:], b[group:])
	}
}

func (o KeyOrder) compareRest(a, b []byte) int {
	c := 0
	if o.Numeric {
		c = compareNumbers(a, b)
	}
	if c == 0 {
		c = bytes.Compare(a, b)
	}
	if o.Reverse {
		return -c
	}
	return c
}

// CompareGroups returns the comparison that is 0 for keys of one group, or nil if every key is a group.
func (o KeyOrder) CompareGroups() func(a, b []byte) int {
	if o.Group == 0 {
		return nil
	}
	return func(a, b []byte) int { return bytes.Compare(o.GroupOf(a), o.GroupOf(b)) }
}

// compareNumbers compares decimal numbers; what is no number is less than all of them.
func compareNumbers(a, b []byte) int {
	x, y := number(a), number(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// number returns the number that text is, or minus infinity.
func number(text []byte) float64 {
	n, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
	if err != nil || math.IsNaN(n) {
		return math.Inf(-1)
	}
	return n
}
