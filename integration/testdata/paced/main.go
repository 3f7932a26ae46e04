// Paced counts words and makes keys of rows as the built-in jobs do, but every map takes a while, so that there is a
// middle to be killed in.
package main

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/functions"
)

// keyBytes is the length of a row's key, as in TeraSort.
const keyBytes = 10

func main() {
	params := []functions.Param{
		{Name: "pace", Doc: "how long each map takes at least", Required: true},
		{Name: "gate", Doc: "URL that answers when a map may go on"},
	}
	functions.Main(functions.MapReduce[string, int64]{
		Params: params,
		Setup:  wait,
		Map: func(line []byte, emit func(string, int64)) error {
			for word := range bytes.FieldsSeq(line) {
				emit(string(word), 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	}, functions.MapReduce[string, string]{
		Name:   "rows",
		Params: params,
		Setup:  wait,
		Map: func(row []byte, emit func(string, string)) error {
			if len(row) < keyBytes {
				return errors.New("a row is shorter than its key")
			}
			emit(string(row[:keyBytes]), string(row[keyBytes:]))
			return nil
		},
	})
}

// wait makes a map take its time.
func wait(env functions.Env) error {
	if gate, ok := env.Param("gate"); ok {
		for !answers(gate) { // whoever is cut off from it is so for a while
			time.Sleep(100 * time.Millisecond)
		}
	}
	text, _ := env.Param("pace")
	pace, err := time.ParseDuration(text)
	time.Sleep(pace)
	return err
}

func answers(url string) bool {
	resp, err := http.Get(url)
	return err == nil && resp.Body.Close() == nil
}
