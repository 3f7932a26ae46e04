// Package demo carries the twelve books that `runner demo` counts the words of, and makes the rows that it learns from,
// so that the first thing a new user runs needs no download. Their origin and licence are in books/SOURCES.md.
package demo

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/seed3322913c/runner/infra/errs"
)

//go:embed books/*.txt
var shelf embed.FS

// Unpack writes the books into dir, which is made if it is not there, and returns how many they are and their size in
// bytes. A book that is there already with the right size is left alone.
func Unpack(dir string) (books int, size int64, err error) {
	const op = "demo.Unpack"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, 0, errs.E(op, errs.Other, dir, err)
	}
	entries, err := shelf.ReadDir("books")
	if err != nil {
		return 0, 0, errs.E(op, errs.Internal, nil, err)
	}
	for _, entry := range entries {
		text, err := fs.ReadFile(shelf, "books/"+entry.Name())
		if err != nil {
			return 0, 0, errs.E(op, errs.Internal, entry.Name(), err)
		}
		if err := place(filepath.Join(dir, entry.Name()), text); err != nil {
			return 0, 0, errs.E(op, errs.Other, dir, err)
		}
		books++
		size += int64(len(text))
	}
	return books, size, nil
}

// place puts a whole book under its name or nothing, since two demos may run at once.
func place(path string, text []byte) error {
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(text)) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "_book-*") // the engine skips names that begin with _
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed, which is what we want
	if _, err := f.Write(text); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Rows writes rows for a classifier to learn from, always the same: a label, 0 or 1, and three numbers of which two
// have to do with it. It returns how many they are.
func Rows(file string) (count int, err error) {
	const rows = 2000
	chance := rand.New(rand.NewPCG(2, 7))
	var text bytes.Buffer
	for i := range rows {
		label := i % 2
		lean := 2*float64(label) - 1
		fmt.Fprintf(&text, "%d,%.3f,%.3f,%.3f\n", label, lean+chance.NormFloat64(), lean+chance.NormFloat64(),
			chance.NormFloat64())
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return 0, errs.E("demo.Rows", errs.Other, file, err)
	}
	if err := place(file, text.Bytes()); err != nil {
		return 0, errs.E("demo.Rows", errs.Other, file, err)
	}
	return rows, nil
}
