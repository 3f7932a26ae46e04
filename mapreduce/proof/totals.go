package proof

import "github.com/seed3322913c/runner/infra/errs"

// Totals are sums over the attempts whose results were taken, exactly one for each task.
type Totals struct {
	SplitsPlanned int64 `json:"splitsPlanned"`
	SplitsRead    int64 `json:"splitsRead"`   // map attempts that read their split to its end
	BytesPlanned  int64 `json:"bytesPlanned"` // size of the input when the job was planned
	BytesRead     int64 `json:"bytesRead"`    // lengths of the pieces that were read; overlaps and gaps would show
	InputRecords  int64 `json:"inputRecords"`

	SplitsGivenUp int64 `json:"splitsGivenUp,omitempty"` // of maps that failed for good, as the job allows
	BytesGivenUp  int64 `json:"bytesGivenUp,omitempty"`

	MapOutputRecords     int64 `json:"mapOutputRecords"` // emitted by mappers
	CombineInputRecords  int64 `json:"combineInputRecords"`
	CombineOutputRecords int64 `json:"combineOutputRecords"`

	Reduces         int64 `json:"reduces"`         // reduce tasks; 0: the job is map-only
	SegmentsPlanned int64 `json:"segmentsPlanned"` // maps times partitions
	SegmentsRead    int64 `json:"segmentsRead"`    // whose checksum a reducer has seen to be right
	SegmentRecords  int64 `json:"segmentRecords"`  // that maps left for reducers
	SegmentBytes    int64 `json:"segmentBytes"`

	ReduceInputRecords int64 `json:"reduceInputRecords"`
	ReduceInputGroups  int64 `json:"reduceInputGroups"`

	OutputRecords int64 `json:"outputRecords"`          // in all files of the output
	NamedRecords  int64 `json:"namedRecords,omitempty"` // of these in named outputs
	OutputBytes   int64 `json:"outputBytes"`

	BadRecords int64 `json:"badRecords,omitempty"` // records and groups that functions failed at, kept in Bad
}

// Check fails with errs.Corrupt if the totals do not balance:
//
//	splits planned           = splits read + splits given up
//	bytes planned            = bytes read + bytes given up
//	maps out - combine in + combine out = records in segments       (each pass of a combiner takes some and leaves fewer)
//	records in segments      = records into reduces
//	segments planned         = segments read with the right checksum      (planned: of the splits that were read)
//
// and for a job without reducers, instead of the last three: maps out + records for named outputs = output.
func (t Totals) Check() error {
	type equation struct {
		left, right         int64
		leftName, rightName string
	}
	equations := []equation{
		{t.SplitsPlanned, t.SplitsRead + t.SplitsGivenUp, "splits planned", "splits read or given up"},
		{t.BytesPlanned, t.BytesRead + t.BytesGivenUp, "bytes of input planned", "bytes read or given up"},
	}
	if t.Reduces == 0 {
		equations = append(equations,
			equation{t.MapOutputRecords + t.NamedRecords, t.OutputRecords, "records out of maps", "records in the output"})
	} else {
		equations = append(equations,
			equation{t.MapOutputRecords - t.CombineInputRecords + t.CombineOutputRecords, t.SegmentRecords,
				"records out of maps after combining", "records in segments"},
			equation{t.SegmentRecords, t.ReduceInputRecords, "records in segments", "records into reduces"},
			equation{t.SegmentsPlanned, t.SegmentsRead, "segments planned", "segments read"})
	}
	for _, e := range equations {
		if e.left != e.right {
			return errs.Errorf("proof.Check", errs.Corrupt, nil, "%d %s but %d %s", e.left, e.leftName, e.right, e.rightName)
		}
	}
	return nil
}
