package cache

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

const (
	pieceSize = 1 << 20  // bytes of an object that are kept, or not, together
	chunk     = 64 << 10 // bytes that one CRC covers
	tempName  = ".new-"  // begins the names of unfinished files
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// object stands for a name, which may be longer than a file's name can be.
type object [16]byte

func objectOf(name store.Name) object {
	sum := sha256.Sum256([]byte(name))
	return object(sum[:])
}

// key names a piece.
type key struct {
	object object
	place  uint64 // the first piece of an object has 0
}

// file returns where a piece is, below the directory.
func (k key) file() string {
	text := hex.EncodeToString(k.object[:])
	return fmt.Sprintf("%s/%s-%x", text[:2], text, k.place)
}

// parseKey is the inverse of file.
func parseKey(file string) (k key, ok bool) {
	text, place, _ := strings.Cut(filepath.Base(file), "-")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(k.object) {
		return k, false
	}
	k.object = object(raw)
	if _, err := fmt.Sscanf(place, "%x", &k.place); err != nil {
		return k, false
	}
	return k, k.file() == file
}

// pieces are the files of a cache that has its directory for itself, and so knows what is there without looking.
type pieces struct {
	dir   string
	limit int64

	mu struct {
		sync.Mutex
		bytes int64
		order list.List // of *entry, the one that was used last in front
		known map[object]map[uint64]*list.Element
	}
}

// entry is a piece that is on disk as far as we know.
type entry struct {
	key   key
	bytes int64
}

// openPieces takes over a directory, with what is in it, until lock is closed.
func openPieces(dir string, limit int64, lock *os.File) (*pieces, error) {
	const op = "cache.New"
	p := &pieces{dir: dir, limit: limit}
	p.mu.known = map[object]map[uint64]*list.Element{}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errs.Errorf(op, errs.Exist, dir, "another process uses it: %w", err)
	}
	all, err := scan(dir, time.Now())
	if err != nil {
		return nil, errs.E(op, errs.Other, dir, err)
	}
	for _, f := range all {
		p.remember(f.entry)
	}
	return p, nil
}

// found is a piece that is on disk.
type found struct {
	entry
	used time.Time // or made
}

// scan finds the pieces below a directory, in the order in which they were used. Of unfinished files it removes those
// that were begun before a time. What goes away meanwhile is not there.
func scan(dir string, begun time.Time) (all []found, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return present(err)
		}
		file, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return present(err)
		}
		k, ok := parseKey(filepath.ToSlash(file))
		switch {
		case ok:
			all = append(all, found{entry{k, info.Size()}, info.ModTime()})
		case strings.HasPrefix(d.Name(), tempName) && info.ModTime().Before(begun):
			return present(os.Remove(path))
		}
		return nil
	})
	slices.SortFunc(all, func(a, b found) int { return a.used.Compare(b.used) })
	return all, err
}

// present is err, unless it says that something is not there.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// has reports whether a piece is there, as far as is known without looking.
func (p *pieces) has(k key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.known[k.object][k.place] != nil
}

// used returns whether a piece is known, and notes that it is of use.
func (p *pieces) used(k key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.mu.known[k.object][k.place]
	if e != nil {
		p.mu.order.MoveToFront(e)
	}
	return e != nil
}

// remember enters a piece that is on disk, and removes others until all fit.
func (p *pieces) remember(e entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.known[e.key.object] == nil {
		p.mu.known[e.key.object] = map[uint64]*list.Element{}
	}
	if old := p.mu.known[e.key.object][e.key.place]; old != nil {
		p.mu.bytes -= p.mu.order.Remove(old).(*entry).bytes
	}
	p.mu.known[e.key.object][e.key.place] = p.mu.order.PushFront(&e)
	for p.mu.bytes += e.bytes; p.mu.bytes > p.limit; {
		p.dropLocked(p.mu.order.Back().Value.(*entry).key)
	}
}

// drop removes a piece.
func (p *pieces) drop(k key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(k)
}

func (p *pieces) dropLocked(k key) {
	e := p.mu.known[k.object][k.place]
	if e == nil {
		return
	}
	p.mu.bytes -= p.mu.order.Remove(e).(*entry).bytes
	if delete(p.mu.known[k.object], k.place); len(p.mu.known[k.object]) == 0 {
		delete(p.mu.known, k.object)
	}
	_ = os.Remove(filepath.Join(p.dir, k.file())) // one that stays is found by the next process
}

// forget removes all pieces of an object.
func (p *pieces) forget(o object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for place := range p.mu.known[o] {
		p.dropLocked(key{o, place})
	}
}

// sums returns what follows a piece's data.
func sums(k key, data []byte) []byte {
	b := make([]byte, 0, (len(data)/chunk+3)*4)
	length := len(data)
	for len(data) > 0 {
		n := min(len(data), chunk)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(data[:n], castagnoli))
		data = data[n:]
	}
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return binary.BigEndian.AppendUint32(b, sealOf(k, b))
}

// sealOf is the checksum over a piece's checksums, its length, and what it is a piece of.
func sealOf(k key, sums []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(k.file()), castagnoli), castagnoli, sums)
}

// keep stores a piece. That it can't is harmless: it will be fetched again.
func (p *pieces) keep(k key, data []byte) {
	if n, ok := put(p.dir, k, data); ok {
		p.remember(entry{k, n})
	}
}

// put makes the file of a piece below a directory, and returns its size.
func put(dir string, k key, data []byte) (size int64, ok bool) {
	path := filepath.Join(dir, k.file())
	temp := filepath.Join(filepath.Dir(path), tempName+rand.Text())
	tail := sums(k, data)
	err := write(temp, data, tail)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // or it was never there
	}
	return int64(len(data) + len(tail)), err == nil
}

func write(temp string, data, tail []byte) error {
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(filepath.Dir(temp), 0o700); err == nil {
			f, err = os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		_, err = f.Write(tail)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// kept is a piece that was found, open.
type kept struct {
	*os.File
	length int64 // of its data
	sums   []byte
}

// find opens a piece. ok is false if there is none that is whole.
func (p *pieces) find(k key) (found kept, ok bool) {
	if !p.used(k) {
		return kept{}, false
	}
	if found, ok = look(p.dir, k); !ok {
		p.drop(k)
	}
	return found, ok
}

// look opens the file of a piece below a directory. ok is false if there is none that is whole.
func look(dir string, k key) (found kept, ok bool) {
	f, err := os.Open(filepath.Join(dir, k.file()))
	if err != nil {
		return kept{}, false
	}
	if found, ok = readSums(f, k); !ok {
		f.Close() // nothing was written
	}
	return found, ok
}

// readSums reads what follows the data of a piece, and checks it.
func readSums(f *os.File, k key) (kept, bool) {
	info, err := f.Stat()
	if err != nil || info.Size() < 12 {
		return kept{}, false
	}
	// The number of checksums follows from the size, as each stands for at most a chunk of data before it.
	size := info.Size() - 8
	n := (size + chunk + 3) / (chunk + 4)
	if n > pieceSize/chunk {
		return kept{}, false
	}
	tail := make([]byte, 4*n+8)
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return kept{}, false
	}
	sums, length := tail[:4*n], int64(binary.BigEndian.Uint32(tail[4*n:]))
	right := length == size-4*n && binary.BigEndian.Uint32(tail[4*n+4:]) == sealOf(k, tail[:4*n+4])
	return kept{f, length, sums}, right
}

// read returns bytes from to to of a piece in buf, which has room for all of it. ok is false if they are not what was
// kept.
func (f kept) read(buf []byte, from, to int64) (data []byte, ok bool) {
	to = min(to, f.length)
	if from >= to {
		return nil, true
	}
	begin, end := from/chunk*chunk, min((to+chunk-1)/chunk*chunk, f.length)
	if _, err := f.ReadAt(buf[:end-begin], begin); err != nil {
		return nil, false
	}
	for at := begin; at < end; at += chunk {
		part := buf[at-begin : min(at+chunk, end)-begin]
		if crc32.Checksum(part, castagnoli) != binary.BigEndian.Uint32(f.sums[at/chunk*4:]) {
			return nil, false
		}
	}
	return buf[from-begin : to-begin], true
}
