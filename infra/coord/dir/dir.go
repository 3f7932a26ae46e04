//go:build unix

// Package dir coordinates the processes of one machine through a directory: the coordinator of the embedded engine.
// There is no server. What a process holds the kernel takes back when it dies, whatever it dies of.
//
//	<dir>/leases/job+7k2f    a lease: its holder has locked the file (flock); in it the newest token, 20 digits, newline
//	<dir>/values/job+7k2f    a value: one block of package record, payload | version 8B LE | data |
//	<dir>/version            the newest version of any value, 20 digits, newline; locked by whoever writes a value
//	<dir>/next               the value being written, renamed into values/ when it is complete
//
// A key's file has a + for each slash. Token and version files change in place by a single write of fixed length, under
// their lock, so a process may be killed anywhere: a number may have been used up for nothing, never be used twice.
//
// A paused holder keeps its lease: it is not dead. All of this is for a local file system; over the network, flock
// means many things.
package dir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
)

// How long to wait before trying again to lock a file that somebody else has locked. The kernel offers no wait that a
// ctx could end. A lease is waited for long, and costs its waiters twenty calls a second; a swap takes half a
// millisecond.
const (
	leasePause = 50 * time.Millisecond
	swapPause  = 2 * time.Millisecond
)

// Coordinator is a coord.Coordinator over a directory.
type Coordinator struct {
	dir string
}

// Open returns a coordinator over the directory path, which is made if it does not exist. Any number of processes, and
// of coordinators in each, may be open at once; there is nothing to close.
func Open(path string) (*Coordinator, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, errs.E("dir.Open", errs.Other, path, err)
	}
	c := &Coordinator{dir: abs}
	for _, part := range []string{c.leases(), c.values()} {
		if err := os.MkdirAll(part, 0o700); err != nil {
			return nil, errs.E("dir.Open", errs.Other, path, err)
		}
	}
	return c, nil
}

func (c *Coordinator) leases() string  { return filepath.Join(c.dir, "leases") }
func (c *Coordinator) values() string  { return filepath.Join(c.dir, "values") }
func (c *Coordinator) version() string { return filepath.Join(c.dir, "version") }
func (c *Coordinator) next() string    { return filepath.Join(c.dir, "next") }

// fileName returns the name of a key's files. It fits, as a key has at most coord.MaxKey bytes.
func fileName(key coord.Key) string { return strings.ReplaceAll(string(key), "/", "+") }

// keyOf is the inverse of fileName.
func keyOf(name string) coord.Key { return coord.Key(strings.ReplaceAll(name, "+", "/")) }

// Get implements coord.Coordinator.
func (c *Coordinator) Get(ctx context.Context, key coord.Key) (coord.Value, error) {
	const op = "dir.Get"
	if err := coord.Begin(ctx, op, key); err != nil {
		return coord.Value{}, err
	}
	v, err := c.read(key)
	if err != nil {
		return coord.Value{}, errs.E(op, errs.Other, key, err)
	}
	return v, nil
}

// read returns what key's file says; there is only ever a whole one.
func (c *Coordinator) read(key coord.Key) (coord.Value, error) {
	f, err := os.Open(filepath.Join(c.values(), fileName(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return coord.Value{}, nil
	}
	if err != nil {
		return coord.Value{}, err
	}
	defer f.Close()
	payload, err := record.NewReader(f).Next()
	switch {
	case errors.Is(err, io.EOF):
		return coord.Value{}, errs.Errorf("", errs.Corrupt, nil, "the file is empty")
	case err != nil:
		return coord.Value{}, err
	case len(payload) < 8:
		return coord.Value{}, errs.Errorf("", errs.Corrupt, nil, "no version")
	}
	return coord.Value{Version: coord.Version(binary.LittleEndian.Uint64(payload)), Data: payload[8:]}, nil
}

// Swap implements coord.Coordinator.
func (c *Coordinator) Swap(ctx context.Context, key coord.Key, old coord.Version, next []byte) (coord.Version, error) {
	const op = "dir.Swap"
	if err := coord.Begin(ctx, op, key); err != nil {
		return 0, err
	}
	if len(next) > coord.MaxValue {
		return 0, errs.Errorf(op, errs.Invalid, key, "%d bytes, %d allowed", len(next), coord.MaxValue)
	}
	counter, err := lock(ctx, c.version(), swapPause)
	if err != nil {
		return 0, errs.E(op, errs.Other, key, err)
	}
	defer counter.unlock()
	now, err := c.read(key)
	if err != nil {
		return 0, errs.E(op, errs.Other, key, err)
	}
	if now.Version != old {
		return 0, errs.Errorf(op, errs.Exist, key, "version is %d, not %d", now.Version, old)
	}
	version, err := c.replace(key, counter, old, next)
	if err != nil {
		return 0, errs.E(op, errs.Other, key, err)
	}
	return version, nil
}

// replace writes or deletes a key's file. The caller holds the lock, and so has the name next for itself.
func (c *Coordinator) replace(key coord.Key, counter *counter, old coord.Version, next []byte) (coord.Version, error) {
	name := filepath.Join(c.values(), fileName(key))
	if next == nil {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		return 0, nil
	}
	// Above old, even if a crash of the machine lost the counter's last write.
	version, err := counter.increase(uint64(old))
	if err != nil {
		return 0, err
	}
	payload := append(binary.LittleEndian.AppendUint64(nil, version), next...)
	if err := writeSynced(c.next(), record.Append(nil, payload, record.None)); err != nil {
		return 0, err
	}
	return coord.Version(version), os.Rename(c.next(), name)
}

// Sweep removes all values whose keys begin with prefix. It is for whoever knows that nobody writes them any more.
func (c *Coordinator) Sweep(ctx context.Context, prefix string) error {
	const op = "dir.Sweep"
	counter, err := lock(ctx, c.version(), swapPause)
	if err != nil {
		return errs.E(op, errs.Other, prefix, err)
	}
	defer counter.unlock()
	entries, err := os.ReadDir(c.values())
	if err != nil {
		return errs.E(op, errs.Other, prefix, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(string(keyOf(e.Name())), prefix) {
			continue
		}
		if err := os.Remove(filepath.Join(c.values(), e.Name())); err != nil {
			return errs.E(op, errs.Other, prefix, err)
		}
	}
	return nil
}

// writeSynced writes a file that a crash of the machine leaves whole once it has been renamed.
func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// parseNumber reads what formatNumber wrote; nothing at all, as a new file holds, is 0.
func parseNumber(text []byte) (uint64, error) {
	if len(text) == 0 {
		return 0, nil
	}
	var n uint64
	if _, err := fmt.Sscanf(string(text), "%d\n", &n); err != nil || string(formatNumber(n)) != string(text) {
		return 0, errs.Errorf("", errs.Corrupt, nil, "%q is not a number of 20 digits", text)
	}
	return n, nil
}

func formatNumber(n uint64) []byte { return fmt.Appendf(nil, "%020d\n", n) }
