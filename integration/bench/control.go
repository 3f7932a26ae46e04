package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// local is a cluster of real servers on this machine, and the program's way to it.
type local struct {
	settings
	cluster *cluster.Cluster
	fleet   *fleet.Fleet
	control *client.Client
}

// down ends the cluster. What it cannot remove lies in the work folder.
func (l *local) down() {
	l.fleet.Close()
	if err := l.cluster.Down(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// controlled measures what people wait for on a fleet: a job of 1 KB, and another control when the one that leads dies.
func controlled(ctx context.Context, s settings, title string) error {
	l, err := s.up(ctx)
	if err != nil {
		return err
	}
	defer l.down()
	const jobs, leaders = 11, 5
	var toTask, toAnswer, toLeader []time.Duration
	for i := range jobs {
		task, answer, err := l.count(ctx, i)
		if err != nil {
			return err
		}
		toTask, toAnswer = append(toTask, task), append(toAnswer, answer)
	}
	for range leaders {
		took, err := l.depose(ctx)
		if err != nil {
			return err
		}
		toLeader = append(toLeader, took)
	}
	fmt.Printf("\n%s\n", title)
	tell("submission to the start of the first map", toTask)
	tell("command to its answer, 1 KB", toAnswer)
	tell("death of the control that leads to another one's first answer", toLeader)
	return nil
}

// tell sorts the times that something took, and prints a line of them.
func tell(what string, times []time.Duration) {
	slices.Sort(times)
	fmt.Printf("%-62s median of %2d: %5.2f s   (%.2f to %.2f s)\n", what, len(times), middle(times).Seconds(),
		times[0].Seconds(), times[len(times)-1].Seconds())
}

// up starts a cluster of three servers and three machines.
func (s settings) up(ctx context.Context) (*local, error) {
	names := []string{"consul", "nomad", "versitygw"}
	out, err := exec.CommandContext(ctx, "scripts/engines", names...).Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/engines: %w", err)
	}
	engines := map[string]string{}
	for i, path := range strings.Fields(string(out)) {
		engines[names[i]] = path
	}
	c, err := cluster.Up(ctx, cluster.Options{
		Name: "bench", Dir: filepath.Join(s.work, "cluster"), Servers: 3, Clients: 3, Engines: engines, Runner: s.runner,
	})
	if err != nil {
		return nil, err
	}
	l := &local{settings: s, cluster: c}
	if err := l.prepare(ctx); err != nil {
		return nil, fmt.Errorf("%w; %v", err, c.Down())
	}
	return l, nil
}

// prepare saves how the cluster is reached, puts a text there, and waits until jobs run.
func (l *local) prepare(ctx context.Context) error {
	home := filepath.Join(l.work, "home")
	if err := l.cluster.State.Fleet.Save(home); err != nil {
		return err
	}
	text := filepath.Join(l.work, "kilobyte.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("to be or not to be\n", 54)), 0o600); err != nil {
		return err
	}
	if _, err := l.verb(ctx, "fs", "put", text, "s3://"+cluster.Bucket+"/in/text"); err != nil {
		return err
	}
	if _, _, err := l.count(ctx, -1); err != nil { // which also makes a token
		return err
	}
	saved, err := fleet.Load(home, "bench")
	if err != nil {
		return err
	}
	l.fleet, err = fleet.Open(ctx, saved, func(context.Context, string) (store.Store, error) { return mem.New(), nil })
	if err != nil {
		return err
	}
	l.control, err = l.fleet.Control()
	return err
}

func (l *local) verb(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, l.runner, append(args, "--cluster", "bench")...)
	cmd.Env, cmd.Stderr = append(os.Environ(), l.home()), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("runner %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// count counts the words of a small text, and says how long it took to the first map's start, and to the answer.
func (l *local) count(ctx context.Context, i int) (task, answer time.Duration, err error) {
	begun := time.Now()
	out := fmt.Sprintf("s3://%s/out%d", cluster.Bucket, i)
	if _, err := l.verb(ctx, "run", "wordcount", "--quiet", "--input", "s3://"+cluster.Bucket+"/in", "--output",
		out); err != nil {
		return 0, 0, err
	}
	answer = time.Since(begun)
	text, err := l.verb(ctx, "jobs", "--json")
	if err != nil {
		return 0, 0, err
	}
	var all []embedded.Status
	if err := json.Unmarshal(text, &all); err != nil {
		return 0, 0, err
	}
	job := all[0] // the newest
	if job.State != scheduler.JobSucceeded || job.Output != out {
		return 0, 0, fmt.Errorf("job %s is %s", job.Job, job.State)
	}
	first := slices.MinFunc(job.Stages, func(a, b am.StageReport) int { return a.Started.Compare(b.Started) })
	return first.Started.Sub(job.Submitted), answer, nil
}

// depose kills the control that leads, and says how long it took until another one answered.
func (l *local) depose(ctx context.Context) (time.Duration, error) {
	before, err := l.control.Cluster(ctx)
	if err != nil {
		return 0, err
	}
	u, err := url.Parse(before.Leader)
	if err != nil {
		return 0, err
	}
	for _, m := range l.cluster.State.Machines {
		for _, p := range l.cluster.Program() {
			if m.Address == u.Hostname() && p.Machine == m.Name && p.Verb == "control" {
				if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
					return 0, err
				}
			}
		}
	}
	begun := time.Now()
	for {
		after, err := l.control.Cluster(ctx)
		if err == nil && after.Epoch > before.Epoch {
			return time.Since(begun), nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}
