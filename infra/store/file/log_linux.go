package file

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// logFlags let the kernel find the end of the file and write there in one step, and return when that is durable.
const logFlags = os.O_RDWR | os.O_APPEND | syscall.O_DSYNC | syscall.O_NONBLOCK

// local are the file systems that are known to append in one step: NFS, for one, does not.
func local() []int64 {
	return []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC}
}

// CreateLog implements store.Logs.
func (s *Store) CreateLog(ctx context.Context, name store.Name) (store.Log, error) {
	const op = "file.CreateLog"
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	var on unix.Statfs_t
	if err := unix.Statfs(s.root, &on); err != nil {
		return nil, failed(op, name, err)
	}
	if !slices.Contains(local(), int64(on.Type)) {
		return nil, errs.Errorf(op, errs.Unsupported, name, "file system %#x is not known to append in one step", on.Type)
	}
	if err := store.Put(ctx, s, name, nil, store.IfAbsent()); err != nil {
		return nil, err
	}
	return s.OpenLog(ctx, name)
}

// OpenLog implements store.Logs.
func (s *Store) OpenLog(ctx context.Context, name store.Name) (store.Log, error) {
	const op = "file.OpenLog"
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(name), logFlags, 0)
	if err != nil {
		return nil, failed(op, name, err)
	}
	return &log{f, name}, nil
}

type log struct {
	*os.File
	name store.Name
}

// Append implements store.Log. It is one system call, or it would not be one step.
func (l *log) Append(p []byte) (int64, error) {
	const op = "file.Append"
	for {
		n, err := unix.Write(int(l.Fd()), p)
		switch {
		case errors.Is(err, unix.EINTR) && n <= 0:
			continue
		case err == nil && n < len(p):
			err = errs.Errorf(op, errs.Exhausted, nil, "%d of %d bytes were written", n, len(p))
		}
		if err != nil {
			return 0, failed(op, l.name, err)
		}
		end, err := l.Seek(0, io.SeekCurrent) // where the write has left it: it is our own
		if err != nil {
			return 0, failed(op, l.name, err)
		}
		return end - int64(n), nil
	}
}
