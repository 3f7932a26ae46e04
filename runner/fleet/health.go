package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Below these parts of the whole a machine takes no more work.
const (
	minDisk   = 0.05
	minMemory = 0.03
)

// shortOf says what the machine of a folder is short of; "" if it is well.
func shortOf(dir string) string {
	free, all, err := disk(dir)
	switch {
	case err != nil:
		return "the disk: " + err.Error()
	case float64(free) < minDisk*float64(all):
		return fmt.Sprintf("the disk: %d of %d bytes are free", free, all)
	}
	free, all, err = memory()
	if err == nil && float64(free) < minMemory*float64(all) { // where nobody can tell, nobody is short of it
		return fmt.Sprintf("memory: %d of %d bytes are available", free, all)
	}
	return ""
}

// disk says how much of the disk of path is free, in bytes.
func disk(path string) (free, all uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

// memory says how much of the machine's is available, in bytes.
func memory() (available, all uint64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var name string
		var kib uint64
		if _, err := fmt.Sscan(lines.Text(), &name, &kib); err != nil {
			continue // not one of the two
		}
		switch name {
		case "MemTotal:":
			all = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return available, all, nil
}

// outMark is a file that is there while this node, or one before it, may have taken the machine out of scheduling.
func (n *Node) outMark() string { return filepath.Join(n.dir, "out-of-scheduling") }

// declare takes the machine out of scheduling when it is short of something, and puts it back when it is well again, if
// this node took it out, or one before it. What runs there goes on.
func (n *Node) declare(ctx context.Context) {
	short := n.short()
	out := short != ""
	if out == n.out && !n.unsure {
		return
	}
	if out {
		if err := os.WriteFile(n.outMark(), nil, 0o600); err != nil {
			n.log.Warn("the next node will not put the machine back", "error", err)
		}
	}
	if err := n.eligible(ctx, !out); err != nil {
		n.log.Warn("telling Nomad how the machine is", "error", err)
		return
	}
	n.out, n.unsure = out, false
	if !out {
		if err := os.Remove(n.outMark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.log.Warn("the next node will put the machine back again", "error", err)
		}
	}
	n.log.Info("the machine takes work", "work", !out, "short of", short)
}
