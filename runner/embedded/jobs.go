package embedded

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// maxJob bounds job.json, in bytes.
const maxJob = 4 << 20

// Jobs is the record of all jobs that were submitted: jobs/<id>/job.json in a store, written once each.
type Jobs struct {
	Store   store.Store
	Chance  io.Reader     // where ids come from; nil: crypto/rand
	Resolve store.Resolve // finds the files of a job; nil if it has none
}

func jobName(id scheduler.JobID) store.Name { return store.Name("jobs/" + string(id) + "/job.json") }

// Submit gives job an id that nobody has and records it. The first four characters alone are new too, so that people
// can type them.
func (j Jobs) Submit(ctx context.Context, job scheduler.Job) (scheduler.Job, error) {
	id, err := j.name(ctx, job.Name, func(id scheduler.JobID) error {
		job.ID = id
		return j.record(ctx, job)
	})
	job.ID = id
	return job, err
}

// NewID draws an id for a job, or a chain of jobs, of a name; nobody has one that begins like it.
func (j Jobs) NewID(ctx context.Context, name string) (scheduler.JobID, error) {
	return j.name(ctx, name, func(scheduler.JobID) error { return nil })
}

// SubmitAs records a job under the id that it has, unless it is recorded.
func (j Jobs) SubmitAs(ctx context.Context, job scheduler.Job) error {
	if err := j.record(ctx, job); errs.KindOf(err) != errs.Exist {
		return err
	}
	return nil
}

// name draws an id until nobody has one that begins like it, and record, which is called with it, does not fail with
// errs.Exist.
func (j Jobs) name(
	ctx context.Context, name string, record func(scheduler.JobID) error,
) (scheduler.JobID, error) {
	for {
		short, err := j.draw()
		if err != nil {
			return "", errs.E("embedded.Submit", errs.Other, nil, err)
		}
		jobs, err := j.find(ctx, short)
		if err != nil {
			return "", err
		}
		chains, err := j.chains(ctx, short)
		if err != nil {
			return "", err
		}
		if len(jobs)+len(chains) > 0 {
			continue
		}
		id := scheduler.JobID(short + "-" + name)
		if err := record(id); errs.KindOf(err) != errs.Exist {
			return id, err
		}
	}
}

// record writes a job that has an id, with its files, if there is none of that id.
func (j Jobs) record(ctx context.Context, job scheduler.Job) error {
	if _, err := scheduler.ParseJobID(string(job.ID)); err != nil {
		return err
	}
	job, err := cache.Stage(ctx, j.Resolve, j.Store, job)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(job, "", "  ")
	if err != nil {
		return errs.E("embedded.Submit", errs.Internal, job.ID, err)
	}
	return store.Put(ctx, j.Store, jobName(job.ID), data, store.IfAbsent())
}

// draw returns four characters of chance.
func (j Jobs) draw() (string, error) {
	from := j.Chance
	if from == nil {
		from = rand.Reader
	}
	var bits [3]byte // of which 20 bits are used
	if _, err := io.ReadFull(from, bits[:]); err != nil {
		return "", err
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(bits[:])[:4]), nil
}

// Get returns a job by its whole id.
func (j Jobs) Get(ctx context.Context, id scheduler.JobID) (scheduler.Job, error) {
	const op = "embedded.Get"
	data, err := store.Get(ctx, j.Store, jobName(id), maxJob)
	if err != nil {
		return scheduler.Job{}, errs.E(op, errs.Other, id, err)
	}
	var job scheduler.Job
	if err := json.Unmarshal(data, &job); err != nil {
		return scheduler.Job{}, errs.E(op, errs.Corrupt, jobName(id), err)
	}
	return job, nil
}

// Find returns the one job whose id begins with prefix. None is errs.NotFound, several are errs.Invalid.
func (j Jobs) Find(ctx context.Context, prefix string) (scheduler.Job, error) {
	ids, err := j.find(ctx, prefix)
	if err != nil {
		return scheduler.Job{}, err
	}
	switch {
	case slices.Contains(ids, scheduler.JobID(prefix)):
		return j.Get(ctx, scheduler.JobID(prefix))
	case len(ids) == 1 || len(ids) > 1 && prefix == Short(ids[0]) && prefix != Short(ids[1]):
		return j.Get(ctx, ids[0])
	case len(ids) > 1:
		return scheduler.Job{}, ambiguous(prefix, ids)
	}
	all, err := j.find(ctx, "")
	if err != nil {
		return scheduler.Job{}, err
	}
	chains, err := j.chains(ctx, "")
	if err != nil {
		return scheduler.Job{}, err
	}
	all = append(all, chains...)
	return scheduler.Job{}, say.Errorf(errs.NotFound, "there is no job %q.%s `runner jobs` lists what there is", prefix,
		say.DidYouMean(prefix, namesOf(all)))
}

func ambiguous(prefix string, ids []scheduler.JobID) error {
	return say.Errorf(errs.Invalid, "%q is the beginning of %d jobs, as in %s and %s. Type one more character", prefix,
		len(ids), ids[0], ids[1])
}

// namesOf returns what people type for jobs: ids, and their first halves.
func namesOf(ids []scheduler.JobID) []string {
	var names []string
	for _, id := range ids {
		names = append(names, Short(id), string(id))
	}
	return names
}

// All returns every job, the newest first.
func (j Jobs) All(ctx context.Context) ([]scheduler.Job, error) {
	ids, err := j.find(ctx, "")
	if err != nil {
		return nil, err
	}
	var all []scheduler.Job
	for _, id := range ids {
		job, err := j.Get(ctx, id)
		if errs.KindOf(err) == errs.NotFound {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, job)
	}
	slices.SortStableFunc(all, func(a, b scheduler.Job) int { return b.Submitted.Compare(a.Submitted) })
	return all, nil
}

// find returns the ids that begin with prefix, in order.
func (j Jobs) find(ctx context.Context, prefix string) ([]scheduler.JobID, error) {
	var ids []scheduler.JobID
	for info, err := range j.Store.List(ctx, "jobs/"+prefix) {
		if err != nil {
			return nil, errs.E("embedded.Find", errs.Other, nil, err)
		}
		dir, ok := strings.CutSuffix(string(info.Name), "/job.json")
		if id, err := scheduler.ParseJobID(strings.TrimPrefix(dir, "jobs/")); ok && err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
