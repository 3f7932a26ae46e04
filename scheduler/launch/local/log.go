//go:build unix

package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// rotated is a container's log: files of a bounded size, of which the oldest go.
//
//	executor-3.log         the first
//	executor-3_0001.log    the next, when the first was full, and so on
//
// A log that cannot be written must not end its container, so Write never fails; what finds no room is lost.
type rotated struct {
	base   string // the first file's path without its ending
	limits Options
	number int // of the file at hand
	file   *os.File
	size   int64
}

const logEnding = ".log"

// openLog opens a container's log where it ends, and marks where a restart begins.
func openLog(dir string, c launch.Container, limits Options) (*rotated, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l := &rotated{base: filepath.Join(dir, strings.TrimSuffix(c.LogName(), logEnding)), limits: limits}
	for _, name := range l.files() {
		_, _ = fmt.Sscanf(strings.TrimPrefix(name, l.base), "_%d", &l.number) // the first file has none
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	if c.Restart > 0 {
		fmt.Fprintf(l, "--- %s\n", c)
	}
	return l, nil
}

// files returns the paths of all that there are, the oldest first.
func (l *rotated) files() []string {
	all, _ := filepath.Glob(l.base + "_*" + logEnding) // ids and roles have nothing that a pattern treats as special
	slices.Sort(all)
	if _, err := os.Stat(l.path(0)); err == nil {
		all = slices.Insert(all, 0, l.path(0))
	}
	return all
}

func (l *rotated) path(number int) string {
	if number == 0 {
		return l.base + logEnding
	}
	return fmt.Sprintf("%s_%04d%s", l.base, number, logEnding)
}

func (l *rotated) open() (err error) {
	l.file, err = os.OpenFile(l.path(l.number), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err == nil {
		l.size = info.Size()
	}
	return err
}

// Write implements io.Writer. It begins the next file at the end of a line where it can.
func (l *rotated) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if l.size >= l.limits.LogSize && !l.next() {
			return n, nil
		}
		room := l.limits.LogSize - l.size
		part := p[:min(room, int64(len(p)))]
		if i := bytes.LastIndexByte(part, '\n'); len(part) < len(p) && i >= 0 {
			part = part[:i+1]
		} else if len(part) < len(p) && l.size > 0 {
			part = nil // a line that fits no more, perhaps
		}
		written, err := l.file.Write(part)
		if l.size += int64(written); err != nil {
			return n, nil
		}
		if p = p[len(part):]; len(p) > 0 && !l.next() {
			return n, nil
		}
	}
	return n, nil
}

// next begins the next file and removes the oldest. It reports whether there is one.
func (l *rotated) next() bool {
	_ = l.file.Close() // nothing depends on it
	l.number++
	if l.open() != nil {
		return false
	}
	if all := l.files(); len(all) > l.limits.LogFiles {
		for _, name := range all[:len(all)-l.limits.LogFiles] {
			_ = os.Remove(name) // the next time, perhaps
		}
	}
	return true
}

func (l *rotated) close() { _ = l.file.Close() } // nothing depends on it
