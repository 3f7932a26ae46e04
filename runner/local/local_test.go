package local

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
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

// TestKillLooksTwice ends a process that can't be seen at first, as one that just becomes another program.
func TestKillLooksTwice(t *testing.T) {
	h := Host{t.TempDir()}
	if _, err := h.Spawn("worker-1", filepath.Join(h.Dir, "log"), os.Environ(), sleeper); err != nil {
		t.Fatal(err)
	}
	looks := 0
	err := Kill(func() []int {
		if looks++; looks == 1 {
			return nil
		}
		return h.Alive()
	})
	if err != nil || len(h.Alive()) > 0 {
		t.Errorf("after %d looks there are %v, %v", looks, h.Alive(), err)
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
		"idle": {Deadline: time.Now().Add(time.Hour), Idle: time.Millisecond},
		"over": {Deadline: time.Now(), Idle: time.Hour},
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
	described(t, h, "worker-1")
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

// described writes down a worker as if it had been started.
func described(t *testing.T, h Host, name string) {
	t.Helper()
	text, err := json.Marshal(nodeinit.Machine{
		Cluster: "night", Name: name, Role: nodeinit.Worker, Address: "127.0.0.11", Servers: []string{"127.0.0.1"}, Expect: 1,
		Dir: h.file(name), Bin: h.file(binDir),
	})
	if err == nil {
		err = os.Mkdir(h.file(name), 0o700)
	}
	if err == nil {
		err = os.WriteFile(h.file(name, machineFile), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPool lets workers come and go as a scaler does: one by one, and who stays is left alone.
func TestPool(t *testing.T) {
	p := New(t.TempDir())
	h := p.Host("night")
	for _, dir := range []string{h.file(partsDir), h.file(binDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program := []byte("#!/bin/sh\nexec sleep 1000\n")
	if err := os.WriteFile(h.file(binDir, "runner"), program, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Kill(h.Alive); err != nil {
			t.Error(err)
		}
	})
	if _, err := p.Workers(t.Context(), "night"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("before there are any: %v", err)
	}
	c := Cluster{Name: "night", Network: "127.9.9", Servers: 1}
	if err := errors.Join(h.write(clusterFile, c), h.note(Part{Name: workersPart})); err != nil {
		t.Fatal(err)
	}
	sized := func(n int, want ...string) {
		t.Helper()
		if err := p.Adjust(t.Context(), "night", fleet.Change{Workers: &n}); err != nil {
			t.Fatal(err)
		}
		w, err := p.Workers(t.Context(), "night")
		var names []string
		for _, m := range w.Machines {
			names = append(names, m.ID)
		}
		if err != nil || w.Size != n || !slices.Equal(names, want) {
			t.Fatalf("of %d there are %v of %d, %v", n, names, w.Size, err)
		}
	}
	sized(2, "worker-1", "worker-2")
	var stays []int
	for len(stays) != 1 || !slices.Equal(CommandLine(stays[0]), []string{"sleep", "1000"}) { // it was a shell
		stays = h.On("worker-2")
	}
	for range 2 { // again is success
		if err := p.EndWorker(t.Context(), "night", "worker-1"); err != nil {
			t.Fatal(err)
		}
	}
	sized(1, "worker-2")
	sized(2, "worker-1", "worker-2")
	if !slices.Equal(stays, h.On("worker-2")) {
		t.Error("the one that stays was started again")
	}
	if err := h.note(Part{Name: workersPart, Size: 1}); err != nil { // a user who scales has got so far
		t.Fatal(err)
	}
	if err := p.EndWorker(t.Context(), "night", "worker-2"); err != nil {
		t.Fatal(err)
	}
	if w, err := p.Workers(t.Context(), "night"); err != nil || w.Size != 1 || len(w.Machines) != 1 {
		t.Errorf("of one worker, as was wanted meanwhile, there are %+v, %v", w, err)
	}
	sized(0)
}
