package embedded

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// Chain is the jobs of one specification, of which some need others. It is recorded once, as chains/<id>.json, and
// never changes: how its jobs stand is known from their own ledgers, by ids that follow from the chain's.
//
//	7k2f-day               the chain
//	7k2fa-words            its first job
//	7k2fb-report           its second
//	7k2fb2-report          another try at the second, after the first try has failed
//
// So whoever goes on with a chain after a crash finds the very jobs that were begun.
type Chain struct {
	ID        scheduler.JobID `json:"id"`
	Name      string          `json:"name"`
	Submitted time.Time       `json:"submitted"`
	Parallel  int             `json:"parallel,omitempty"` // jobs at a time at most; 0: as many as the place likes
	Retries   int             `json:"retries,omitempty"`  // how often a run of it tries a job again that has failed
	Links     []Link          `json:"links"`              // in the order of the specification
}

// Link is one job of a chain.
type Link struct {
	Job          scheduler.Job `json:"job"` // without an id
	Needs        []int         `json:"needs,omitempty"`
	Intermediate bool          `json:"intermediate,omitempty"` // the output goes when all that need it have succeeded
}

// maxChain bounds chains/<id>.json, in bytes.
const maxChain = 64 << 20

// ChainLabel is the label of a job that holds the id of its chain.
const ChainLabel = "chain"

const (
	chainDir  = "chains/"
	chainFile = ".json"
	letters   = "abcdefghijklmnopqrstuvwxyz234567" // of ids
	trySigns  = "234567abcdefghijklmnopqrstuvwxyz" // for each try after the first
)

func chainName(id scheduler.JobID) store.Name { return store.Name(chainDir + string(id) + chainFile) }

// Short is the first half of an id, which people type.
func Short(id scheduler.JobID) string {
	short, _, _ := strings.Cut(string(id), "-")
	return short
}

// jobID is the id of a try, from 0, at the job at a place.
func (c Chain) jobID(place, try int) scheduler.JobID {
	id := Short(c.ID)
	if len(c.Links) > len(letters) {
		id += letters[place/len(letters)%len(letters):][:1]
	}
	id += letters[place%len(letters):][:1]
	if try > 0 {
		id += trySigns[try-1:][:1]
	}
	return scheduler.JobID(id + "-" + c.Links[place].Job.Name)
}

// Needs are the places of what each job needs.
func (c Chain) Needs() [][]int {
	needs := make([][]int, len(c.Links))
	for i, l := range c.Links {
		needs[i] = l.Needs
	}
	return needs
}

// SubmitChain gives a chain an id that nobody has and records it.
func (j Jobs) SubmitChain(ctx context.Context, c Chain) (Chain, error) {
	id, err := j.name(ctx, c.Name, func(id scheduler.JobID) error {
		c.ID = id
		return j.recordChain(ctx, c)
	})
	c.ID = id
	return c, err
}

// SubmitChainAs records a chain under the id that it has, unless it is recorded.
func (j Jobs) SubmitChainAs(ctx context.Context, c Chain) error {
	if err := j.recordChain(ctx, c); errs.KindOf(err) != errs.Exist {
		return err
	}
	return nil
}

// recordChain writes a chain that has an id, if there is none of that id.
func (j Jobs) recordChain(ctx context.Context, c Chain) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return errs.E("embedded.SubmitChain", errs.Internal, c.ID, err)
	}
	return store.Put(ctx, j.Store, chainName(c.ID), data, store.IfAbsent())
}

// GetChain returns a chain by its whole id.
func (j Jobs) GetChain(ctx context.Context, id scheduler.JobID) (Chain, error) {
	const op = "embedded.GetChain"
	data, err := store.Get(ctx, j.Store, chainName(id), maxChain)
	if err != nil {
		return Chain{}, errs.E(op, errs.Other, id, err)
	}
	var c Chain
	if err := json.Unmarshal(data, &c); err != nil {
		return Chain{}, errs.E(op, errs.Corrupt, chainName(id), err)
	}
	return c, nil
}

// FindChain returns the chain that prefix names: its id, or as much of its beginning as no other chain has and no job
// but its own. ok is false if there is none; an error of kind Invalid says that there are several.
func (j Jobs) FindChain(ctx context.Context, prefix string) (c Chain, ok bool, err error) {
	chains, err := j.chains(ctx, prefix)
	if err != nil || len(chains) == 0 {
		return Chain{}, false, err
	}
	jobs, err := j.find(ctx, prefix)
	if err != nil {
		return Chain{}, false, err
	}
	first := chains[0]
	if prefix == Short(first) || len(chains) == 1 && !slices.ContainsFunc(jobs, func(id scheduler.JobID) bool {
		return !strings.HasPrefix(string(id), Short(first))
	}) {
		c, err = j.GetChain(ctx, first)
		return c, err == nil, err
	}
	return Chain{}, false, ambiguous(prefix, append(chains, jobs...))
}

// OfChain returns the ids of all tries at the jobs of a chain that were begun, in order.
func (j Jobs) OfChain(ctx context.Context, id scheduler.JobID) ([]scheduler.JobID, error) {
	return j.find(ctx, Short(id))
}

// chains returns the ids that begin with prefix, in order.
func (j Jobs) chains(ctx context.Context, prefix string) ([]scheduler.JobID, error) {
	var ids []scheduler.JobID
	for info, err := range j.Store.List(ctx, chainDir+prefix) {
		if err != nil {
			return nil, errs.E("embedded.FindChain", errs.Other, nil, err)
		}
		name, ok := strings.CutSuffix(strings.TrimPrefix(string(info.Name), chainDir), chainFile)
		if id, err := scheduler.ParseJobID(name); ok && err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Place runs jobs: a home folder, or a fleet.
type Place interface {
	Jobs() Jobs
	Status(ctx context.Context, job scheduler.Job) (Status, error)
	Kill(ctx context.Context, job scheduler.Job, reason string) (Status, error)
}

// Chains is how chains are run at a place, and how they stand.
type Chains struct {
	At      Place
	Coord   coord.Coordinator
	Leases  Leases
	Tidy    func(ctx context.Context, id scheduler.JobID) error // removes what a job that is over has left
	Resolve store.Resolve                                       // finds the files of jobs; nil until one is begun
}

// lastTry returns the number of tries at a job, and the status of the last.
func (r Chains) lastTry(ctx context.Context, c Chain, place int) (tries int, last Status, err error) {
	for tries <= len(trySigns) {
		job, err := r.At.Jobs().Get(ctx, c.jobID(place, tries))
		if errs.KindOf(err) == errs.NotFound {
			break
		}
		if err == nil {
			last, err = r.At.Status(ctx, job)
		}
		if err != nil {
			return 0, Status{}, err
		}
		tries++
	}
	return tries, last, nil
}

// Begin returns the job to be supervised for a place: the one that was begun and is not over, else a new try, which it
// records. done is true if one has succeeded, and then it is that one. Only one process may do that at a time for a
// chain: see Hold.
func (r Chains) Begin(ctx context.Context, c Chain, place int) (job scheduler.Job, done bool, err error) {
	tries, last, err := r.lastTry(ctx, c, place)
	if err != nil {
		return scheduler.Job{}, false, err
	}
	if tries > 0 && last.State.Final() { // and perhaps its supervisor was killed before it could clean up
		if err := r.Tidy(ctx, last.Job); err != nil {
			return scheduler.Job{}, false, err
		}
	}
	if tries > 0 && (last.State == scheduler.JobSucceeded || !last.State.Final()) {
		job, err := r.At.Jobs().Get(ctx, last.Job)
		return job, last.State == scheduler.JobSucceeded, err
	}
	if tries > len(trySigns) {
		return scheduler.Job{}, false, say.Errorf(errs.Exhausted, "%s has failed %d times in chain %s. "+
			"Run the specification anew", c.Links[place].Job.Name, tries, c.ID)
	}
	job = c.Links[place].Job
	job.ID, job.Submitted = c.jobID(place, tries), time.Now().UTC()
	job.Labels = maps.Clone(job.Labels)
	if job.Labels == nil {
		job.Labels = map[string]string{}
	}
	job.Labels[ChainLabel] = string(c.ID)
	jobs := r.At.Jobs()
	jobs.Resolve = r.Resolve
	return job, false, jobs.record(ctx, job)
}

// Hold makes this process the one that runs a chain, until release is called or lost is closed.
func (r Chains) Hold(ctx context.Context, id scheduler.JobID) (lost <-chan struct{}, release func(), err error) {
	lease, err := hold(ctx, r.Coord, id, r.Leases)
	if err != nil {
		return nil, nil, err
	}
	if err := put(ctx, r.Coord, stopKey(id), nil); err != nil { // what an earlier run was told
		_ = lease.Release(ctx) // it ends when this process does
		return nil, nil, err
	}
	ctx = context.WithoutCancel(ctx)
	return lease.Done(), func() { _ = lease.Release(ctx) }, nil // it ends when this process does
}

// stopKey holds why a chain shall end, until somebody runs it again: who was killed between two jobs has no other trace
// of that.
func stopKey(id scheduler.JobID) coord.Key { return coord.Key("chain/" + string(id) + "/stop") }

// Stopped returns why no more jobs of a chain shall be started, or "".
func (r Chains) Stopped(ctx context.Context, id scheduler.JobID) (reason string, err error) {
	v, err := r.Coord.Get(ctx, stopKey(id))
	return string(v.Data), err
}
