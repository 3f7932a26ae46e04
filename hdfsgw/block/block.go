// Package block moves the bytes of files between streams and the objects of a store.
//
// A file is a list of blocks, a block is one object that never changes, or the beginning of one. Copy cuts a stream
// into blocks while it arrives; nothing is buffered but what the store's writer holds, and a block is made durable
// while the next one is written. Write reads any range of such a list.
//
//	blocks/6f/00000012000000a1     the object of a block: two digits of a hash, then its id in hexadecimal
//
// The hash spreads what is written at one time over 256 prefixes, since object stores limit requests per prefix.
//
// While a block is written its checksums are made as HDFS makes them, so that a file's checksum is known without
// reading it: the MD5 of the CRC32Cs of all 512-byte chunks, and the CRC32C of the whole; a file's is made of its
// blocks' (see Checksum and Composite).
//
// A block of more than one grain (64 KiB) has the checksums of its grains behind it, so that a part of it can be
// compared without reading all of it. A smaller block is read whole.
//
//	| bytes of the block | CRC32C of grain 0, 4 bytes | of grain 1 | ...
package block

import (
	"context"
	"fmt"
	"io"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Prefix of the names of all blocks' objects.
const Prefix = "blocks/"

// ObjectName returns the name of a block's object.
func ObjectName(id uint64) store.Name {
	id, _ = namespace.ObjectOf(id)
	const golden = 0x9E3779B97F4A7C15 // spreads neighbours, as Knuth has it
	return store.Name(fmt.Sprintf("%s%02x/%016x", Prefix, byte(id*golden>>56), id))
}

// ParseName is the inverse of ObjectName, for the first block of an object.
func ParseName(name store.Name) (id uint64, ok bool) {
	if len(name) != len(Prefix)+3+16 {
		return 0, false
	}
	if _, err := fmt.Sscanf(string(name[len(Prefix)+3:]), "%x", &id); err != nil {
		return 0, false
	}
	return id, ObjectName(id) == name
}

// written is a block on its way to being durable.
type written struct {
	block namespace.Block
	err   error
}

// Copy writes what r yields as blocks of size bytes, and returns them when they are durable. newID must give ids that
// were never used. If r fails, what came before is kept: Copy returns those blocks and the error. If the store fails,
// the blocks that are returned beside the error are durable, too. Whoever does not use them deletes them with Delete.
func Copy(ctx context.Context, st store.Store, r io.Reader, size int64,
	newID func() uint64) ([]namespace.Block, error) {
	if size < 1 {
		return nil, errs.Errorf("block.Copy", errs.Invalid, nil, "blocks of %d bytes", size)
	}
	var all []namespace.Block
	var before chan written // the commit of the block before, which goes on while the next one is written
	buf := make([]byte, copySize)
	for {
		commit, n, err := copyOne(ctx, st, io.LimitReader(r, size), buf, newID())
		for _, answer := range []chan written{before, commit} {
			if answer == nil || answer == commit && err == nil && n == size {
				continue
			}
			done := <-answer
			if done.err != nil {
				if answer == before && commit != nil {
					discard(ctx, st, commit)
				}
				return all, done.err
			}
			all = append(all, done.block)
		}
		if err != nil || n < size {
			return all, err
		}
		before = commit
	}
}

// discard waits for a block that is being committed behind one that has failed, and deletes it: no file can have it.
func discard(ctx context.Context, st store.Store, commit chan written) {
	if w := <-commit; w.err == nil {
		_ = Delete(context.WithoutCancel(ctx), st, w.block.ID) // one that stays is an orphan, which fsck finds
	}
}

// copySize is a buffer that keeps system calls rare and fits L2.
const copySize = 256 << 10

// Writer makes one block. It is used by one goroutine.
type Writer struct {
	w     store.Writer
	sums  *sums
	block namespace.Block
}

// Create begins a block, whose id was never used. ctx bounds the writing.
func Create(ctx context.Context, st store.Store, id uint64) (*Writer, error) {
	w, err := st.Create(ctx, ObjectName(id))
	return &Writer{w, newSums(), namespace.Block{ID: id}}, err
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.block.Length += int64(n)
	w.sums.Write(p[:n])
	return n, err
}

// Length is how many bytes were written.
func (w *Writer) Length() int64 { return w.block.Length }

// Commit makes the block durable and describes it.
func (w *Writer) Commit(ctx context.Context) (namespace.Block, error) {
	defer w.w.Abort(ctx) // no effect once committed
	grains := w.sums.end(&w.block)
	if hasGrains(w.block) {
		if _, err := w.w.Write(grains); err != nil {
			return w.block, err
		}
	}
	return w.block, w.w.Commit(ctx)
}

// Abort drops the block.
func (w *Writer) Abort(ctx context.Context) error { return w.w.Abort(ctx) }

// copyOne writes one object and begins to commit it; commit is nil if there is nothing to commit.
func copyOne(ctx context.Context, st store.Store, r io.Reader, buf []byte, id uint64) (chan written, int64, error) {
	w, err := Create(ctx, st, id)
	if err != nil {
		return nil, 0, err
	}
	n, err := io.CopyBuffer(onlyWriter{w}, onlyReader{r}, buf)
	if n == 0 {
		abortErr := w.Abort(ctx)
		if err == nil {
			err = abortErr
		}
		return nil, 0, err
	}
	answer := make(chan written, 1)
	go func() {
		b, err := w.Commit(ctx)
		answer <- written{b, err}
	}()
	return answer, n, err
}

// onlyWriter and onlyReader hide shortcuts, so that io.CopyBuffer uses the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// Delete removes the objects of blocks that no file has. It tries all, and returns the first error. Objects that blocks
// share stay, until fsck finds that no file has any of them.
func Delete(ctx context.Context, st store.Store, ids ...uint64) (err error) {
	for _, id := range ids {
		if namespace.IsPacked(id) {
			continue
		}
		if e := st.Delete(ctx, ObjectName(id)); err == nil {
			err = e
		}
	}
	return err
}
