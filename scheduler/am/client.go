package am

import (
	"context"
	"iter"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// Client talks to the application master of a job, whichever process that is at the time.
type Client struct {
	job    scheduler.JobID
	secret string
}

// Dial returns a client of job's application master, waiting until there is one or ctx ends.
func Dial(ctx context.Context, c coord.Coordinator, job scheduler.JobID, secret string) (*Client, error) {
	return nil, errs.Errorf("am.Dial", errs.Unsupported, job, "not there yet")
}

// Status returns the whole report. It fails with errs.NotFound when the job has no application master any more (then
// Load has the answer), and with errs.Unavailable while one is being replaced.
func (c *Client) Status(ctx context.Context) (Report, error) {
	return Report{}, errs.Errorf("am.Status", errs.Unsupported, c.job, "not there yet")
}

// Watch yields short reports: one now, then at each change of the job's state, and at most every 200 ms while anything
// else changes. It follows the job from one application master to the next and ends after the report of a final state.
// It yields an error once, as its last: ctx's end, or errs.NotFound when the application master has gone for good (then
// Load has the answer).
func (c *Client) Watch(ctx context.Context) iter.Seq2[Report, error] {
	return func(yield func(Report, error) bool) { yield(c.Status(ctx)) }
}

// Kill ends the job as KILLED and returns when the ledger says so. reason is for people. Past the point of no return,
// and when the job is over, it fails with errs.Invalid and a sentence.
func (c *Client) Kill(ctx context.Context, reason string) error {
	return errs.Errorf("am.Kill", errs.Unsupported, c.job, "not there yet: %s", reason)
}

// Close ends the connections.
func (c *Client) Close() error { return nil }

// Load returns the report of a job from storage: from its history if it is over, else from its ledger, which knows of
// finished attempts only. A job that never had an application master is SUBMITTED with nothing else; that the job
// exists is the caller's to know.
func Load(ctx context.Context, st store.Store, job scheduler.Job) (Report, error) {
	return Report{}, errs.Errorf("am.Load", errs.Unsupported, job.ID, "not there yet")
}
