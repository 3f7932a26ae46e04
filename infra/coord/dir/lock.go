//go:build unix

package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
)

// counter is a file with a number in it, which this process has locked.
type counter struct {
	f *os.File
}

// lock waits until it has the file locked, or ctx ends. It tries again after at most pause.
func lock(ctx context.Context, path string, pause time.Duration) (*counter, error) {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(pause/50),
		backoff.WithMaxInterval(pause), backoff.WithMaxElapsedTime(0))
	var c *counter
	err := backoff.Retry(func() (err error) {
		if c, err = tryLock(path); err != nil && !errors.Is(err, errBusy) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(pauses, ctx))
	return c, err
}

// errBusy says that somebody else has the lock.
var errBusy = errs.E("dir.lock", errs.Unavailable, nil, errors.New("held by another"))

// tryLock locks the file if it is free. The lock counts only if the file still has its name: it may have been removed,
// and made anew by another process, between opening and locking.
func tryLock(path string) (*counter, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	c := &counter{f: f}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && c.named(path) {
		return c, nil
	}
	c.unlock()
	if err == nil || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, errBusy
	}
	return nil, os.NewSyscallError("flock", err)
}

// locked reports whether somebody has the file locked. A shared lock, for a moment, tells: only who has the file locked
// is in its way.
func locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock(f)
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
		case err == nil:
			return false, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return true, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// named reports whether path still leads to the locked file.
func (c *counter) named(path string) bool {
	mine, err := c.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// increase adds one to the number in the file, or to least if that is more, and returns it.
func (c *counter) increase(least uint64) (uint64, error) {
	text := make([]byte, 64)
	n, err := c.f.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	number, err := parseNumber(text[:n])
	if err != nil {
		return 0, errs.E("dir.counter", errs.Other, c.f.Name(), err)
	}
	number = max(number, least) + 1
	_, err = c.f.WriteAt(formatNumber(number), 0)
	return number, err
}

// unlock gives the lock back.
func (c *counter) unlock() { unlock(c.f) }

// unlock closes a file and gives back whatever lock it had. Closing does that, too, but a child that is just being
// started has the file as well, until it runs its own program.
func unlock(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // that there was none does not matter, and else it cannot fail
	_ = f.Close()                                   // all that was written is in the kernel
}
