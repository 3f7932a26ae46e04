package segment

import (
	"os"

	"github.com/seed3322913c/runner/infra/errs"
)

// Spill makes a file in dir of the partitions that write puts out, and returns it as a Range. Its Close removes it. A
// full disk is errs.Exhausted.
func Spill(dir string, layout Layout, opts WriterOptions, write func(w *Writer) error) (*Range, error) {
	f, err := os.CreateTemp(dir, "spill-*")
	if err != nil {
		return nil, errs.E("segment.Spill", errs.Other, nil, err)
	}
	w := NewWriter(f, layout, opts)
	err = write(w)
	x, e := w.Finish()
	if err == nil {
		err = e
	}
	if err != nil {
		_ = removeFile(f)() // in a scratch directory, which goes with the attempt
		return nil, err
	}
	return NewRange(f, x, removeFile(f)), nil
}

// removeFile returns a function that closes and removes a temporary file.
func removeFile(f *os.File) func() error {
	return func() error {
		err := f.Close()
		if e := os.Remove(f.Name()); err == nil {
			err = e
		}
		if err != nil {
			return errs.E("segment.Close", errs.Other, nil, err)
		}
		return nil
	}
}
