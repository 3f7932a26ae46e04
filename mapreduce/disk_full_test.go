package mapreduce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// TestDiskFull: /dev/full is a disk without room.
func TestDiskFull(t *testing.T) {
	for stage, place := range map[string]func(a *scheduler.Attempt) string{
		mapStage: func(a *scheduler.Attempt) string { return filepath.Join(a.Dir, segment.DataName) },
		reduceStage: func(a *scheduler.Attempt) string {
			dir, name := filepath.Split(strings.TrimPrefix(a.Job.Output, "file://"))
			return fmt.Sprintf("%s/.%s.runner-%s/.%s.%s", dir, name, a.Job.ID, a.ID, partName("r", a.ID.Task.Index))
		},
	} {
		job, _ := wordJob(t)
		c := newCluster(t, BodyOptions{})
		c.before = func(a *scheduler.Attempt) {
			if a.ID.Task.Stage == stage {
				file := place(a)
				if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("/dev/full", file); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := c.run(job); errs.KindOf(err) != errs.Exhausted {
			t.Errorf("%s: %v", stage, err)
		}
		nothing(t, job)
	}
}

// TestDiskFullInSpill runs a map with little memory in a process whose files may not grow, so that its first spill
// fails.
func TestDiskFullInSpill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), smallDisk+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "exhausted") || !strings.Contains(string(out), "file too large") {
		t.Errorf("%v: %s", err, out)
	}
	if left, _ := filepath.Glob(dir + "/scratch/*"); len(left) > 0 {
		t.Errorf("spills are left: %v", left)
	}
}

func onSmallDisk() {
	signal.Ignore(syscall.SIGXFSZ) // else the kernel kills; so the write fails
	dir := os.Getenv(smallDisk)
	err := func() error {
		var text bytes.Buffer
		for i := range 300_000 {
			fmt.Fprintf(&text, "word%d another%d\n", i, i)
		}
		for _, d := range []string{"dir", "scratch"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o777); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "in"), text.Bytes(), 0o666); err != nil {
			return err
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			return err
		}
		return mapOnSmallDisk(dir)
	}()
	fmt.Println(err)
}

func mapOnSmallDisk(dir string) error {
	ctx := context.Background()
	local, err := file.New("/", file.Options{KeepDirs: true})
	if err != nil {
		return err
	}
	resolve := resolveIn(local)
	options, err := json.Marshal(builtins("wordcount", "", "sum"))
	if err != nil {
		return err
	}
	job := scheduler.Job{ID: "aaaa-test", Output: "file://" + dir + "/out", Engine: options}
	job.Input = []string{"file://" + dir + "/in"}
	engine := NewEngine(job, mem.New(), resolve, EngineOptions{})
	if _, err := engine.Plan(ctx); err != nil {
		return err
	}
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: mapStage}}
	payload, err := engine.Payload(ctx, id.Task, nil)
	if err != nil {
		return err
	}
	body := NewBody(resolve, BodyOptions{})
	defer body.Close()
	_, err = body.Run(ctx, scheduler.Attempt{
		Job: job, ID: id, Payload: payload, Dir: dir + "/dir", Scratch: dir + "/scratch", Memory: 6 << 20,
	}, silent{})
	return err
}
