package functions

import "iter"

// Binary is the ability of a function that works on records of a fixed length instead of text. A BatchMapper that has
// it is given runs of whole records where others are given lines; of any function that has it, the records of a job's
// output are written as they are: key and value, with nothing between or behind them.
type Binary interface {
	// RecordLength returns the length of an input record in bytes, 1 or more.
	RecordLength() int
}

// RecordLengthOf returns the length of the records that a function works on, or 0 if it works on text.
func RecordLengthOf(function any) int {
	if b, ok := function.(Binary); ok {
		return b.RecordLength()
	}
	return 0
}

// Records yields the records of a run (see Binary), length bytes each. The views keep their capacity.
func Records(run []byte, length int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(run) >= length && yield(run[:length]) {
			run = run[length:]
		}
	}
}
