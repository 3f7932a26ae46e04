package mapreduce

import (
	"context"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// runMap reads the split, maps and leaves a segment, or a part of the output if the job is map-only.
func (t *task) runMap(ctx context.Context) (mapResult, error) {
	p, err := decode[mapPayload](t.ID, t.Payload)
	if err != nil {
		return mapResult{}, err
	}
	s, err := split.Decode(p.Split)
	if err != nil {
		return mapResult{}, err
	}
	t.r.Status(s.String())
	if p.Way >= t.opts.ways() {
		return mapResult{}, errs.Errorf("mapreduce.Map", errs.Corrupt, t.ID, "there is no input %d", p.Way)
	}
	generate := t.opts.Maps > 0
	t.opts = t.opts.way(p.Way)
	t.in.env = attemptEnv{t.r, t.ID, t.opts.Set, t.in.files}
	var result mapResult
	err = t.persist(ctx, func(n *narrowing) (err error) {
		result, err = t.mapOnce(ctx, mapping{p.Shuffle, s, generate, n})
		return err
	})
	if err != nil {
		return mapResult{}, err
	}
	t.countRead(s)
	t.count("SPLIT_RAW_BYTES", int64(len(p.Split)))
	return result, nil
}

// mapping is what one try maps.
type mapping struct {
	shuffling
	split    split.Split
	generate bool // the job has no input
	narrow   *narrowing
}

// mapOnce maps the split once.
func (t *task) mapOnce(ctx context.Context, p mapping) (result mapResult, err error) {
	others := t.named(ctx, "m")
	defer others.abort(ctx)
	instance := t.in.with(others)
	if t.opts.partitions() {
		instance.parts = p.Partitions
	}
	mapper, err := t.mapper(ctx, instance)
	if err != nil {
		return mapResult{}, failed("mapreduce.Map", t.in.id, err)
	}
	defer closeFunction(mapper)
	budget := t.pool.Budget(t.memory)
	defer budget.Close()
	in := newInput(split.NewSource(t.resolve, p.split), mapper, text.Options{Budget: budget})
	in.narrow = p.narrow
	if p.generate {
		in.lines, in.framed, in.made = &generated{number: strconv.Itoa(t.ID.Task.Index)}, true, true
	}
	defer in.Close()
	switch {
	case t.Body.opts.Host != nil:
		err = in.feed(ctx, mapper, nowhere{}, func() error { return nil }) // its errors need no place in the input
	case p.Partitions == 0:
		result, err = t.mapToOutput(ctx, in, mapper)
	default:
		result, err = t.mapToSegment(ctx, in, mapper, collecting{p.shuffling, budget})
	}
	if err != nil {
		return mapResult{}, err
	}
	if result.Named, err = t.commitNamed(ctx, others); err != nil {
		return mapResult{}, err
	}
	if result.Bad, err = t.quarantine(ctx, p.narrow, in.located(ctx, p.split.String())); err != nil {
		return mapResult{}, err
	}
	result.Bytes, result.Records = in.done(), in.records
	t.count("MAP_INPUT_RECORDS", in.records)
	t.count("MAP_SKIPPED_RECORDS", int64(len(in.left)))
	return result, nil
}

// mapper returns the host's mapper, or the one that the job names.
func (t *task) mapper(ctx context.Context, in instance) (functions.Mapper, error) {
	if host := t.Body.opts.Host; host != nil {
		return host(), nil
	}
	return t.roles().mapper(ctx, in)
}

// nowhere is where a host's mapper puts records out.
type nowhere struct{}

func (nowhere) Emit(_, _ []byte) error {
	return errs.Errorf("mapreduce.Emit", errs.Internal, nil, "maps of a host put out no records")
}

// mapAll maps all records, and makes sure that they were what was planned.
func (t *task) mapAll(ctx context.Context, in *input, m functions.Mapper, out functions.Emitter) error {
	err := in.feed(ctx, m, out, func() error { t.r.Progress(in.done()); return nil })
	if err == nil {
		err = cleanup(m, out)
	}
	if err != nil {
		in.suspect(m, err)
		return in.blame(ctx, err)
	}
	return in.src.Verify(ctx)
}

func (t *task) mapToOutput(ctx context.Context, in *input, m functions.Mapper) (mapResult, error) {
	out, err := t.create(ctx, "m", m)
	if err != nil {
		return mapResult{}, err
	}
	defer out.part.Abort(ctx) // no effect once committed
	if err := t.mapAll(ctx, in, m, out); err != nil {
		return mapResult{}, err
	}
	part, err := out.commit(ctx)
	if err != nil {
		return mapResult{}, err
	}
	t.count("MAP_OUTPUT_RECORDS", part.Records)
	t.countWritten(part.Bytes)
	return mapResult{Emitted: part.Records, Part: &part}, nil
}

// collecting is how a map collects what it emits.
type collecting struct {
	shuffling
	budget *arena.Budget
}

func (t *task) mapToSegment(ctx context.Context, in *input, m functions.Mapper, c collecting) (mapResult, error) {
	values := functions.ValueKindOf(m)
	t.in.values = values
	combiner, err := t.roles().combiner(ctx, t.in)
	if err != nil {
		return mapResult{}, failed("mapreduce.Combine", t.in.id, err)
	}
	defer closeFunction(combiner)
	if t.opts.SkipBad > 0 && combiner != nil && folderOf(combiner) == nil {
		combiner = blamelessCombiner{combiner}
	}
	var to placed
	out, err := t.collector(combiner, values, c, &to)
	if err != nil {
		return mapResult{}, err
	}
	defer out.Abort() // no effect once finished
	if err := t.mapAll(ctx, in, m, to.emitter(out, t.opts)); err != nil {
		return mapResult{}, err
	}
	index, err := out.Finish(ctx)
	if err != nil {
		return mapResult{}, failed("mapreduce.Map", in.place(ctx, 0), err)
	}
	if d := t.depot(); d != nil {
		if err := d.Keep(ctx, t.Job.ID, t.ID, t.Dir); err != nil {
			return mapResult{}, err
		}
	}
	stats := out.Stats()
	_, stored := index.Span()
	t.countCollected(stats, stored)
	return mapResult{
		Emitted: stats.Records, CombineIn: stats.CombineIn, CombineOut: stats.CombineOut, Left: index.Records(),
		Stored: stored, Values: values.String(), Sizes: appendSizes(nil, binSizes(index)),
	}, nil
}

// collector returns what the mapper emits to. Where the combiner folds int64 values they are folded, else sorted.
func (t *task) collector(
	combiner functions.Reducer, values functions.ValueKind, c collecting, to *placed,
) (collect.Collector, error) {
	codec, err := t.opts.segmentCodec()
	if err != nil {
		return nil, err
	}
	opts := collect.Options{
		Dir: t.Dir, Scratch: t.Scratch, Budget: c.budget, Partitions: c.Partitions, Codec: codec,
	}
	order := t.opts.Key
	var partition func(key []byte) int
	switch {
	case t.opts.partitions():
		partition = func([]byte) int { return to.reducer }
	case c.Cuts != nil:
		partition = rangeOf(c.Cuts, order)
	case order.Group > 0:
		partition = func(key []byte) int { return segment.Partition(segment.Hash(order.GroupOf(key)), c.Partitions) }
	}
	if f := folderOf(combiner); f != nil && !t.opts.partitions() && order == (functions.KeyOrder{}) &&
		values != functions.ValueBytes {
		return collect.NewFolder(f, collect.FoldOptions{Options: opts, Values: values, Partition: partition})
	}
	o := collect.SortOptions{Options: opts, Combiner: combiner, Values: values, Compare: order.Compare()}
	if partition != nil {
		o.Partition = func(key, _ []byte) int { return partition(key) }
	}
	return collect.NewSorter(o)
}

// placed is what a mapper emits to that says which reducer gets each record.
type placed struct {
	functions.Int64Emitter
	reducer int // that gets the next record
}

// emitter returns p over out, or out if the job divides keys in another way.
func (p *placed) emitter(out collect.Collector, o Options) functions.Emitter {
	if !o.partitions() {
		return out
	}
	p.Int64Emitter = functions.Int64Out(out)
	return p
}

// Part implements functions.PartEmitter.
func (p *placed) Part(reducer int) { p.reducer = reducer }

// folderOf returns the combiner's ability to fold int64 values, or nil.
func folderOf(combiner functions.Reducer) functions.Int64Folder {
	f, _ := combiner.(functions.Int64Folder)
	return f
}

// binSizes returns how many bytes of records each bin of a segment has.
func binSizes(index segment.Index) []int64 {
	n := len(index.Parts)
	sizes := make([]int64, min(n, maxBins))
	for i, p := range index.Parts {
		sizes[binOf(i, n)] += p.Raw
	}
	return sizes
}
