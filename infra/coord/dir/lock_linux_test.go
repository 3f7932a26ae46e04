package dir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAReleasedLeaseIsFree has a copy of the lease's file open when the lease is released, as a child has that is just
// being started: it does not hold the lease.
func TestAReleasedLeaseIsFree(t *testing.T) {
	path := t.TempDir()
	c := open(t, path)
	l, err := c.Acquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	copied := false
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || to != filepath.Join(path, "leases", "k") {
			continue // another file, or the directory that was read and is closed
		}
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			t.Fatal(err)
		}
		if fd, err = syscall.Dup(fd); err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		copied = true
		break
	}
	if err := l.Release(t.Context()); err != nil || !copied {
		t.Fatalf("copied: %v, %v", copied, err)
	}
	if held, err := c.Held(t.Context(), "k"); held || err != nil {
		t.Errorf("held: %v, %v", held, err)
	}
}
