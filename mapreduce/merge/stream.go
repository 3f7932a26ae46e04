package merge

import (
	"errors"
	"io"
	"math"

	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Source is one partition of a range: sorted records.
type Source struct {
	Range *segment.Range
	Part  int
}

// stream reads a source record by record.
type stream struct {
	segment.Record        // the current one, valid until next
	prefix         uint64 // of its key; the highest one after the end
	ended          bool
	layout         segment.Layout
	reader         *segment.Reader
	payload        []byte // what is left of the current block
	records        int64
}

func newStream(s Source) *stream {
	return &stream{reader: s.Range.Reader(s.Part, s.Part+1), layout: s.Range.Index().Layout}
}

// next reads the next record, or sets ended.
func (s *stream) next() (err error) {
	for len(s.payload) == 0 {
		s.payload, err = s.reader.Next()
		if errors.Is(err, io.EOF) {
			s.ended, s.prefix, s.Record = true, math.MaxUint64, segment.Record{}
			return s.reader.End(s.records)
		}
		if err != nil {
			return err
		}
	}
	if s.Record, s.payload, err = s.layout.Next(s.payload); err != nil {
		return err
	}
	s.prefix = segment.Prefix(s.Key, 0)
	s.records++
	return nil
}
