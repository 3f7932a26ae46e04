package mapreduce

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/scheduler"
)

// segments are a reducer's partitions of all maps.
type segments struct {
	task    *task
	payload reducePayload
	tasks   []int            // numbers of the maps that are read
	ranges  []*segment.Range // of each of them
	budget  *arena.Budget    // of what was fetched
	raw     atomic.Int64     // bytes of records that were
}

func newSegments(t *task, p reducePayload) *segments {
	return &segments{
		task: t, payload: p, tasks: p.tasks(), ranges: make([]*segment.Range, len(p.Maps)), budget: t.pool.Budget(0),
	}
}

// attempt returns the attempt that made range i.
func (s *segments) attempt(i int) scheduler.AttemptID {
	return scheduler.AttemptID{Task: scheduler.TaskID{Stage: mapStage, Index: s.tasks[i]}, N: s.payload.Maps[i][1]}
}

// gather opens what lies on this node's disk and fetches the rest, into memory as far as half of the attempt's goes.
// Small segments are read merged.
func (s *segments) gather(ctx context.Context) error {
	single, blocks := s.blocks()
	remote, err := s.openLocal(single)
	if err != nil {
		return err
	}
	const rounding = 8 << 10 // of each segment, at most
	share := float64(s.payload.Bytes) * float64(len(s.ranges)-len(single)+len(remote)) / float64(max(len(s.ranges), 1))
	want := int64(share*9/8) + rounding*int64(len(remote)+len(blocks))
	s.budget = s.task.pool.Budget(min(want, s.task.memory/2))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.task.Body.opts.Fetches)
	for _, i := range remote {
		g.Go(func() error { return s.fetch(ctx, i) })
	}
	for _, block := range blocks {
		g.Go(func() error { return s.getMerged(ctx, block) })
	}
	return g.Wait()
}

// blocks divides the maps into those that are fetched each alone, and those of which a node merges what they left.
func (s *segments) blocks() (single []int, blocks [][]int) {
	type place struct{ block, node int }
	all := map[place][]int{}
	for i, m := range s.payload.Maps {
		if s.payload.Merge == 0 {
			single = append(single, i)
			continue
		}
		at := place{s.tasks[i] / s.payload.Merge, m[0]}
		all[at] = append(all[at], i)
	}
	for _, block := range all {
		for some := range slices.Chunk(block, shuffle.MaxMerged) {
			if len(some) == 1 {
				single = append(single, some...)
			} else {
				blocks = append(blocks, some)
			}
		}
	}
	return single, blocks
}

// fetch fetches the partitions of one map.
func (s *segments) fetch(ctx context.Context, i int) error {
	r, err := s.task.fetcher().Fetch(ctx, s.source(i), s.into())
	if err == nil {
		s.fetched(i, r)
	}
	return err
}

// getMerged gets the partitions of several maps of one node, each alone if what was merged is no good.
func (s *segments) getMerged(ctx context.Context, block []int) error {
	ranges, err := s.merged(ctx, block)
	if err == nil {
		for n, i := range block {
			s.fetched(i, ranges[n])
		}
		s.task.count("MERGED_MAP_OUTPUTS", int64(len(block)))
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	remote, localErr := s.openLocal(block)
	lost, blamed := errors.AsType[*scheduler.InputLost](err)
	switch {
	case localErr != nil:
		return localErr
	case len(remote) > 0 && blamed && !lost.Sure:
		return err // the node is out of reach, and would be once more for each
	}
	s.task.r.Logf("merged map output cannot be used, each is read alone: %v", err)
	for _, i := range remote {
		if err := s.fetch(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// merged reads what this node has merged, or fetches what another has.
func (s *segments) merged(ctx context.Context, block []int) ([]*segment.Range, error) {
	attempts := make([]scheduler.AttemptID, len(block))
	for n, i := range block {
		attempts[n] = s.attempt(i)
	}
	dir := filepath.Dir(s.task.Dir)
	_, err := os.Stat(filepath.Join(dir, attempts[0].String()))
	if err == nil && !s.task.Body.opts.NoLocal {
		return shuffle.ReadMerged(dir, attempts, s.payload.Lo, s.payload.Hi, s.into())
	}
	return s.task.client.FetchMerged(ctx, s.source(block[0]), attempts, s.into())
}

func (s *segments) into() segment.ReceiveOptions {
	return segment.ReceiveOptions{Budget: s.budget, Dir: s.task.Scratch}
}

// fetched takes in what map i left.
func (s *segments) fetched(i int, r *segment.Range) {
	s.ranges[i] = r
	s.task.r.Progress(s.raw.Add(r.Index().Raw()) / 2)
}

// openLocal opens what lies beside this attempt's own directory, and returns the maps whose output does not.
func (s *segments) openLocal(maps []int) (remote []int, err error) {
	for _, i := range maps {
		if s.task.Body.opts.NoLocal {
			remote = append(remote, i)
			continue
		}
		dir := filepath.Join(filepath.Dir(s.task.Dir), s.attempt(i).String())
		s.ranges[i], err = segment.Open(dir, s.payload.Lo, s.payload.Hi)
		switch errs.KindOf(err) {
		case errs.NotFound:
			remote = append(remote, i)
		case errs.Corrupt:
			return nil, s.lost(i, err)
		default:
			if err != nil {
				return nil, err
			}
		}
	}
	return remote, nil
}

func (s *segments) source(i int) shuffle.Source {
	return shuffle.Source{
		Node: s.payload.Nodes[s.payload.Maps[i][0]], Job: s.task.Job.ID, Attempt: s.attempt(i),
		Lo: s.payload.Lo, Hi: s.payload.Hi, Secret: s.task.Secret,
	}
}

func (s *segments) lost(i int, err error) error {
	return &scheduler.InputLost{Attempt: s.attempt(i), Sure: true, Err: err}
}

// blame finds out whose segment is damaged, if damage is what err is about. What came through the network was compared
// with its checksums when it came, what lies on this disk only while it was read.
func (s *segments) blame(err error) error {
	if errs.KindOf(err) != errs.Corrupt {
		return err
	}
	for i, r := range s.ranges {
		if damage := verify(r); errs.KindOf(damage) == errs.Corrupt {
			return s.lost(i, damage)
		}
	}
	return err
}

// verify reads all of a range.
func verify(r *segment.Range) error {
	x := r.Index()
	in := r.Reader(x.First, x.First+len(x.Parts))
	for _, p := range x.Parts {
		var err error
		for err == nil {
			_, err = in.Next()
		}
		if errors.Is(err, io.EOF) {
			err = in.End(p.Records)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// folded reports whether the segments are of layout Folded.
func (s *segments) folded() bool {
	return len(s.ranges) > 0 && s.ranges[0].Index().Layout == segment.Folded
}

// sum adds up something of all segments.
func (s *segments) sum(of func(segment.Index) int64) (n int64) {
	for _, r := range s.ranges {
		n += of(r.Index())
	}
	return n
}

// close frees memory and files.
func (s *segments) close() {
	for _, r := range s.ranges {
		if r != nil {
			_ = r.Close() // files that were only read, in a directory that goes with the attempt
		}
	}
	s.budget.Close()
}
