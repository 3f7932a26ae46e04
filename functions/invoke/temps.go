package invoke

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed3322913c/runner/infra/errs"
)

// temps is where the handlers of a process have folders for their temporary files, which go with them: one that is
// killed removes nothing, and events are nobody else's to read. Processes share it with others of their machine: each
// has locked its own folder for as long as it lives, and who comes removes those that nobody has locked.
//
//	<dir>/tmp/<process>/<handler>/...
type temps struct{ own *os.File }

// openTemps makes and locks a folder below root, and removes what processes that were killed have left there.
func openTemps(root string) (*temps, error) {
	const op = "invoke.temps"
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, errs.E(op, errs.Other, root, err)
	}
	left, err := os.ReadDir(root)
	if err != nil {
		return nil, errs.E(op, errs.Other, root, err)
	}
	for _, e := range left {
		path := filepath.Join(root, e.Name())
		if f, err := lockFolder(path, syscall.LOCK_NB); err == nil { // else its process lives, or it has just gone
			_ = os.RemoveAll(path) // what stays the next one tries
			_ = f.Close()          // nothing was written
		}
	}
	for {
		path, err := os.MkdirTemp(root, "")
		if err != nil {
			return nil, errs.E(op, errs.Other, root, err)
		}
		own, err := lockFolder(path, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody took it for one of a process that was killed
		}
		if err != nil {
			return nil, errs.E(op, errs.Other, path, err)
		}
		return &temps{own}, nil
	}
}

// lockFolder opens and locks a folder that is there.
func lockFolder(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|how)
	}
	if err == nil {
		_, err = os.Stat(path) // whoever had it may have removed it
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// folder makes one for a handler.
func (t *temps) folder() (string, error) {
	path, err := os.MkdirTemp(t.own.Name(), "")
	if err != nil {
		return "", errs.E("invoke.temps", errs.Other, t.own.Name(), err)
	}
	return path, nil
}

// close removes all of it.
func (t *temps) close() {
	_ = os.RemoveAll(t.own.Name()) // what stays the next one tries
	_ = t.own.Close()              // nothing was written
}
