package invoke

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestTempsAreShared: a process leaves alone what handlers of others that live have, and removes what those have left
// that were killed.
func TestTempsAreShared(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tmp")
	open := func() (*temps, string) {
		t.Helper()
		opened, err := openTemps(root)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := opened.folder()
		if err != nil {
			t.Fatal(err)
		}
		return opened, folder
	}
	killed, its := open()
	lives, alive := open()
	defer lives.close()
	if err := killed.own.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	last, _ := open()
	if _, err := os.Stat(its); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a process that was killed there is %s: %v", its, err)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Errorf("of a process that lives there is nothing: %v", err)
	}
	last.close()
	if left, err := os.ReadDir(root); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestTempsOfManyAtOnce: none of those that begin at the same moment takes another for one that was killed.
func TestTempsOfManyAtOnce(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tmp")
	var all sync.WaitGroup
	opened := make([]*temps, 16)
	for i := range opened {
		all.Go(func() {
			var err error
			if opened[i], err = openTemps(root); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, one := range opened {
		if one == nil {
			continue // which was told
		}
		if _, err := one.folder(); err != nil {
			t.Error(err)
		}
		one.close()
	}
}
