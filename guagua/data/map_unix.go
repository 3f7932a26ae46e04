//go:build unix

package data

import (
	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
)

// mapAll maps the whole file into memory.
func (f *blockFile[T]) mapAll() (err error) {
	if f.size == 0 {
		return nil
	}
	if err := f.file.Truncate(f.size); err != nil { // up to the end of the last part's alignment
		return errs.E(op, errs.Other, "rows", err)
	}
	f.mapped, err = unix.Mmap(int(f.file.Fd()), 0, int(f.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return errs.E(op, errs.Other, "mapping rows", err)
	}
	return nil
}

func (f *blockFile[T]) unmap() error {
	if f.mapped == nil {
		return nil
	}
	err := unix.Munmap(f.mapped)
	f.mapped = nil
	if err != nil {
		return errs.E(op, errs.Other, "rows", err)
	}
	return nil
}
