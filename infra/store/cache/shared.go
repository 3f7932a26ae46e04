package cache

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// shared are the files of a cache whose directory other processes use at the same time. What is there only the disk
// knows: a piece appears whole, by a rename, and two that fetch the same one write the same bytes. When a piece was
// used last its file's time says, for all of them.
//
// Who writes looks from time to time whether there is still room; a lock sees to it that one does so at a time. Until
// he looks, each writer may be a share of the limit above it.
type shared struct {
	dir   string
	limit int64
	lock  *os.File
	room  int64 // bytes that may be written before the next look; the writer's alone
}

const (
	share   = 64          // of the limit: what is written between two looks is one part of so many
	recent  = time.Minute // a time that is no older is not renewed
	tooLong = time.Hour   // to write one piece
)

// has reports whether a piece is there.
func (s *shared) has(k key) bool {
	_, err := os.Lstat(filepath.Join(s.dir, k.file()))
	return err == nil
}

// find opens a piece. ok is false if there is none that is whole.
func (s *shared) find(k key) (found kept, ok bool) {
	if found, ok = look(s.dir, k); !ok {
		return found, false
	}
	now := time.Now()
	if info, err := found.Stat(); err == nil && now.Sub(info.ModTime()) > recent {
		_ = os.Chtimes(found.Name(), now, now) // it has gone, or goes earlier than it might
	}
	return found, ok
}

// keep stores a piece. That it can't is harmless: it will be fetched again.
func (s *shared) keep(k key, data []byte) {
	n, _ := put(s.dir, k, data)
	if s.room -= n; s.room < 0 {
		s.collect()
		s.room = s.limit / share
	}
}

// collect removes what was not used for longest until the rest fits, unless another process does that at the moment.
func (s *shared) collect() {
	if syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return
	}
	defer func() { _ = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN) }() // which the end of the process does, too
	all, err := scan(s.dir, time.Now().Add(-tooLong))
	if err != nil {
		return // the next one looks again
	}
	var sum int64
	for _, f := range all {
		sum += f.bytes
	}
	for _, f := range all {
		if sum <= s.limit-s.limit/share {
			return
		}
		s.drop(f.key)
		sum -= f.bytes
	}
}

// drop removes a piece.
func (s *shared) drop(k key) {
	_ = os.Remove(filepath.Join(s.dir, k.file())) // another was quicker, or the next who looks removes it
}

// forget removes all pieces of an object.
func (s *shared) forget(o object) {
	text := hex.EncodeToString(o[:])
	files, _ := filepath.Glob(filepath.Join(s.dir, text[:2], text+"-*")) // well formed, unless the folder's name is odd
	for _, file := range files {
		_ = os.Remove(file) // as in drop
	}
}
