// Paced counts words as the built-in job does, but every map takes a while, so that there is a middle to be killed in.
package main

import (
	"bytes"
	"time"

	"github.com/seed3322913c/runner/functions"
)

func main() {
	functions.Main(functions.MapReduce[string, int64]{
		Params: []functions.Param{{Name: "pace", Doc: "how long each map takes at least", Required: true}},
		Setup: func(env functions.Env) error {
			text, _ := env.Param("pace")
			pace, err := time.ParseDuration(text)
			time.Sleep(pace)
			return err
		},
		Map: func(line []byte, emit func(string, int64)) error {
			for word := range bytes.FieldsSeq(line) {
				emit(string(word), 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	})
}
