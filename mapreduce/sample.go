package mapreduce

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/mapreduce/text"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// How much of the input is looked at to find ranges of keys.
const (
	samplePlaces = 128
	sampleLength = 16 << 10 // bytes at each place
	sampleKeys   = 1 << 16
	maxCut       = 128 // bytes of a cut; what begins alike stays together
	sampleMemory = 256 << 20
)

// cuts returns the first keys of all but the first of about n ranges that the keys of the job fall into evenly: it runs
// the mapper over lines from many places of the input. The same job gives the same cuts.
func (e *Engine) cuts(ctx context.Context, c checked, n int) ([][]byte, error) {
	var keys keyCollector
	total := max(c.bytes(), 1)
	var done int64
	for _, way := range c.ways {
		first := keys.limit
		for _, f := range way.files {
			done += f.Size
		}
		share := int(float64(sampleKeys)*float64(done)/float64(total)) - first
		if err := e.sample(ctx, way, &keys, share); err != nil {
			return nil, err
		}
	}
	return evenCuts(keys.keys, n, orderOf(c.opts.Key)), nil
}

// sample adds about so many keys of what is read in one way.
func (e *Engine) sample(ctx context.Context, c reading, keys *keyCollector, share int) error {
	budget := arena.New(arena.Options{}).Budget(sampleMemory)
	defer budget.Close()
	first := keys.limit
	place, end, err := e.sampling(ctx, c.opts)
	if err != nil {
		return err
	}
	defer end()
	m, err := (roles{e.job, c.opts}).mapper(ctx, place)
	if err != nil {
		return err
	}
	defer closeFunction(m)
	pieces := places(e.job.ID, c.files)
	for i, p := range pieces {
		keys.limit = first + share*(i+1)/len(pieces)
		o := text.Options{Budget: budget, Buffer: 2 * sampleLength}
		in := newInput(split.NewSource(e.resolve, split.Split{p}), m, o)
		err := in.feed(ctx, m, keys, keys.enough)
		if err != nil && !errors.Is(err, errEnough) {
			return errors.Join(in.blame(ctx, err), in.Close())
		}
		if err := in.Close(); err != nil {
			return err
		}
	}
	keys.limit = first + share
	return failed("mapreduce.Plan", nil, cleanup(m, keys)) // which also hands out what a child process still has
}

// sampling is what the mapper is told that sees the sample, and what ends it. It needs a folder of its own only to find
// the job's files in.
func (e *Engine) sampling(ctx context.Context, opts Options) (in instance, end func(), err error) {
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "sample"}}
	in = instance{id: id, env: sampleEnv{attemptEnv{silent{}, id, opts.Set, nil}}}
	if len(e.job.Files) == 0 {
		return in, func() {}, nil
	}
	if in.dir, err = os.MkdirTemp("", "runner-sample-"); err != nil {
		return in, nil, errs.E("mapreduce.Plan", errs.Other, nil, err)
	}
	end = func() { _ = os.RemoveAll(in.dir) } // what is left is in a folder that the system cleans
	node := cache.NewNode(filepath.Join(in.dir, cache.Folder), e.store, e.resolve, cache.Options{})
	if in.files, err = node.Files(ctx, e.job); err != nil {
		end()
		return in, nil, err
	}
	in.env = sampleEnv{attemptEnv{silent{}, id, opts.Set, in.files}}
	return in, end, nil
}

// sampleEnv is the attemptEnv of a mapper whose keys alone matter.
type sampleEnv struct{ attemptEnv }

// EmitTo implements functions.Outputs.
func (sampleEnv) EmitTo(string, []byte, []byte) error { return nil }

// places returns pieces of files at random places.
func places(job scheduler.JobID, files []split.File) []split.Piece {
	var total int64
	for _, f := range files {
		total += f.Size
	}
	var at []int64
	if total <= samplePlaces*sampleLength {
		for o := int64(0); o < total; o += sampleLength {
			at = append(at, o)
		}
	} else {
		h := fnv.New64a()
		h.Write([]byte(job))
		random := rand.New(rand.NewPCG(h.Sum64(), 0))
		for range samplePlaces {
			at = append(at, random.Int64N(total))
		}
		slices.Sort(at)
	}
	var pieces []split.Piece
	var begin int64 // of file i among all
	i := 0
	for _, o := range at {
		for o-begin >= files[i].Size {
			begin += files[i].Size
			i++
		}
		f := files[i]
		if f.Compressed() { // where a place in it is cannot be known without reading what is before
			if n := len(pieces); n == 0 || pieces[n-1].File != f {
				pieces = append(pieces, split.Piece{File: f, Length: f.Size})
			}
			continue
		}
		pieces = append(pieces, split.Piece{File: f, Offset: o - begin, Length: min(sampleLength, f.Size-(o-begin))})
	}
	return pieces
}

// keyCollector is an Emitter that keeps keys up to a limit.
type keyCollector struct {
	keys  [][]byte
	limit int
}

func (k *keyCollector) Emit(key, _ []byte) error {
	if len(k.keys) < k.limit {
		k.keys = append(k.keys, bytes.Clone(key[:min(len(key), maxCut)]))
	}
	return nil
}

var errEnough = errors.New("enough keys")

// enough returns errEnough when the limit is reached.
func (k *keyCollector) enough() error {
	if len(k.keys) < k.limit {
		return nil
	}
	return errEnough
}

// evenCuts returns at most n-1 different keys that divide the sample evenly, in order.
func evenCuts(keys [][]byte, n int, compare func(a, b []byte) int) [][]byte {
	slices.SortFunc(keys, compare)
	var cuts [][]byte
	for i := 1; i < n && len(keys) > 0; i++ {
		k := keys[share(int64(len(keys)), i, n)]
		if len(k) > 0 && (len(cuts) == 0 || !bytes.Equal(k, cuts[len(cuts)-1])) {
			cuts = append(cuts, k)
		}
	}
	return cuts
}

// orderOf returns the comparison of keys.
func orderOf(o functions.KeyOrder) func(a, b []byte) int {
	if compare := o.Compare(); compare != nil {
		return compare
	}
	return bytes.Compare
}

// rangeOf returns a partition function for cuts. Keys of one group are in one partition.
func rangeOf(cuts [][]byte, order functions.KeyOrder) func(key []byte) int {
	compare := orderOf(order)
	return func(key []byte) int {
		i, found := slices.BinarySearchFunc(cuts, order.GroupOf(key), compare)
		if found {
			i++
		}
		return i
	}
}

// silent is a Reporter for work that is no attempt.
type silent struct{}

func (silent) Progress(int64)              {}
func (silent) Count(string, string, int64) {}
func (silent) Status(string)               {}
func (silent) Logf(string, ...any)         {}
