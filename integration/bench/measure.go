package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// sample is one run of a command with all of its descendants.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system time of everything that was waited for
	peak int64         // bytes: the largest sum of proportional set sizes seen, all processes together
}

// measure runs a command to its end and returns what it took. The memory of its process tree is sampled from /proc, so
// that several processes count together and shared pages once.
func measure(ctx context.Context, argv []string, env ...string) (sample, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	var peak atomic.Int64
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				peak.Store(max(peak.Load(), treeMemory(cmd.Process.Pid)))
			}
		}
	}()
	err := cmd.Wait()
	s := sample{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	close(ended)
	<-watched
	s.peak = peak.Load()
	if err != nil {
		text := out.String()
		return s, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, text[max(0, len(text)-2000):])
	}
	return s, nil
}

// treeMemory sums the proportional set sizes of a process and its descendants, in bytes. Processes that end meanwhile
// count as nothing.
func treeMemory(root int) int64 {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed, which is the only error there is
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || len(fields) < 2 {
			continue
		}
		if ppid, err := strconv.Atoi(fields[1]); err == nil {
			children[ppid] = append(children[ppid], pid)
		}
	}
	var sum int64
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		sum += pss(todo[0])
		todo = append(todo, children[todo[0]]...)
	}
	return sum
}

func pss(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(data, []byte("\nPss:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kb, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}

// median is the middle value by f; of an even number the lower one.
func median[T cmp.Ordered](samples []sample, f func(sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = f(s)
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

func wall(s sample) time.Duration { return s.wall }
func cpu(s sample) time.Duration  { return s.cpu }
func peak(s sample) int64         { return s.peak }
