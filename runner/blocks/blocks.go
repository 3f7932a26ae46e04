// Package blocks keeps the input of jobs on the machines that have read it, so that the next job over the same files
// reads it from the disk, and says which machine that is likely to be.
//
// Who has what is in no list. A split of the input belongs to a few of the fleet's machines, by its name and theirs
// alone (rendezvous hashing): jobs come back to where their predecessors were, also after the application master that
// knew them is gone, and a machine that joins or leaves moves no other's splits.
//
//	plan     Near ────▶ Task.Hosts ────▶ the application master waits a little for an executor there
//	map      Keep ────▶ infra/store/cache in <home>/blocks: checksums, a limit, the oldest go first
//
// All executors of a machine, of whichever job, share the one folder. An object is kept under its name and version, for
// which the store is asked each time: what has changed is never served.
package blocks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/cache"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

// copies is how many machines a split belongs to: a second one, for when the first is busy.
const copies = 2

// stretch is how much of a file belongs to the same machines, in bytes, whatever a job's splits are.
const stretch = 64 << 20

// Near returns the machines that a split belongs to, best first.
func Near(machines []string, s split.Split) []string {
	if len(s) == 0 {
		return nil
	}
	what := fmt.Sprintf("%s %d", s[0].URI, s[0].Offset/stretch)
	score := func(machine string) uint64 {
		h := fnv.New64a()
		io.WriteString(h, machine+" "+what) // never fails
		return mix(h.Sum64())
	}
	all := slices.Clone(machines)
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(score(b), score(a)), strings.Compare(a, b))
	})
	return all[:min(copies, len(all))]
}

// mix spreads what a hash of texts that end alike has in few bits (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// The counters of an attempt, in bytes of its input.
const (
	CounterGroup = "Block cache"
	FromDisk     = "BYTES_FROM_DISK"
	FromStore    = "BYTES_FROM_STORE"
)

// Keeper is a Body whose input is kept.
type Keeper struct {
	scheduler.Body
}

// Run implements scheduler.Body.
func (k Keeper) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	return k.Body.Run(context.WithValue(ctx, attempt{}, r), a, r)
}

// attempt is the key of the Reporter of the attempt that reads.
type attempt struct{}

// Options may be left zero.
type Options struct {
	Limit int64 // bytes on the machine's disk; 4 GiB
}

// Keep returns resolve with what is read of buckets kept in a folder of this machine, which its executors share: what
// one has read the others need not fetch. What it returns second ends that, when nothing is read any more.
func Keep(resolve store.Resolve, folder string, o Options) (store.Resolve, func()) {
	k := &keep{folder: folder, limit: cmp.Or(o.Limit, 4<<30), open: map[store.Store]*bucket{}}
	return func(ctx context.Context, uri string) (store.Store, store.Name, error) {
		st, name, err := resolve(ctx, uri)
		place, ok := strings.CutPrefix(uri, "s3://")
		if err != nil || !ok {
			return st, name, err
		}
		authority, _, _ := strings.Cut(place, "/")
		kept, err := k.of(st, authority)
		return kept, name, err
	}, k.close
}

// keep is the blocks of one process.
type keep struct {
	folder string
	limit  int64

	mu   sync.Mutex
	open map[store.Store]*bucket
}

// of returns a bucket with the machine's blocks.
func (k *keep) of(st store.Store, name string) (store.Store, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if b, ok := k.open[st]; ok {
		return b, nil
	}
	kept, err := cache.New(versions{st}, k.folder, cache.Options{Limit: k.limit, Shared: true})
	if err != nil {
		return nil, errs.E("blocks.Keep", errs.Other, k.folder, err)
	}
	uploads, _ := store.MultipartOf(st)
	k.open[st] = &bucket{st, uploads, name, kept}
	return k.open[st], nil
}

func (k *keep) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.open {
		_ = b.kept.Close() // what is not written is fetched again
	}
}

// bucket is a store whose objects are kept.
type bucket struct {
	store.Store
	store.Multipart // of the same; nil if it takes no uploads
	name            string
	kept            *cache.Store
}

// Unwrap implements store.Wrapper.
func (b *bucket) Unwrap() store.Store { return b.Store }

// Open implements store.Store.
func (b *bucket) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	info, err := b.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	count, _ := ctx.Value(attempt{}).(scheduler.Reporter)
	body := &known{info: info, count: count}
	if info.Version == "" || info.Size == 0 {
		body.ReadCloser, err = b.Store.Open(ctx, name, r)
		return body, err
	}
	versioned := store.Name(fmt.Sprintf("%x/%s/%s", info.Version, b.name, name))
	body.ReadCloser, err = b.kept.Open(context.WithValue(ctx, fetched{}, &body.fetched), versioned, r)
	return body, err
}

// fetched is the key of the number of bytes that came from the store.
type fetched struct{}

// known is the content of an object of which it is known what it is.
type known struct {
	io.ReadCloser
	info    store.Info
	count   scheduler.Reporter // nil: nobody wants to know
	read    int64
	fetched int64
}

// Info implements store.Reader.
func (k *known) Info() (store.Info, error) { return k.info, nil }

func (k *known) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	k.read += int64(n)
	return n, err
}

// Close tells where the bytes were that were read. Pieces are fetched whole, so more may be fetched than is read.
func (k *known) Close() error {
	if k.count != nil {
		missed := min(k.read, k.fetched)
		k.count.Count(CounterGroup, FromStore, missed)
		k.count.Count(CounterGroup, FromDisk, k.read-missed)
	}
	k.count = nil
	return k.ReadCloser.Close()
}

// versions is a bucket whose names begin with the version that is meant, and with the bucket's own name.
type versions struct{ store.Store }

// plain takes a name apart.
func plain(name store.Name) (version string, rest store.Name) {
	version, text, _ := strings.Cut(string(name), "/")
	_, text, _ = strings.Cut(text, "/")
	return version, store.Name(text)
}

// Open implements store.Store. What is no longer the version that is meant is not read.
func (v versions) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	version, name := plain(name)
	body, err := v.Store.Open(ctx, name, r)
	if err != nil {
		return nil, err
	}
	if k, ok := body.(store.Reader); ok {
		info, err := k.Info()
		if err == nil && fmt.Sprintf("%x", info.Version) != version {
			err = errs.Errorf("blocks.Open", errs.Unavailable, name, "it was replaced while it was read")
		}
		if err != nil {
			return nil, errors.Join(err, body.Close())
		}
	}
	count, _ := ctx.Value(fetched{}).(*int64)
	return &counted{body, count}, nil
}

// Stat implements store.Store.
func (v versions) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	_, name = plain(name)
	return v.Store.Stat(ctx, name)
}

// counted counts what is read of it.
type counted struct {
	io.ReadCloser
	n *int64 // nil: nobody wants to know
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.n != nil {
		*c.n += int64(n)
	}
	return n, err
}
