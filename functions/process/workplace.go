package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Environment is what a program of the user's finds: the environment of this process, but for what processes of ours
// tell each other, secrets among it.
func Environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RUNNER_") })
}

// Furnish makes links in dir to files, by their names, and to all that is in folder, or to the one file of that name.
// Folder may be empty. What dir has already stays.
func Furnish(dir string, files map[string]string, folder string) error {
	for name, path := range files {
		if err := link(path, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if folder == "" {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		info, statErr := os.Stat(folder)
		if statErr != nil || info.IsDir() {
			return errors.Join(err, statErr)
		}
		folder, entries = filepath.Dir(folder), []fs.DirEntry{fs.FileInfoToDirEntry(info)}
	}
	for _, e := range entries {
		if err := link(filepath.Join(folder, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// link makes a link unless there is something of that name.
func link(to, name string) error {
	if err := os.Symlink(to, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Lines hands what is written to it to Logf, line by line. It is used by one goroutine at a time.
type Lines struct {
	Logf func(format string, args ...any)
	rest []byte // the beginning of a line
}

// maxLine is where a line is cut, in bytes.
const maxLine = 8 << 10

// Write never fails.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		l.rest = append(l.rest, line...)
		if whole || len(l.rest) >= maxLine {
			l.flush()
		}
		p = rest
	}
	return n, nil
}

// Close hands over a last line that was not ended. It never fails.
func (l *Lines) Close() error {
	if len(l.rest) > 0 {
		l.flush()
	}
	return nil
}

func (l *Lines) flush() {
	l.Logf("%s", l.rest)
	l.rest = l.rest[:0]
}
