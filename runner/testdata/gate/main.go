// Gate is a job for tests of what happens in the middle: a line "fifo PATH" makes its map wait until somebody has
// opened the named pipe PATH for writing and closed it again, "fail TEXT" makes it fail, "hang" makes a task's first
// attempt hang, "file NAME" counts the lines of that file of the job's, and any other line is counted.
package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/seed3322913c/runner/functions"
)

func main() {
	var env functions.Env
	functions.Main(functions.MapReduce[string, int64]{
		Setup: func(e functions.Env) error {
			env = e
			return nil
		},
		Map: func(line []byte, emit func(string, int64)) error {
			word, rest, _ := strings.Cut(string(line), " ")
			switch word {
			case "fifo":
				if _, err := os.ReadFile(rest); err != nil {
					return err
				}
			case "hang":
				if strings.HasSuffix(env.Attempt(), ".0") {
					time.Sleep(time.Hour)
				}
			case "file":
				path, err := functions.File(env, rest)
				if err != nil {
					return err
				}
				text, err := os.ReadFile(path)
				for line := range strings.Lines(string(text)) {
					emit(strings.TrimSpace(line), 1)
				}
				return err
			case "fail":
				env.Logf("about to fail in attempt %s", env.Attempt())
				return errors.New(rest)
			default:
				emit(string(line), 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	})
}
