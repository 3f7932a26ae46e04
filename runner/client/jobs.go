package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// This file asks about jobs.

// NewID draws an id for a job, or a chain, of a name: no other begins like it. It is the job's that is submitted with
// it.
func (c *Client) NewID(ctx context.Context, name string) (scheduler.JobID, error) {
	var made Submitted
	err := c.ask(ctx, http.MethodPost, "/v1/ids", map[string]string{"name": name}, &made)
	return made.Job, err
}

// Submit asks for a job to be run, and returns its id.
func (c *Client) Submit(ctx context.Context, s Submission) (scheduler.JobID, error) {
	if s.Key == "" {
		s.Key = rand.Text() // an answer may be lost, and then it is asked again
	}
	var made Submitted
	err := c.ask(ctx, http.MethodPost, "/v1/jobs", s, &made)
	return made.Job, err
}

// Resume asks for a job to go on that was cut off. Env is as in a Submission.
func (c *Client) Resume(ctx context.Context, id scheduler.JobID, env map[string]string) error {
	return c.ask(ctx, http.MethodPost, jobPath(id)+"/resume", map[string]any{"env": env}, nil)
}

// Find returns the one job whose id begins with prefix, as it was submitted.
func (c *Client) Find(ctx context.Context, prefix string) (scheduler.Job, error) {
	var job scheduler.Job
	err := c.ask(ctx, http.MethodGet, jobPath(scheduler.JobID(prefix))+"/spec", nil, &job)
	return job, err
}

// Jobs yields how every job stands, the newest first, without attempts that have ended well. It asks page by page.
func (c *Client) Jobs(ctx context.Context) iter.Seq2[embedded.Status, error] {
	return pages(ctx, c, "/v1/jobs", func(page JobList) ([]embedded.Status, string) { return page.Jobs, page.Next })
}

// Job returns how a job stands. Of its attempts it has those that run, and the latest that went wrong.
func (c *Client) Job(ctx context.Context, id scheduler.JobID) (embedded.Status, error) {
	var s embedded.Status
	err := c.ask(ctx, http.MethodGet, jobPath(id), nil, &s)
	return s, err
}

// WholeJob is Job with all attempts, for which it asks page by page.
func (c *Client) WholeJob(ctx context.Context, id scheduler.JobID) (embedded.Status, error) {
	s, err := c.Job(ctx, id)
	if err != nil {
		return s, err
	}
	of := func(page AttemptList) ([]am.AttemptReport, string) { return page.Attempts, page.Next }
	s.Attempts, err = collect(ctx, c, jobPath(id)+"/attempts?limit=10000", of)
	return s, err
}

// Usage returns what a job has used so far.
func (c *Client) Usage(ctx context.Context, id scheduler.JobID) (Usage, error) {
	var u Usage
	err := c.ask(ctx, http.MethodGet, jobPath(id)+"/usage", nil, &u)
	return u, err
}

// Kill ends a job.
func (c *Client) Kill(ctx context.Context, id scheduler.JobID, reason string) (embedded.Status, error) {
	var s embedded.Status
	err := c.ask(ctx, http.MethodPost, jobPath(id)+"/kill", map[string]string{"reason": reason}, &s)
	return s, err
}

// Resize gives a running job another number of executors.
func (c *Client) Resize(ctx context.Context, id scheduler.JobID, executors int) error {
	return c.ask(ctx, http.MethodPost, jobPath(id)+"/resize", map[string]int{"executors": executors}, nil)
}

// Logs returns the logs of a job that there are at the moment.
func (c *Client) Logs(ctx context.Context, id scheduler.JobID) ([]LogFile, error) {
	of := func(page LogList) ([]LogFile, string) { return page.Logs, page.Next }
	return collect(ctx, c, jobPath(id)+"/logs", of)
}

// Log returns a piece of a log, from a byte on; nothing at its end.
func (c *Client) Log(ctx context.Context, id scheduler.JobID, name string, offset int64) ([]byte, error) {
	path := jobPath(id) + "/logs/" + url.PathEscape(name) + "?offset=" + strconv.FormatInt(offset, 10)
	var text []byte
	err := c.patiently(ctx, func() (err error) {
		text, err = c.once(ctx, http.MethodGet, path, nil)
		return err
	})
	return text, err
}

func jobPath(id scheduler.JobID) string { return "/v1/jobs/" + url.PathEscape(string(id)) }

// pages yields what is on all pages of a list. of returns what one has, and where the next begins; "" if it is the
// last.
func pages[Page, T any](ctx context.Context, c *Client, path string, of func(Page) ([]T, string)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		more := "?after="
		if strings.Contains(path, "?") {
			more = "&after="
		}
		for at := path; ; {
			var page Page
			if err := c.ask(ctx, http.MethodGet, at, nil, &page); err != nil {
				yield(none, err)
				return
			}
			list, next := of(page)
			for _, one := range list {
				if !yield(one, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			at = path + more + url.QueryEscape(next)
		}
	}
}

// collect returns what is on all pages of a list, which is not nil.
func collect[Page, T any](ctx context.Context, c *Client, path string, of func(Page) ([]T, string)) ([]T, error) {
	all := []T{}
	for one, err := range pages(ctx, c, path, of) {
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Events yields how a job stands, now and at each change, until it is over or was cut off. When the control goes that
// answers, the next one goes on; only if there is none for as long as the client has patience, an error is yielded, the
// last thing.
func (c *Client) Events(ctx context.Context, id scheduler.JobID) iter.Seq2[embedded.Status, error] {
	return func(yield func(embedded.Status, error) bool) {
		for pauses := c.pauses(); ; {
			heard, over, err := c.stream(ctx, id, func(s embedded.Status) bool { return yield(s, nil) })
			if over {
				return
			}
			if heard {
				pauses.Reset()
			}
			wait := pauses.NextBackOff()
			if ctx.Err() != nil || !errs.Retryable(err) || wait == backoff.Stop {
				yield(embedded.Status{}, err)
				return
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	}
}

// stream reads events until the stream breaks off. heard: there was one; over: the last was there, or tell wants no
// more.
func (c *Client) stream(
	ctx context.Context, id scheduler.JobID, tell func(embedded.Status) bool,
) (heard, over bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(maxSilence, cancel)
	defer silence.Stop()
	resp, err := c.send(ctx, http.MethodGet, jobPath(id)+"/events", nil)
	if err != nil {
		return false, false, err
	}
	defer resp.Body.Close() // read as far as it goes
	event := ""
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return heard, false, say.Errorf(errs.Unavailable, "the control breaks off: %s", errs.Cause(err))
		}
		silence.Reset(maxSilence)
		line = bytes.TrimSuffix(line, []byte("\n"))
		if name, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			event = string(name)
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		switch {
		case !ok:
			continue
		case event == "end":
			return heard, true, nil
		}
		var s embedded.Status
		if err := json.Unmarshal(data, &s); err != nil {
			return heard, false, errs.E("client.Events", errs.Corrupt, id, err)
		}
		heard = true
		if !tell(s) {
			return heard, true, nil
		}
	}
}

// maxSilence is after how long a stream that shows no life is taken for dead. Controls show some every 15 s.
const maxSilence = 45 * time.Second
