package mapreduce

import (
	"math/bits"

	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/scheduler"
)

// Sizes that decide how a job is divided.
const (
	bytesPerPartition = 1 << 20  // of input, for folded values: then the keys of one partition fit a table in L2
	minFoldPartitions = 16       // folded values, small input
	perReducer        = 4        // partitions for each reducer that is likely, else, so that reducers can be evened out
	maxPartitions     = maxBins  // that are chosen; more only if more reducers are asked for
	minPerReducer     = 4 << 20  // bytes below which one more reducer costs more than it brings
	minMemory         = 64 << 20 // that a reducer is taken to have, whatever the job says
)

// shape is what the division of a job depends on.
type shape struct {
	slots  int   // reducers that run at a time
	memory int64 // of each, in bytes
	exact  int   // reducers wished for; -1: not said
	folds  bool  // values are folded, and keys are unsorted until they are reduced
	ranges bool  // partitions are ranges of keys
}

func shapeOf(job scheduler.Job, opts Options, slots int, folds bool) shape {
	s := shape{slots: max(slots, 1), exact: -1, folds: folds, ranges: opts.Partitioner == TotalOrderPartitioner}
	if n, ok := opts.Reducers.Exact(); ok {
		s.exact = n
	}
	s.memory = max(job.Resources.Memory/int64(max(job.Resources.CPU, 1)), minMemory)
	return s
}

// reducers returns how many reducers there should be for so many bytes of records. A reducer that can hold its input in
// half of its memory needs no disk.
func (s shape) reducers(bytes int64) int {
	if s.exact >= 0 {
		return s.exact
	}
	n := int(min(bytes/(s.memory/2)+1, maxPartitions))
	if bytes >= int64(s.slots)*minPerReducer {
		n = (n + s.slots - 1) / s.slots * s.slots // whole waves
	}
	return n
}

// partitions returns into how many partitions the maps of so many bytes of input divide what they put out.
func (s shape) partitions(bytes int64) int {
	n := s.reducers(bytes)
	switch {
	case s.folds:
		n = max(n, minFoldPartitions, int(min(bytes/bytesPerPartition, maxPartitions)))
		return 1 << bits.Len(uint(n-1)) // as its collector needs it
	case s.exact >= 0 && !s.ranges:
		return n // nothing can be evened out if the number of reducers is the user's
	}
	return max(n, min(n*perReducer, maxPartitions))
}

// mapped is what the maps of a job have put out together.
type mapped struct {
	partitions  int
	sizes       []int64 // of records in bytes, of each bin of partitions
	values      string  // functions.ValueKind
	bad, stored int64   // records left out; bytes on the nodes' disks
	maps        []scheduler.Output
}

// sumOf adds up what the maps have said that were not given up.
func sumOf(maps []scheduler.Output, partitions int) (mapped, error) {
	all := mapped{partitions: partitions, sizes: make([]int64, min(partitions, maxBins))}
	for _, m := range maps {
		if givenUp(m) {
			continue
		}
		r, err := decode[mapResult](m.Attempt, m.Data)
		if err == nil {
			err = addSizes(all.sizes, r.Sizes)
		}
		if err != nil {
			return mapped{}, err
		}
		if r.Bad != nil {
			all.bad += r.Bad.Records
		}
		all.values = r.Values
		all.stored += r.Stored
		all.maps = append(all.maps, m)
	}
	return all, nil
}

// bytes are those of all records.
func (m mapped) bytes() (sum int64) {
	for _, s := range m.sizes {
		sum += s
	}
	return sum
}

// cut gives each of n reducers its partitions.
func (m mapped) cut(n int) reducePlan {
	plan := reducePlan{Values: m.values, Bytes: make([]int64, n)}
	if m.partitions == len(m.sizes) {
		plan.Spans = balance(m.sizes, n)
	} else {
		plan.Spans = even(m.partitions, n)
	}
	for i, s := range plan.Spans {
		for p := s.Lo; p < s.Hi; p++ {
			bin := binOf(p, m.partitions)
			plan.Bytes[i] += m.sizes[bin] * int64(len(m.sizes)) / int64(m.partitions)
		}
	}
	return plan
}

// Sizes that decide whether nodes merge what maps have left. To fetch a segment by a request of its own takes as long
// as 100 KB take to be copied (docs/performance.md).
const (
	smallSegment = 64 << 10  // mean bytes that one reducer gets of one map, above which merging does not pay
	fewSegments  = 1000      // up to which it saves less than a tenth of a second
	goodSegment  = 256 << 10 // bytes that one request should bring
	maxMerged    = 128 << 20 // bytes of a merged segment, so that nobody waits long for it
	maxParts     = 1 << 16   // partitions in it, so that servers need little memory for its index
)

// mergedMaps returns how many neighbouring maps form a block whose outputs each node merges for the reducers, among
// those of them that ran on it; 0: none. A block depends on nothing that changes when a map is run again, so that then
// only one is merged anew.
func mergedMaps(maps []scheduler.Output, reducers, partitions int, stored int64) int {
	segments := int64(len(maps)) * int64(reducers)
	if segments <= fewSegments || stored/segments >= smallSegment {
		return 0
	}
	nodes := map[string]bool{}
	for _, m := range maps {
		nodes[m.Node] = true
	}
	each := goodSegment / (stored/segments + 1)
	each = min(each, maxMerged/(stored/int64(len(maps))+1), int64(maxParts/partitions), shuffle.MaxMerged)
	if each < 2 {
		return 0
	}
	return int(each) * len(nodes)
}

// span is a run of partitions, Lo to Hi-1.
type span struct {
	Lo int `json:"lo"`
	Hi int `json:"hi"`
}

// balance divides len(sizes) partitions among n reducers: neighbouring ones go together, and each reducer gets about
// the same sum of sizes. Every partition is in exactly one span; a span may be empty.
func balance(sizes []int64, n int) []span {
	var total int64
	for _, s := range sizes {
		total += s
	}
	spans := make([]span, n)
	at, done := 0, int64(0)
	for i := range spans {
		spans[i].Lo = at
		left := n - 1 - i // reducers after this one, each of which should get a partition if there are enough
		goal := share(total, i+1, n)
		for at < len(sizes) && len(sizes)-at > left {
			// A partition that goes beyond the goal is taken if most of it lies before.
			if i < n-1 && at > spans[i].Lo && done+sizes[at]/2 >= goal {
				break
			}
			done += sizes[at]
			at++
		}
		spans[i].Hi = at
	}
	return spans
}

// even divides partitions by their number alone.
func even(partitions, n int) []span {
	spans := make([]span, n)
	for i := range spans {
		spans[i] = span{int(share(int64(partitions), i, n)), int(share(int64(partitions), i+1, n))}
	}
	return spans
}

// share returns where part i of n ends, without the overflow of total*i/n.
func share(total int64, i, n int) int64 {
	return total/int64(n)*int64(i) + total%int64(n)*int64(i)/int64(n)
}
