package fleet

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/seed3322913c/runner/scheduler"
)

const (
	sweepEvery = time.Minute
	keepLogs   = 7 * 24 * time.Hour
)

// sweepAlways removes what jobs have left of which nobody knows any more, also those that were over while this node was
// not there, and logs that are old. As often it tells Nomad how the machine is.
func (n *Node) sweepAlways(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			n.sweep()
			n.declare(ctx)
		}
	}
}

func (n *Node) sweep() {
	n.mu.Lock()
	over := map[scheduler.JobID]bool{}
	for id, g := range n.mu.grants {
		over[id] = g.Over
	}
	n.mu.Unlock()
	for _, kind := range []string{"node", "scratch"} {
		dirs, _ := filepath.Glob(filepath.Join(n.dir, kind, "*")) // the pattern is well formed
		for _, dir := range dirs {
			if id := scheduler.JobID(filepath.Base(dir)); over[id] {
				n.removeJob(id)
			}
		}
	}
	packages, _ := filepath.Glob(filepath.Join(n.dir, "packages", "*")) // the pattern is well formed
	for _, dir := range packages {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > keepLogs {
			n.remove("packages", dir)
		}
	}
	logs, _ := filepath.Glob(filepath.Join(n.dir, "logs", "*")) // the pattern is well formed
	for _, dir := range logs {
		info, err := os.Stat(dir)
		id := scheduler.JobID(filepath.Base(dir))
		if done, known := over[id]; id != nodeGroup.Job && err == nil && (done || !known) && time.Since(info.ModTime()) > keepLogs {
			n.remove("logs", dir)
		}
	}
}

// removeJob removes what a job that is over has left on this machine, but for its logs.
func (n *Node) removeJob(id scheduler.JobID) {
	for _, kind := range []string{"node", "scratch"} {
		if dir := filepath.Join(n.dir, kind, string(id)); exists(dir) {
			n.remove(kind, dir)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (n *Node) remove(kind, dir string) {
	if err := os.RemoveAll(dir); err != nil {
		n.log.Warn("removing what a job has left", "folder", dir, "error", err)
		return
	}
	n.swept.WithLabelValues(kind).Inc()
}
