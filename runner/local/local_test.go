package local

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// sleeper is a program that does nothing for long.
var sleeper = []string{"/bin/sleep", "1000"}

// TestKill finds processes by their marks alone, also those that they have started, and ends them.
func TestKill(t *testing.T) {
	h, other := Host{t.TempDir()}, Host{t.TempDir()}
	log := filepath.Join(h.Dir, "log")
	for _, machine := range []string{"worker-1", "worker-2"} {
		args := []string{"/bin/sh", "-c", "sleep 1000 & sleep 1000"}
		if _, err := h.Spawn(machine, log, os.Environ(), args); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Spawn("worker-1", log, os.Environ(), sleeper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(Kill(h.Alive), Kill(other.Alive)); err != nil {
			t.Error(err)
		}
	})
	if err := Kill(func() []int { return h.On("worker-1") }); err != nil {
		t.Fatal(err)
	}
	if len(h.On("worker-1")) > 0 || len(h.On("worker-2")) == 0 || len(other.Alive()) == 0 {
		t.Errorf("alive are %v, %v and %v", h.On("worker-1"), h.On("worker-2"), other.Alive())
	}
	if err := h.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(h.Dir); !errors.Is(err, fs.ErrNotExist) || len(h.Alive()) > 0 {
		t.Errorf("something is left: %v, %v", err, h.Alive())
	}
	if len(other.Alive()) == 0 {
		t.Error("another cluster's process was ended")
	}
}

// TestScan finds what is left of clusters of which nothing but a process, a folder or a bucket is there.
func TestScan(t *testing.T) {
	p := New(t.TempDir())
	for _, dir := range []string{p.Host("folder").Dir, filepath.Join(p.buckets(), "bucket")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h := p.Host("process")
	if _, err := h.Spawn("server-1", filepath.Join(t.TempDir(), "log"), os.Environ(), sleeper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Kill(h.Alive); err != nil {
			t.Error(err)
		}
	})
	found, err := p.Scan(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, r := range found {
		kinds[r.Cluster] = r.Kind
		if err := p.Remove(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if kinds["folder"] != folderKind || kinds["bucket"] != bucketKind || kinds["process"] != folderKind {
		t.Errorf("found %v", found)
	}
	if again, err := p.Scan(t.Context(), ""); err != nil || len(again) > 0 {
		t.Errorf("after their removal: %v, %v", again, err)
	}
}

// TestDeadman lets a cluster be idle for too long, and its time come.
func TestDeadman(t *testing.T) {
	for what, c := range map[string]Cluster{
		"idle": {Deadline: time.Now().Add(time.Hour), Idle: time.Millisecond}, "over": {Deadline: time.Now(), Idle: time.Hour},
	} {
		h := New(t.TempDir()).Host("night")
		if err := os.MkdirAll(h.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.write(clusterFile, c), nodeinit.WriteDeadline(h.file(deadlineFile), c.Deadline)); err != nil {
			t.Fatal(err)
		}
		if err := h.Deadman(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(h.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the cluster is there", what)
		}
	}
}

// TestGenerations looks whether what is dead is made anew, and only that.
func TestGenerations(t *testing.T) {
	h := New(t.TempDir()).Host("night")
	if err := os.MkdirAll(h.file(partsDir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Part{
		{Name: storePart, Generation: "s", Size: 1}, {Name: workersPart, Generation: "w", Size: 1},
		{Name: depotPart, Generation: "d"},
	} {
		if err := h.note(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Spawn("worker-1", filepath.Join(h.Dir, "log"), os.Environ(), sleeper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Kill(h.Alive); err != nil {
			t.Error(err)
		}
	})
	got := h.generations(fleet.Request{Servers: 1, Workers: 1})
	if got[workersPart] != "w" || got[depotPart] != "d" || got[storePart] == "s" || got[serversPart] == "" {
		t.Errorf("generations %v", got)
	}
	if got := h.generations(fleet.Request{Servers: 1, Workers: 2}); got[workersPart] == "w" {
		t.Error("a group that shall be larger is taken for whole")
	}
}

func TestCommandLine(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "cat", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 1)
	if _, err := in.Write(echo); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(echo); err != nil { // what answers has its words
		t.Fatal(err)
	}
	words := CommandLine(cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed, as it was meant
	if len(words) != 2 || words[0] != "cat" || words[1] != "-" {
		t.Errorf("the words are %q", words)
	}
	if words := CommandLine(cmd.Process.Pid); len(words) > 0 {
		t.Errorf("who has ended says %q", words)
	}
}
