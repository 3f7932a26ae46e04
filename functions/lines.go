package functions

import (
	"bytes"
	"iter"
)

// Lines yields the lines of a run (see BatchMapper) without their ends, "\n" or "\r\n". The views keep their capacity.
// A run that does not end with "\n" ends with a line that lacks its end.
func Lines(run []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(run) > 0 {
			line, next := run, len(run)
			if i := bytes.IndexByte(run, '\n'); i >= 0 {
				line, next = run[:i], i+1
			}
			if n := len(line); n > 0 && line[n-1] == '\r' && next > n {
				line = line[:n-1]
			}
			if !yield(line) {
				return
			}
			run = run[next:]
		}
	}
}

// CountLines returns how many lines Lines yields.
func CountLines(run []byte) int64 {
	n := int64(bytes.Count(run, []byte{'\n'}))
	if len(run) > 0 && run[len(run)-1] != '\n' {
		n++
	}
	return n
}
