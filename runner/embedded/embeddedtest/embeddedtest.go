// Package embeddedtest builds the program for tests that drive it from outside, and finds what its jobs have left on
// this machine: processes, which a test may kill, and files, which should be gone when a job is over.
package embeddedtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/runner/embedded"
)

// Build builds programs, given as packages by name, into dir; with the race detector if the test has it, which then
// must not make each process wait for a second at its end.
func Build(dir string, programs map[string]string) error {
	flags := []string{"build"}
	race := debug.BuildSetting{Key: "-race", Value: "true"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, race) {
		flags = append(flags, "-race")
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			return err
		}
	}
	for name, pkg := range programs {
		cmd := exec.Command("go", append(slices.Clip(flags), "-o", filepath.Join(dir, name), pkg)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	}
	return nil
}

// Process is a process that works for a home: a verb or role of the program, or what it has started.
type Process struct {
	PID  int
	Verb string // its first argument: run, am, executor
}

// Processes returns the processes of a home. They are known by their environment, which all that they start inherits.
func Processes(home string) []Process {
	var all []Process
	entries, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, file := range entries {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte(embedded.HomeEnv+"="+home+"\x00")) {
			continue // it has ended, or is another's
		}
		args, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err != nil || len(args) == 0 {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue // cannot be: the name is all digits
		}
		words := strings.Split(string(args), "\x00")
		all = append(all, Process{pid, words[min(1, len(words)-1)]})
	}
	return all
}

// Leftovers names what a home has beyond records and logs, and logs that tell of a data race.
func Leftovers(home string) []string {
	var left []string
	for _, p := range Processes(home) {
		left = append(left, fmt.Sprintf("process %d: %s", p.PID, p.Verb))
	}
	for _, pattern := range []string{"node/*", "scratch/*", "coord/values/*", ".[!.]*", "store/jobs/*/.runner-tmp*",
		"store/jobs/*/files"} {
		files, _ := filepath.Glob(filepath.Join(home, pattern)) // the patterns are well formed
		left = append(left, files...)
	}
	logs, _ := filepath.Glob(filepath.Join(home, "logs/*/*.log")) // the pattern is well formed
	for _, log := range logs {
		if text, err := os.ReadFile(log); err == nil && bytes.Contains(text, []byte("WARNING: DATA RACE")) {
			left = append(left, "data race in "+log+":\n"+string(text))
		}
	}
	return left
}
