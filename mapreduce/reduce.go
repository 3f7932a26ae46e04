package mapreduce

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/group"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// runReduce gets its partitions of every map, groups and reduces them, and leaves a part of the output.
func (t *task) runReduce(ctx context.Context) (reduceResult, error) {
	p, err := decode[reducePayload](t.ID, t.Payload)
	if err != nil {
		return reduceResult{}, err
	}
	in := newSegments(t, p)
	defer in.close()
	if err := in.gather(ctx); err != nil {
		return reduceResult{}, err
	}
	t.count("SHUFFLED_MAPS", int64(len(p.Maps)))
	stored := in.sum(segment.Index.Stored)
	t.count("REDUCE_SHUFFLE_BYTES", stored)
	t.in.values, _ = functions.ParseValueKind(p.Values) // an unknown name is bytes
	var result reduceResult
	err = t.persist(ctx, func(n *narrowing) (err error) {
		result, err = t.reduceOnce(ctx, in, n)
		return err
	})
	if err != nil {
		return reduceResult{}, err
	}
	result.Stored, result.Segments = stored, in.sum(func(x segment.Index) int64 { return int64(len(x.Parts)) })
	return result, nil
}

// reduceOnce reduces what was gathered once.
func (t *task) reduceOnce(ctx context.Context, in *segments, n *narrowing) (reduceResult, error) {
	others := t.named(ctx, "r")
	defer others.abort(ctx)
	reducer, err := t.roles().reducer(ctx, t.in.with(others))
	if err != nil {
		return reduceResult{}, failed("mapreduce.Reduce", t.ID, err)
	}
	defer closeFunction(reducer)
	out, err := t.create(ctx, "r", reducer)
	if err != nil {
		return reduceResult{}, err
	}
	defer out.part.Abort(ctx) // no effect once committed
	r := &narrowedReducer{Reducer: reducer, narrow: n}
	stats, err := t.reduce(ctx, in, r, out)
	if err != nil {
		if n != nil {
			kept := func(k int64) int64 { return nthKept(n.skip, k) }
			from, to := suspects(reducer, err, kept, r.sure, r.at)
			n.suspect(from, to, err)
		}
		return reduceResult{}, failed("mapreduce.Reduce", t.ID, in.blame(err))
	}
	result := reduceResult{Records: stats.Records, Groups: stats.Groups, Hot: stats.Hot}
	if result.Part, err = out.commit(ctx); err != nil {
		return reduceResult{}, err
	}
	if result.Named, err = t.commitNamed(ctx, others); err != nil {
		return reduceResult{}, err
	}
	if result.Bad, err = t.quarantine(ctx, n, r.left); err != nil {
		return reduceResult{}, err
	}
	t.count("REDUCE_INPUT_RECORDS", stats.Records)
	t.count("REDUCE_INPUT_GROUPS", stats.Groups)
	t.count("REDUCE_SKIPPED_GROUPS", int64(len(r.left)))
	t.count("REDUCE_OUTPUT_RECORDS", result.Part.Records)
	t.count("SPILLED_RECORDS", stats.Spilled)
	t.countWritten(result.Part.Bytes)
	return result, nil
}

// reduce groups what was gathered and calls the reducer for each group.
func (t *task) reduce(
	ctx context.Context, in *segments, r *narrowedReducer, out *textOutput,
) (group.Stats, error) {
	opts := group.Options{Scratch: t.Scratch, Budget: t.pool.Budget(t.memory - in.budget.Limit()), Values: t.in.values}
	defer opts.Budget.Close()
	var groups group.Groups
	total := max(in.sum(segment.Index.Records), 1)
	opts.Alive = func() {
		done := float64(groups.Stats().Records) / float64(total)
		t.r.Progress(int64(float64(in.payload.Bytes) * (1 + done) / 2))
	}
	groups, each, err := t.group(ctx, in, r.Reducer, opts)
	if err != nil {
		return group.Stats{}, err
	}
	defer groups.Close()
	out.flushed = opts.Alive
	if each != nil {
		err = each.Each(ctx, out.EmitInt64)
	} else {
		err = functions.Protect(func() error { return groups.Reduce(ctx, keyed{r}, out) })
	}
	if err == nil {
		err = cleanup(r.Reducer, out)
	}
	return groups.Stats(), err
}

// group makes groups of the ranges, in the way that their layout asks for. If the reducer does what the folding has
// done already, each is not nil, and the reducer need not be called.
func (t *task) group(ctx context.Context, in *segments, r functions.Reducer, opts group.Options) (
	groups group.Groups, each *group.Fold, err error,
) {
	if !in.folded() {
		groups, err = group.NewMerge(ctx, in.ranges, group.MergeOptions{
			Options: opts, Compare: t.opts.Key.Compare(), Group: t.opts.Key.CompareGroups(),
		})
		return groups, nil, err
	}
	combiner, err := t.roles().combiner(ctx, t.in)
	if err != nil {
		return nil, nil, err
	}
	f := folderOf(combiner)
	if f == nil {
		return nil, nil, errs.Errorf("mapreduce.Reduce", errs.Internal, t.ID, "folded segments, but nothing that folds")
	}
	fold, err := group.NewFold(ctx, in.ranges, f, opts)
	if err != nil {
		return nil, nil, err
	}
	if sameFold(f, r) {
		each = fold
	}
	return fold, each, nil
}

// sameFold reports whether a reducer does nothing but the well-known fold f.
func sameFold(f functions.Int64Folder, r functions.Reducer) bool {
	a, okA := f.(functions.Int64FoldKind)
	b, okB := r.(functions.Int64FoldKind)
	return okA && okB && a.Int64Fold() == b.Int64Fold() && a.Int64Fold() != functions.FoldOther
}

// keyed is a reducer whose errors say at which key they happened, if that is the current one: a child process is
// behind, and says it itself.
type keyed struct{ functions.Reducer }

func (k keyed) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	err := k.Reducer.Reduce(key, values, out)
	var failure *wire.Failure
	if err != nil && !errors.As(err, &failure) {
		return fmt.Errorf("key %.80q: %w", key, err)
	}
	return err
}
