package functionstest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/functionstest"
)

func TestMain(m *testing.M) { functionstest.Main(m, letters(), refusing()) }

// letters counts first letters.
func letters() functions.Function {
	return functions.MapReduce[string, int64]{
		Name: "letters",
		Map: func(line []byte, emit func(string, int64)) error {
			for _, w := range bytes.Fields(line) {
				emit(string(w[:1]), 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	}
}

// refusing fails at a certain line.
func refusing() functions.Function {
	return functions.MapReduce[string, int64]{
		Name: "refusing",
		Map: func(line []byte, emit func(string, int64)) error {
			if bytes.Contains(line, []byte("bad")) {
				return errors.New("no such line, please")
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	}
}

// input is several files, and what letters makes of them.
func input() (files map[string]string, want string) {
	files = map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("%d.txt", i)] = strings.Repeat("to be or not to be\n", 100+i)
	}
	return files, "b\t812\nn\t406\no\t406\nt\t812\n"
}

func TestJob(t *testing.T) {
	files, want := input()
	functionstest.JobDriver{Function: "letters", Input: files, Want: want}.Run(t)
	functionstest.JobDriver{Function: "letters", Input: files, Maps: 8, Reducers: 3, Want: want}.Run(t)
	functionstest.JobDriver{Function: "letters", Want: ""}.Run(t)
}

func TestJobWithFaults(t *testing.T) {
	files, want := input()
	for _, f := range []functionstest.Fault{
		functionstest.KillAttempt("map-0.0"),
		functionstest.KillAttempt("reduce-0.0"),
		functionstest.CorruptBlock("map-1.0"),
		functionstest.DropRead("map-0.0"),
		functionstest.CommitTwice(),
	} {
		t.Run(strings.ReplaceAll(f.String(), " ", "-"), func(t *testing.T) {
			functionstest.JobDriver{
				Function: "letters", Input: files, Maps: 4, Reducers: 2, Faults: []functionstest.Fault{f}, Want: want,
			}.Run(t)
		})
	}
}

func TestJobThatFails(t *testing.T) {
	functionstest.JobDriver{
		Function: "refusing", Input: map[string]string{"a": "good\nbad\n"}, WantError: "no such line, please",
	}.Run(t)
}

// complaints is a testing.TB that keeps what is reported instead of failing.
type complaints struct {
	testing.TB
	lines []string
}

func (c *complaints) Errorf(format string, args ...any) {
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

func TestJobDriverNotices(t *testing.T) {
	files, want := input()
	for name, d := range map[string]functionstest.JobDriver{
		"-want +got": {Function: "letters", Input: files, Want: want + "z\t1\n"},
		"this never came about": {Function: "letters", Input: files, Want: want,
			Faults: []functionstest.Fault{functionstest.DropRead("map-99.0")}},
		"want it to fail": {Function: "letters", Input: files, WantError: "anything"},
	} {
		c := &complaints{TB: t}
		d.Run(c)
		if !strings.Contains(strings.Join(c.lines, "\n"), name) {
			t.Errorf("reported %q, want something that says %q", c.lines, name)
		}
	}
	if _, err := os.Stat("out"); err == nil {
		t.Error("something was written to the working folder")
	}
}
