package data

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Labels says how the texts of labels become numbers. The zero value takes the numbers as they are.
type Labels struct {
	positive string   // this one is 1, all others are 0
	number   float64  // positive as a number
	numeric  bool     // positive is one
	classes  []string // the index of the text in this list
	count    int      // whole numbers from 0 below count
	binary   bool     // 0 and 1, or -1 and 1
}

// Positive makes a label 1 if it equals v, as a number if both are numbers, and else 0.
func Positive(v string) Labels {
	n, err := strconv.ParseFloat(v, 64)
	return Labels{positive: v, number: n, numeric: err == nil}
}

// Classes makes a label the place of its text in a list.
func Classes(names []string) Labels { return Labels{classes: names} }

// Count takes whole numbers from 0 below n.
func Count(n int) Labels { return Labels{count: n} }

// Binary takes 0 and 1, or -1 and 1; -1 counts as 0.
func Binary() Labels { return Labels{binary: true} }

// text makes a number of a label's text.
func (l *Labels) text(field []byte) (float64, error) {
	if l.positive == "" && l.classes == nil {
		if v, n := number(field); n > 0 && n == len(field) {
			return l.value(v)
		}
	}
	s := string(field)
	if l.classes != nil {
		i := slices.Index(l.classes, s)
		if i < 0 {
			return 0, fmt.Errorf("label %q is none of %s", s, strings.Join(l.classes, ", "))
		}
		return float64(i), nil
	}
	if l.positive != "" && s == l.positive {
		return 1, nil
	}
	v, err := strconv.ParseFloat(s, 64)
	switch {
	case l.positive != "" && err != nil:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("label %q is not a number", s)
	}
	return l.value(v)
}

// value makes a number of a label that is one.
func (l *Labels) value(v float64) (float64, error) {
	switch {
	case l.positive != "":
		if l.numeric && v == l.number {
			return 1, nil
		}
		return 0, nil
	case l.count > 0:
		if i := int(v); v != float64(i) || i < 0 || i >= l.count {
			return 0, fmt.Errorf("label %g is no whole number from 0 to %d", v, l.count-1)
		}
	case l.binary && v == -1:
		return 0, nil
	case l.binary && v != 0 && v != 1:
		return 0, fmt.Errorf("label %g is neither 0 nor 1: name the positive one, or the classes", v)
	}
	return v, nil
}
