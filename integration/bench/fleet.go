package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// sorts measures what jobs themselves do on a fleet: how fast executors start, and TeraSort, also when its application
// master is killed at two thirds.
func sorts(ctx context.Context, s settings, title string) error {
	l, err := s.up(ctx)
	if err != nil {
		return err
	}
	defer l.down()
	fmt.Printf("\n%s\n", title)
	took, err := l.gather(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d executors, from the first to the last at work   %5.2f s: %.1f a second\n", executors, took.Seconds(),
		(executors-1)/took.Seconds())
	in := "s3://" + cluster.Bucket + "/rows"
	if _, err := l.verb(ctx, "run", "teragen", "--quiet", "--set", fmt.Sprint("records=", s.rows), "--output",
		in); err != nil {
		return err
	}
	var calm, killed []time.Duration
	var done, again int
	for range s.rounds { // in turn, so that both have the same company
		r, err := l.sort(ctx, in, nil)
		if err != nil {
			return err
		}
		k, err := l.sort(ctx, in, func() error { return l.kill("am") })
		if err != nil {
			return err
		}
		calm, killed = append(calm, r.took), append(killed, k.took)
		done, again = done+k.done, again+k.again
	}
	tell(fmt.Sprintf("TeraSort of %d MB in S3, which TeraValidate finds right", s.rows/1e4), calm)
	tell("the same, its application master killed at two thirds", killed)
	fmt.Printf("%.2f s lost at the median; of %d finished tasks %d ran again\n",
		(middle(killed) - middle(calm)).Seconds(), done, again)
	return nil
}

// executors is how many of them are started at once: as many as the three machines have cores for.
const executors = 15

// gather starts executors that hold on to their tasks, and says how long it took from the first to the last.
func (l *local) gather(ctx context.Context) (time.Duration, error) {
	text, err := l.verb(ctx, "run", "task", "--name", "gather", "--command", "sleep 600", "--detach", "--memory", "64MiB",
		"--output", "s3://"+cluster.Bucket+"/gather",
		"--tasks", fmt.Sprint(executors), "--executors", fmt.Sprint(executors))
	if err != nil {
		return 0, err
	}
	id := strings.TrimSpace(string(text))
	for {
		text, err := l.verb(ctx, "status", id, "--json")
		if err != nil {
			return 0, err
		}
		var s embedded.Status
		if err := json.Unmarshal(text, &s); err != nil {
			return 0, err
		}
		var first, last time.Time
		for _, a := range s.Attempts {
			if first.IsZero() || a.Start.Before(first) {
				first = a.Start
			}
			if a.Start.After(last) {
				last = a.Start
			}
		}
		if len(s.Attempts) >= executors {
			_, err = l.verb(ctx, "kill", id)
			return last.Sub(first), err
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// sortSpec is TeraSort in so many tasks that there is something to be kept.
const sortSpec = `kind: mapreduce
name: sort
input: %s
output: %s
mapreduce: {mapper: {builtin: terasort}, reducer: {builtin: terasort}, partitioner: total-order, splitSize: 16MiB, reducers: %d}
`

// sortReducers is known here, since a job tells of its reducers only when there is something for them.
const sortReducers = 12

// sorted is one TeraSort.
type sorted struct {
	took        time.Duration
	done, again int // tasks that were finished when it happened, and what of them ran once more
}

// sort sorts rows and checks the result. When two thirds of its tasks are done, something may happen.
func (l *local) sort(ctx context.Context, in string, happen func() error) (r sorted, err error) {
	out, file := "s3://"+cluster.Bucket+"/sorted", filepath.Join(l.work, "sort.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, sortSpec, in, out, sortReducers), 0o600); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, l.runner, "run", file, "--cluster", "bench", "--json", "--overwrite")
	cmd.Env, cmd.Stderr = append(os.Environ(), l.home()), os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	done, tasks := map[string]int{}, map[string]int{}
	events := bufio.NewScanner(stdout)
	for events.Buffer(nil, 16<<20); events.Scan(); {
		var e struct {
			Event string `json:"event"`
			Name  string `json:"name"`
			Done  int    `json:"done"`
			Tasks int    `json:"tasks"`
			am.Report
		}
		if err := json.Unmarshal(events.Bytes(), &e); err != nil {
			return r, err
		}
		switch e.Event {
		case "stage":
			done[e.Name], tasks[e.Name] = e.Done, e.Tasks
			all, of := done["map"]+done["reduce"], tasks["map"]+sortReducers
			if happen != nil && tasks["map"] > 0 && 3*all >= 2*of {
				if err := happen(); err != nil {
					return r, err
				}
				r.done, happen = all, nil
			}
		case "result":
			if e.State != scheduler.JobSucceeded {
				return r, fmt.Errorf("the sort is %s: %s", e.State, e.Message)
			}
			for _, s := range e.Stages {
				r.again += s.Lost
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		return r, err
	}
	r.took = time.Since(begun)
	_, err = l.verb(ctx, "run", "teravalidate", "--quiet", "--overwrite", "--input", out, "--output", out+"-checked")
	return r, err
}

// kill ends (SIGKILL) the processes of a role.
func (l *local) kill(verb string) error {
	for _, p := range l.cluster.Program() {
		if p.Verb != verb {
			continue
		}
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}
