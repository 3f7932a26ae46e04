// Sessions cuts a log into the sessions of its users, from lines such as "17:ann", in any order: at second 17 ann did
// something. A session ends when its user does nothing for as long as gap says.
//
// The key of each record is the user and the second, and the job groups by the user: so a user's seconds come in their
// order, however many there are, and none is kept.
//
//	cd functions/examples/sessions && go build -o sessions .
//	runner run sessions.yaml                     which says key: {group: 1, numeric: true}
package main

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
)

func main() { functions.Main(sessions()) }

func sessions() functions.Function {
	gap := int64(0)
	return functions.MapReduce[string, int64]{
		Doc:    "first second, last second and number of actions of each session",
		Params: []functions.Param{{Name: "gap", Doc: "seconds without action that end a session", Default: "1800"}},
		Setup: func(env functions.Env) (err error) {
			text, _ := env.Param("gap")
			gap, err = strconv.ParseInt(text, 10, 64)
			if err != nil {
				return fmt.Errorf("parameter gap: %w", err)
			}
			return nil
		},
		Map: func(line []byte, emit func(string, int64)) error {
			text, user, ok := strings.Cut(string(line), ":")
			second, err := strconv.ParseInt(text, 10, 64)
			if !ok || err != nil {
				return fmt.Errorf("no second and user in %q", line)
			}
			emit(user+"\t"+text, second)
			return nil
		},
		Reduce: functions.Reduce(func(key string, seconds iter.Seq[int64], emit func(string, string)) error {
			user, _, _ := strings.Cut(key, "\t")
			var first, last, actions int64
			for second := range seconds {
				if actions > 0 && second-last > gap {
					emit(user, fmt.Sprintf("%d\t%d\t%d", first, last, actions))
					actions = 0
				}
				if actions == 0 {
					first = second
				}
				last, actions = second, actions+1
			}
			emit(user, fmt.Sprintf("%d\t%d\t%d", first, last, actions))
			return nil
		}),
	}
}
