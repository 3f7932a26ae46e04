// Index makes an inverted index: for each word the titles of the texts that it is in. Every line of the input is a
// text, its title first and a TAB behind it. Words of the list stop.txt are left out.
//
// The list is a file of the job, which each map finds by its name, on whatever machine it runs.
//
//	cd functions/examples/index && go build -o index .
//	runner run index.yaml                        which says files: [stop.txt]
package main

import (
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/functions"
)

func main() { functions.Main(index()) }

func index() functions.Function {
	stop := map[string]bool{}
	return functions.MapReduce[string, string]{
		Doc: "for each word the titles of the texts that it is in",
		Setup: func(env functions.Env) error {
			path, err := functions.File(env, "stop.txt")
			if err != nil {
				return err
			}
			list, err := os.ReadFile(path)
			for word := range strings.FieldsSeq(string(list)) {
				stop[word] = true
			}
			return err
		},
		Map: func(line []byte, emit func(string, string)) error {
			title, text, ok := strings.Cut(string(line), "\t")
			if !ok {
				return fmt.Errorf("a text without a title: %q", line)
			}
			for word := range strings.FieldsSeq(text) {
				if !stop[word] {
					emit(word, title)
				}
			}
			return nil
		},
		Reduce: functions.Reduce(func(word string, titles iter.Seq[string], emit func(string, string)) error {
			emit(word, strings.Join(slices.Compact(slices.Sorted(titles)), ", "))
			return nil
		}),
	}
}
