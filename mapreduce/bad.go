package mapreduce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/proof"
)

// MaxSkipBad is how many bad records a job can leave out at most.
const MaxSkipBad = 10_000

// badRecord is a line of the files in proof.Bad: a record, or a group of a reducer, that a function failed at.
type badRecord struct {
	Task   string      `json:"task"`
	Split  string      `json:"split,omitempty"` // of a map
	File   string      `json:"file,omitempty"`
	Offset *int64      `json:"offset,omitempty"` // of the record in its file, in bytes; nil: not known
	Number int64       `json:"number"`           // of the record in its split, or of the group in its part, from 1
	Error  string      `json:"error"`
	Key    *bytesText  `json:"key,omitempty"`
	Value  *bytesText  `json:"value,omitempty"`
	Values []bytesText `json:"values,omitempty"` // of a group, up to maxBadValues bytes
	Cut    bool        `json:"cut,omitempty"`    // there were more values
}

// maxBadValues bounds the values of a bad group that are kept, in bytes.
const maxBadValues = 1 << 20

// bytesText is bytes in JSON: a string, or {"base64": ...} if they are no UTF-8.
type bytesText []byte

// MarshalJSON implements json.Marshaler.
func (t bytesText) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return json.Marshal(string(t))
	}
	return json.Marshal(map[string][]byte{"base64": t})
}

// badGroup keeps a group that is left out. Numbers of engines stay as these encode them.
func badGroup(at int64, key []byte, values functions.Values) badRecord {
	k := bytesText(bytes.Clone(key))
	b := badRecord{Number: at + 1, Key: &k}
	for size := 0; values.Next(); {
		if size += len(values.Value()); size > maxBadValues {
			b.Cut = true
			break
		}
		b.Values = append(b.Values, bytes.Clone(values.Value()))
	}
	return b
}

// quarantine writes the bad records of an attempt. It returns nil if there are none.
func (t *task) quarantine(ctx context.Context, n *narrowing, bad []badRecord) (*writtenPart, error) {
	if len(bad) == 0 {
		return nil, nil
	}
	out, err := commit.New(ctx, t.Job, t.resolve)
	if err != nil {
		return nil, err
	}
	part, err := out.Create(ctx, t.ID, fmt.Sprintf("%s/%s.jsonl", proof.Bad, t.ID.Task))
	if err != nil {
		return nil, err
	}
	defer part.Abort(ctx) // no effect once committed
	for _, b := range bad {
		b.Task, b.Error = t.ID.Task.String(), n.why[b.Number-1]
		line, err := json.Marshal(b)
		if err != nil {
			return nil, errs.E("mapreduce.Bad", errs.Internal, t.ID, err)
		}
		if _, err := part.Write(append(line, '\n')); err != nil {
			return nil, err
		}
	}
	p, err := part.Commit(ctx)
	return &writtenPart{p, int64(len(bad))}, err
}

// tooManyBad fails if more records were left out in the whole job than it allows.
func (o Options) tooManyBad(bad int64) error {
	if bad <= int64(o.SkipBad) {
		return nil
	}
	return errs.Errorf("mapreduce.SkipBad", errs.Failed, nil,
		"functions failed at %d records, and the job may leave out %d; see the logs, or allow more", bad, o.SkipBad)
}
