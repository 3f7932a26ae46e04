package shuffle

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// Depot keeps map output in a store, where it outlives the machine that made it:
//
//	jobs/<id>/shuffle/<attempt>/segment.data
//	jobs/<id>/shuffle/<attempt>/segment.index       last: there is a segment when there is its index
//
// A reducer reads the index and then one range of the data. It may be used by many goroutines at once.
type Depot struct {
	store    store.Store
	patience time.Duration
}

// NewDepot returns the depot in the system's own store.
func NewDepot(st store.Store, o Options) *Depot { return &Depot{st, o.withDefaults().Patience} }

func shuffleName(job scheduler.JobID) store.Name {
	return store.Name("jobs").Join(string(job)).Join("shuffle")
}

func segmentName(job scheduler.JobID, attempt scheduler.AttemptID, file string) store.Name {
	return shuffleName(job).Join(attempt.String()).Join(file)
}

// Keep copies the segment in dir to the depot.
func (d *Depot) Keep(ctx context.Context, job scheduler.JobID, attempt scheduler.AttemptID, dir string) error {
	for _, file := range []string{segment.DataName, segment.IndexName} {
		if err := d.copy(ctx, segmentName(job, attempt, file), filepath.Join(dir, file)); err != nil {
			return errs.E("shuffle.Keep", errs.Other, attempt, err)
		}
	}
	return nil
}

func (d *Depot) copy(ctx context.Context, to store.Name, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := d.store.Create(ctx, to)
	if err != nil {
		return err
	}
	defer out.Abort(ctx) // no effect once committed
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Commit(ctx)
}

// Drop removes all that a job has in the depot. It may be called again.
func (d *Depot) Drop(ctx context.Context, job scheduler.JobID) error {
	var all []error
	for info, err := range d.store.List(ctx, string(shuffleName(job))+"/") {
		if err == nil {
			err = d.store.Delete(ctx, info.Name)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// Fetch is Client.Fetch from the depot; the source's node and secret say nothing.
func (d *Depot) Fetch(ctx context.Context, src Source, into segment.ReceiveOptions) (*segment.Range, error) {
	src.Node = "the store"
	f := &fetch{from: &kept{store: d.store, src: src}, src: src, into: into, patience: d.patience}
	return f.run(ctx)
}

// kept is the origin of what a Depot has.
type kept struct {
	store          store.Store
	src            Source
	offset, length int64 // of the partitions in the data, when the index is known
}

func (k *kept) open(ctx context.Context, from int64) (index segment.Index, _ io.ReadCloser, err error) {
	if from < 0 {
		if index, err = k.index(ctx); err != nil {
			return index, nil, ofStore(err)
		}
		k.offset, k.length = index.Span()
		from = 0
	}
	if from == k.length {
		return index, http.NoBody, nil
	}
	name := segmentName(k.src.Job, k.src.Attempt, segment.DataName)
	body, err := k.store.Open(ctx, name, store.Range{Offset: k.offset + from, Length: k.length - from})
	if err != nil {
		return index, nil, ofStore(err)
	}
	return index, body, nil
}

// maxIndex bounds an index, in bytes.
const maxIndex = 64 + segment.MaxParts*maxIndexPart

func (k *kept) index(ctx context.Context) (none segment.Index, _ error) {
	b, err := store.Get(ctx, k.store, segmentName(k.src.Job, k.src.Attempt, segment.IndexName), maxIndex)
	if err != nil {
		return none, err
	}
	index, err := segment.Parse(b)
	if err != nil {
		return none, err
	}
	if k.src.Hi > len(index.Parts) {
		return none, errs.Errorf("shuffle.Fetch", errs.Invalid, nil, "there are %d partitions", len(index.Parts))
	}
	return index.Cut(k.src.Lo, k.src.Hi), nil
}

// ofStore blames the source for what is not there or damaged, and the way to it for what may pass.
func ofStore(err error) error {
	switch kind := errs.KindOf(err); kind {
	case errs.NotFound, errs.Corrupt:
		return sure(kind, err)
	case errs.Unavailable, errs.Canceled: // a silent store, if it was not the caller who ended it
		return unsure(errs.Unavailable, err)
	}
	return errs.E("shuffle.Fetch", errs.Other, nil, err)
}
