// Topwords finds the words that are used most, with two jobs in one file: the first counts words, as the built-in does,
// and the second sorts them by their counts. What the first writes is only there for the second, and then removed.
//
// In the second job the count is the key. Numbers come to its one reducer in descending order, so that it is done when
// it has put out as many as are wanted.
//
//	cd functions/examples/topwords && go build -o topwords .
//	runner run topwords.yaml
package main

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
)

func main() { functions.Main(top()) }

func top() functions.Function {
	left := 0 // words that are still wanted
	return functions.MapReduce[string, string]{
		Doc:    "the words with the highest counts",
		Params: []functions.Param{{Name: "top", Doc: "how many words", Default: "10"}},
		Setup: func(env functions.Env) (err error) {
			text, _ := env.Param("top")
			left, err = strconv.Atoi(text)
			return err
		},
		Map: func(line []byte, emit func(string, string)) error {
			word, count, ok := strings.Cut(string(line), "\t")
			if !ok {
				return fmt.Errorf("no word and count: %q", line)
			}
			emit(count, word)
			return nil
		},
		Reduce: functions.Reduce(func(count string, words iter.Seq[string], emit func(string, string)) error {
			if left == 0 {
				return nil
			}
			for _, word := range slices.Sorted(words) {
				if left == 0 {
					break
				}
				left--
				emit(count, word)
			}
			return nil
		}),
	}
}
