package commit

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames a folder to a name that must not exist; then it fails with fs.ErrExist.
func renameNew(from, to string) error {
	err := renameat2(from, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, errors.ErrUnsupported) {
		return os.Rename(from, to) // refuses all but an empty folder
	}
	return err
}

// exchange swaps two names, or fails with errors.ErrUnsupported.
func exchange(a, b string) error { return renameat2(a, b, unix.RENAME_EXCHANGE) }

// renameat2 fails with errors.ErrUnsupported if the kernel or the file system does not know the flag.
func renameat2(from, to string, flags uint) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		err = errors.ErrUnsupported
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}
