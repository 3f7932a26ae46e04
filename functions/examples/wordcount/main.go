// Wordcount counts words, with types. A word ends at any white space of Unicode, where the built-in job of that name
// knows ASCII's alone.
//
//	go build -o wc ./functions/examples/wordcount
//	runner run ./wc --input books/ --output out/words
package main

import (
	"bytes"

	"github.com/seed3322913c/runner/functions"
)

func main() { functions.Main(wordCount()) }

func wordCount() functions.MapReduce[string, int64] {
	return functions.MapReduce[string, int64]{
		Doc: "counts words",
		Map: func(line []byte, emit func(string, int64)) error {
			for _, word := range bytes.Fields(line) {
				emit(string(word), 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](), // without a Reduce, what it folds to is the result
	}
}
