package mapreduce

import (
	"context"
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// Summary is what the history keeps of a published output.
type Summary struct {
	Output   string       `json:"output"`
	Parts    int          `json:"parts"`
	Finished time.Time    `json:"finished"`
	Totals   proof.Totals `json:"totals"`
	Skew     *Skew        `json:"skew,omitempty"` // nil: the job is map-only
}

// Commit implements scheduler.Engine. It first proves that nothing was lost and nothing counted twice.
func (e *Engine) Commit(ctx context.Context, in scheduler.Outputs, _ scheduler.Counters) (json.RawMessage, error) {
	const op = "mapreduce.Commit"
	l, err := e.prove(ctx, in)
	if err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	out, err := commit.New(ctx, e.job, e.resolve)
	if err != nil {
		return nil, err
	}
	m, err := out.Commit(ctx, l.parts, l.manifest)
	if err != nil {
		return nil, err
	}
	if err := e.drop(ctx); errs.Retryable(err) { // any other trouble leaves garbage behind, and the output is published
		return nil, err
	}
	s := Summary{Output: e.job.Output, Parts: len(m.Parts), Finished: m.Finished, Totals: m.Totals}
	if m.Totals.Reduces > 0 {
		skew := l.skew.settled()
		s.Skew = &skew
	}
	return encode(s)
}

// prove adds up the results that were taken to the manifest of the job, and checks that it balances.
func (e *Engine) prove(ctx context.Context, in scheduler.Outputs) (*ledger, error) {
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	digest, err := proof.Digest(e.job)
	if err != nil {
		return nil, err
	}
	l := &ledger{manifest: proof.Manifest{
		Job: e.job.ID, Name: e.job.Name, Spec: digest, Finished: e.opts.Now().UTC(), Parts: []proof.Part{},
	}}
	t := &l.manifest.Totals
	t.SplitsPlanned, t.BytesPlanned = int64(len(e.splits)), e.plan.Bytes
	opts, err := optionsOf(e.job)
	if err != nil {
		return nil, err
	}
	for i, m := range in[mapStage] {
		if givenUp(m) && t.SplitsGivenUp < int64(opts.mayFail(len(e.splits))) {
			t.SplitsGivenUp++
			t.BytesGivenUp += e.splits[i].Bytes()
			continue
		}
		if err := l.addMap(i, m, e); err != nil {
			return nil, err
		}
	}
	for i, r := range in[reduceStage] {
		if err := l.addReduce(i, r); err != nil {
			return nil, err
		}
	}
	if e.plan.Shuffle.Partitions > 0 {
		t.Reduces = int64(len(in[reduceStage]))
		t.SegmentsPlanned = (t.SplitsPlanned - t.SplitsGivenUp) * int64(e.plan.Shuffle.Partitions)
	}
	if err := opts.tooManyBad(t.BadRecords); err != nil {
		return l, err
	}
	return l, t.Check()
}

// ledger adds up results.
type ledger struct {
	manifest proof.Manifest
	parts    []commit.Part
	skew     Skew
}

// taken fails unless o is the output of task number index of a stage.
func taken(stage string, index int, o scheduler.Output) error {
	want := scheduler.TaskID{Stage: stage, Index: index}
	if o.Attempt.Task != want {
		return errs.Errorf("mapreduce.Commit", errs.Corrupt, want, "it is not finished")
	}
	return nil
}

func (l *ledger) addMap(i int, o scheduler.Output, e *Engine) error {
	if err := taken(mapStage, i, o); err != nil {
		return err
	}
	r, err := decode[mapResult](o.Attempt, o.Data)
	if err != nil {
		return err
	}
	if i >= len(e.splits) || r.Bytes != e.splits[i].Bytes() {
		return errs.Errorf("mapreduce.Commit", errs.Corrupt, o.Attempt, "it read %d bytes, which is not its split", r.Bytes)
	}
	t := &l.manifest.Totals
	t.SplitsRead++
	t.BytesRead += r.Bytes
	t.InputRecords += r.Records
	t.MapOutputRecords += r.Emitted
	t.CombineInputRecords += r.CombineIn
	t.CombineOutputRecords += r.CombineOut
	t.SegmentRecords += r.Left
	t.SegmentBytes += r.Stored
	if r.Part != nil {
		l.addPart(*r.Part)
	}
	l.addNamed(r.Named)
	l.addBad(r.Bad)
	return nil
}

func (l *ledger) addReduce(i int, o scheduler.Output) error {
	if err := taken(reduceStage, i, o); err != nil {
		return err
	}
	r, err := decode[reduceResult](o.Attempt, o.Data)
	if err != nil {
		return err
	}
	t := &l.manifest.Totals
	t.SegmentsRead += r.Segments
	t.ReduceInputRecords += r.Records
	t.ReduceInputGroups += r.Groups
	l.skew.add(o.Attempt.Task, r)
	l.addPart(r.Part)
	l.addNamed(r.Named)
	l.addBad(r.Bad)
	return nil
}

// addBad adds the file of an attempt's bad records, which are no records of the output.
func (l *ledger) addBad(p *writtenPart) {
	if p != nil {
		l.manifest.Totals.BadRecords += p.Records
		l.addPart(writtenPart{p.Part, 0})
	}
}

// addNamed adds files of named outputs.
func (l *ledger) addNamed(parts []writtenPart) {
	for _, p := range parts {
		l.manifest.Totals.NamedRecords += p.Records
		l.addPart(p)
	}
}

func (l *ledger) addPart(p writtenPart) {
	part := proof.Part{Name: p.Name, Bytes: p.Bytes, Records: p.Records, CRC32C: p.CRC32C}
	l.manifest.Parts = append(l.manifest.Parts, part)
	l.manifest.Totals.OutputBytes += p.Bytes
	l.manifest.Totals.OutputRecords += p.Records
	l.parts = append(l.parts, p.Part)
}
