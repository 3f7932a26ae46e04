package am

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"google.golang.org/grpc"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// Client talks to the application master of a job, whichever process that is at the time. Its methods may be called by
// many goroutines at once.
type Client struct {
	coord  coord.Coordinator
	job    scheduler.JobID
	secret string
	mu     struct {
		sync.Mutex
		here   amrpc.Endpoint   // whom conn is for
		conn   *grpc.ClientConn // nil before the first call
		closed bool
	}
}

// Dial returns a client of job's application master, waiting until there is, or was, one or ctx ends. When the job is
// over already, the client's methods fail with errs.NotFound.
func Dial(ctx context.Context, c coord.Coordinator, job scheduler.JobID, secret string) (*Client, error) {
	for _, err := range amrpc.Follow(ctx, c, job) {
		if err != nil {
			return nil, errs.E("am.Dial", errs.Other, job, err)
		}
		break
	}
	return &Client{coord: c, job: job, secret: secret}, nil
}

// rpc returns the calls of the application master that is there now.
func (c *Client) rpc(ctx context.Context) (amrpc.ClientsClient, error) {
	v, err := c.coord.Get(ctx, amrpc.Key(c.job))
	if err != nil {
		return nil, err
	}
	if v.Version == 0 {
		return nil, errs.Errorf("am.Client", errs.NotFound, c.job, "it has no application master")
	}
	here, err := amrpc.ParseEndpoint(v.Data)
	if err != nil {
		return nil, err
	}
	if here.Over {
		return nil, errs.Errorf("am.Client", errs.NotFound, c.job, "the job is over, and its application master gone")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, errs.Errorf("am.Client", errs.Canceled, c.job, "the client is closed")
	}
	if c.mu.conn == nil || here != c.mu.here {
		conn, err := rpc.Dial(here.Address, rpc.Peer{Secret: c.secret, Epoch: here.Epoch})
		if err != nil {
			return nil, err
		}
		c.closeLocked()
		c.mu.here, c.mu.conn = here, conn
	}
	return amrpc.NewClientsClient(c.mu.conn), nil
}

func (c *Client) closeLocked() {
	if c.mu.conn != nil {
		_ = c.mu.conn.Close() // fails only if it is closed already
		c.mu.conn = nil
	}
}

// Close ends the connection, and the calls that are under way.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.closed = true
	c.closeLocked()
	return nil
}

// Status returns the whole report. It fails with errs.NotFound when the job has no application master (it is over, or
// has not begun: Load has the answer), and with errs.Unavailable while one is being replaced.
func (c *Client) Status(ctx context.Context) (Report, error) {
	const op = "am.Status"
	calls, err := c.rpc(ctx)
	if err != nil {
		return Report{}, errs.E(op, errs.Other, c.job, err)
	}
	reply, err := calls.Status(ctx, &amrpc.StatusRequest{})
	if err != nil {
		return Report{}, errs.E(op, c.replaced(ctx, err), c.job, err)
	}
	return parseReportReply(reply)
}

// replaced turns what a call meets whose application master is being replaced into trouble that passes: the refusal of
// another epoch, or the end of a connection that another call has closed for one to the next.
func (c *Client) replaced(ctx context.Context, err error) errs.Kind {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, errs.Fenced) || errors.Is(err, errs.Canceled) && ctx.Err() == nil && !c.mu.closed {
		return errs.Unavailable
	}
	return errs.Other
}

func parseReportReply(reply *amrpc.StatusReply) (Report, error) {
	var r Report
	if err := json.Unmarshal(reply.Report, &r); err != nil {
		return Report{}, errs.E("am.Status", errs.Corrupt, nil, err)
	}
	return r, nil
}

// Watch yields short reports: one now, then at each change of the job's state, and at most every 200 ms while anything
// else changes. It follows the job from one application master to the next and ends after the report of a final state.
// It yields an error once, as its last: ctx's end, or errs.NotFound when the application master has gone for good (then
// Load has the answer).
func (c *Client) Watch(ctx context.Context) iter.Seq2[Report, error] {
	return func(yield func(Report, error) bool) {
		pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond),
			backoff.WithMaxInterval(500*time.Millisecond), backoff.WithMaxElapsedTime(0))
		for {
			var failed error
			for r, err := range c.watchOne(ctx) {
				if failed = err; err != nil {
					break
				}
				if !yield(r, nil) || r.State.Final() {
					return
				}
				pause.Reset()
			}
			if err := errs.E("am.Watch", c.replaced(ctx, failed), c.job, failed); !errs.Retryable(err) {
				yield(Report{}, err)
				return
			}
			select {
			case <-time.After(pause.NextBackOff()):
			case <-ctx.Done():
				yield(Report{}, errs.E("am.Watch", errs.Canceled, c.job, ctx.Err()))
				return
			}
		}
	}
}

// watchOne yields the reports of the present application master.
func (c *Client) watchOne(ctx context.Context) iter.Seq2[Report, error] {
	return func(yield func(Report, error) bool) {
		ctx, cancel := context.WithCancel(ctx) // ends the stream when the loop stops
		defer cancel()
		calls, err := c.rpc(ctx)
		var stream grpc.ServerStreamingClient[amrpc.StatusReply]
		if err == nil {
			stream, err = calls.Watch(ctx, &amrpc.StatusRequest{})
		}
		for err == nil {
			var reply *amrpc.StatusReply
			if reply, err = stream.Recv(); err != nil {
				break
			}
			var r Report
			if r, err = parseReportReply(reply); err == nil && !yield(r, nil) {
				return
			}
		}
		yield(Report{}, err)
	}
}

// Kill ends the job as KILLED and returns when the ledger says so. reason is for people. Past the point of no return,
// and when the job is over, it fails with errs.Invalid and a sentence.
func (c *Client) Kill(ctx context.Context, reason string) error {
	const op = "am.Kill"
	calls, err := c.rpc(ctx)
	if err != nil {
		return errs.E(op, errs.Other, c.job, err)
	}
	reply, err := calls.Kill(ctx, &amrpc.KillRequest{Reason: reason})
	if err != nil {
		return errs.E(op, c.replaced(ctx, err), c.job, err)
	}
	if reply.Refused != "" {
		return errs.Errorf(op, errs.Invalid, c.job, "%s", reply.Refused)
	}
	return nil
}

// Resize gives the job another number of executors and returns when the ledger says so. That cannot be, or the job is
// over: errs.Invalid and a sentence.
func (c *Client) Resize(ctx context.Context, executors int) error {
	const op = "am.Resize"
	calls, err := c.rpc(ctx)
	if err != nil {
		return errs.E(op, errs.Other, c.job, err)
	}
	count := int32(min(max(executors, 0), math.MaxInt32))
	reply, err := calls.Resize(ctx, &amrpc.ResizeRequest{Executors: count})
	if err != nil {
		return errs.E(op, c.replaced(ctx, err), c.job, err)
	}
	if reply.Refused != "" {
		return errs.Errorf(op, errs.Invalid, c.job, "%s", reply.Refused)
	}
	return nil
}

// maxHistory bounds a history, in bytes.
const maxHistory = 1 << 30

// Load returns the report of a job from storage: from its history if it is over, else from its ledger, which knows of
// finished attempts only. A job that never had an application master is SUBMITTED with nothing else; that the job
// exists is the caller's to know.
func Load(ctx context.Context, st store.Store, job scheduler.Job) (Report, error) {
	const op = "am.Load"
	data, err := store.Get(ctx, st, historyName(job.ID), maxHistory)
	switch {
	case err == nil:
		var r Report
		if err := json.Unmarshal(data, &r); err != nil {
			return Report{}, errs.E(op, errs.Corrupt, historyName(job.ID), err)
		}
		return r, nil
	case !errors.Is(err, errs.NotFound):
		return Report{}, errs.E(op, errs.Other, job.ID, err)
	}
	l := newLedger()
	if _, err := journal.Read(ctx, st, ledgerName(job.ID), l, journal.Options{}); err != nil {
		return Report{}, errs.E(op, errs.Other, job.ID, err)
	}
	return l.report(job, false), nil
}
