// Package doctor looks at a machine before a job does: what a job would trip over, what would slow it down, and what a
// person can do about it.
package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/format"
)

// Grade says how bad a finding is.
type Grade string

// The grades.
const (
	OK   Grade = "ok"
	Note Grade = "note" // works, and could be better
	Bad  Grade = "bad"  // keeps jobs from running
)

// Finding is one thing that was looked at.
type Finding struct {
	What  string `json:"what"`
	Grade Grade  `json:"grade"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // what a person can do
}

// elsewhere is what to do about a home folder that is not good.
const elsewhere = "set RUNNER_HOME to a folder on a local disk"

// What is enough.
const (
	slowSync  = 20 * time.Millisecond // a job waits for a dozen of them
	wantFree  = 1 << 30
	wantMem   = 2 << 30
	wantFiles = 1024
)

// Examine looks at everything. home is the folder that jobs would be kept in; nothing but a small file is written
// there, and removed again.
func Examine(home string) []Finding {
	findings := []Finding{folder(home)}
	if findings[0].Grade != Bad {
		findings = append(findings, disk(home), latency(home))
	}
	return append(findings, memory(), cores(), hugePages(), openFiles(), toolchain())
}

func folder(home string) Finding {
	f := Finding{What: "home", Grade: OK, Says: home + " is writable"}
	err := os.MkdirAll(home, 0o700)
	var probe *os.File
	if err == nil {
		probe, err = os.CreateTemp(home, ".doctor-*")
	}
	if err != nil {
		return Finding{f.What, Bad, fmt.Sprintf("%s is not writable (%s)", home, errs.Cause(err)), elsewhere}
	}
	probe.Close() // nothing was written
	os.Remove(probe.Name())
	if info, err := os.Stat(home); err == nil && info.Mode().Perm()&0o077 != 0 {
		f.Says = fmt.Sprintf("%s can be read by others (mode %o)", home, info.Mode().Perm())
		f.Grade, f.Do = Note, "chmod 700 "+home
	}
	return f
}

// latency measures what it costs to make a small file survive a crash.
func latency(home string) Finding {
	f := Finding{What: "fsync", Grade: OK}
	const rounds = 9
	var took []time.Duration
	for range rounds {
		begin := time.Now()
		if err := syncOnce(home); err != nil {
			return Finding{f.What, Bad, "a file cannot be made durable (" + errs.Cause(err) + ")", elsewhere}
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	median := took[rounds/2]
	f.Says = fmt.Sprintf("%.1f ms to make a small file durable", float64(median.Microseconds())/1000)
	if median > slowSync {
		f.Grade, f.Do = Note, "small jobs will wait for the disk; set RUNNER_HOME to a folder on a faster one"
	}
	return f
}

func syncOnce(home string) error {
	probe, err := os.CreateTemp(home, ".doctor-*")
	if err != nil {
		return err
	}
	defer os.Remove(probe.Name())
	defer probe.Close()
	if _, err := probe.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return probe.Sync()
}

func cores() Finding {
	n := runtime.GOMAXPROCS(0)
	return Finding{What: "cores", Grade: OK, Says: format.Plural(int64(n), "core") + ", as many tasks at a time"}
}

func memory() Finding {
	total, free, err := machineMemory()
	f := Finding{What: "memory", Grade: OK, Says: fmt.Sprintf("%s of %s free", format.Bytes(free), format.Bytes(total))}
	switch {
	case err != nil:
		f.Grade, f.Says = Note, "unknown ("+errs.Cause(err)+")"
	case free < wantMem:
		f.Grade, f.Do = Note, "run jobs with --memory 256MiB; they spill to disk"
	}
	return f
}

func toolchain() Finding {
	says := fmt.Sprintf("built with %s for %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return Finding{What: "build", Grade: OK, Says: says}
}

// remote reports whether a kind of file system is one over a network, where locks mean many things.
func remote(kind string) bool {
	return slices.Contains([]string{"nfs", "cifs", "smb2", "fuse", "9p", "ceph", "lustre"}, kind)
}

func disk(home string) Finding {
	kind, free, err := fileSystem(filepath.Clean(home))
	f := Finding{What: "disk", Grade: OK, Says: fmt.Sprintf("%s, %s free", kind, format.Bytes(free))}
	switch {
	case err != nil:
		return Finding{What: f.What, Grade: Note, Says: "unknown (" + errs.Cause(err) + ")"}
	case remote(kind):
		f.Grade, f.Do = Bad, "locks over a network cannot be trusted; set RUNNER_HOME to a folder on a local disk"
	case free < wantFree:
		f.Grade, f.Do = Note, "jobs that spill need more; free some, or set RUNNER_HOME to another disk"
	}
	return f
}
