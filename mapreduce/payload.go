package mapreduce

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/merge"
	"github.com/seed3322913c/runner/scheduler"
)

// The names of the stages.
const (
	mapStage    = "map"
	reduceStage = "reduce"
)

// partBase begins the names of the files of the output, but for those of named outputs.
const partBase = "part"

// partName returns the name of a file of output, as Hadoop has it: kind is m for maps, r for reduces.
func partName(kind string, index int) string { return namedPart(partBase, kind, index) }

func namedPart(base, kind string, index int) string {
	return fmt.Sprintf("%s-%s-%05d", base, kind, index)
}

// shuffling says how a map divides its output.
type shuffling struct {
	Partitions int      `json:"partitions"`     // 0: the job is map-only
	Cuts       [][]byte `json:"cuts,omitempty"` // for total order: the first key of each partition but the first
}

// mapPayload is what a map attempt is told.
type mapPayload struct {
	Split   []byte    `json:"split"`         // split.Split, encoded
	Way     int       `json:"way,omitempty"` // which of Options.Inputs it is of
	Shuffle shuffling `json:"shuffle"`
}

// mapResult is what a map attempt has done.
type mapResult struct {
	Bytes      int64 `json:"bytes"` // of its split that were read
	Records    int64 `json:"records"`
	Emitted    int64 `json:"emitted"`
	CombineIn  int64 `json:"combineIn,omitempty"`
	CombineOut int64 `json:"combineOut,omitempty"`

	// With reducers:
	Left   int64  `json:"left,omitempty"`   // records in the segment
	Stored int64  `json:"stored,omitempty"` // bytes of the segment
	Values string `json:"values,omitempty"` // functions.ValueKind of what the mapper emits
	Sizes  []byte `json:"sizes,omitempty"`  // bytes of records in each bin: see appendSizes

	// Without:
	Part *writtenPart `json:"part,omitempty"`

	Named []writtenPart `json:"named,omitempty"` // of named outputs
	Bad   *writtenPart  `json:"bad,omitempty"`   // what was left out
}

// writtenPart is a file of the output that waits for its commit.
type writtenPart struct {
	commit.Part
	Records int64 `json:"records"`
}

// reducePayload is what a reduce attempt is told.
type reducePayload struct {
	span
	Bytes   int64    `json:"bytes"`             // about how many bytes of records that is
	Values  string   `json:"values"`            // functions.ValueKind of the values
	Nodes   []string `json:"nodes"`             // shuffle addresses
	Maps    [][2]int `json:"maps"`              // for each map that is read: index into Nodes, number of the attempt
	Without []int    `json:"without,omitempty"` // the maps that the job goes on without, ascending
	Merge   int      `json:"merge,omitempty"`   // see mergedMaps
}

// tasks returns the number of the task of each of Maps.
func (p reducePayload) tasks() []int {
	tasks := make([]int, 0, len(p.Maps))
	for i, without := 0, p.Without; len(tasks) < len(p.Maps); i++ {
		if len(without) > 0 && without[0] == i {
			without = without[1:]
			continue
		}
		tasks = append(tasks, i)
	}
	return tasks
}

// reduceResult is what a reduce attempt has done.
type reduceResult struct {
	Segments int64       `json:"segments"` // partitions of maps that were read with the right checksum
	Records  int64       `json:"records"`
	Groups   int64       `json:"groups"`
	Stored   int64       `json:"stored"`        // bytes of the segments
	Hot      []merge.Hot `json:"hot,omitempty"` // keys with the most records
	Part     writtenPart `json:"part"`

	Named []writtenPart `json:"named,omitempty"` // of named outputs
	Bad   *writtenPart  `json:"bad,omitempty"`   // what was left out
}

// maxBins bounds the sizes in a mapResult: 4 bytes for each are 16 KiB.
const maxBins = 4096

// binOf returns the bin of a partition. Up to maxBins each partition has its own.
func binOf(partition, partitions int) int {
	if partitions <= maxBins {
		return partition
	}
	return int(int64(partition) * maxBins / int64(partitions))
}

// appendSizes encodes the sizes of bins, in units of 1/64 KiB rounded up to keep them short.
func appendSizes(b []byte, sizes []int64) []byte {
	for _, s := range sizes {
		b = binary.AppendUvarint(b, uint64((s+sizeUnit-1)/sizeUnit))
	}
	return b
}

const sizeUnit = 16

// addSizes adds what appendSizes encoded to sums.
func addSizes(sums []int64, b []byte) error {
	for i := range sums {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<56 {
			return errs.Errorf("mapreduce.Cut", errs.Corrupt, nil, "sizes end after %d of %d", i, len(sums))
		}
		sums[i] += int64(v) * sizeUnit
		b = b[n:]
	}
	return nil
}

// encode is for values of this package, which always can be.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, errs.E("mapreduce.Encode", errs.Internal, nil, err)
	}
	return b, nil
}

// decode reads what another process of this program wrote with encode.
func decode[T any](of scheduler.AttemptID, b []byte) (T, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return v, errs.E("mapreduce.Decode", errs.Corrupt, of, err)
	}
	return v, nil
}
