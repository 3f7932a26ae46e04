//go:build !linux

package commit

import (
	"errors"
	"os"
)

// renameNew renames a folder to a name that must not exist, but for an empty folder.
func renameNew(from, to string) error { return os.Rename(from, to) }

// exchange swaps two names where the system can.
func exchange(_, _ string) error { return errors.ErrUnsupported }
