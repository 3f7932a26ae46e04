package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Pages, in entries.
const (
	jobsPage    = 50
	maxJobsPage = 500
)

func (s *server) list(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", jobsPage, maxJobsPage)
	if err != nil {
		return err
	}
	all, err := s.jobs.All(r.Context())
	if err != nil {
		return err
	}
	if after := r.URL.Query().Get("after"); after != "" {
		at := slices.IndexFunc(all, func(j scheduler.Job) bool { return string(j.ID) == after })
		if at < 0 {
			return say.Errorf(errs.Invalid, "after=%q is not a job", after)
		}
		all = all[at+1:]
	}
	page := client.JobList{Jobs: []embedded.Status{}} // an empty list, too
	for i, job := range all {
		if int64(i) == limit {
			if i > 0 {
				page.Next = string(all[i-1].ID)
			}
			break
		}
		status, err := s.brief(r.Context(), job)
		if err != nil {
			return err
		}
		page.Jobs = append(page.Jobs, status)
	}
	return writeJSON(w, page)
}

// of returns the job that a request is about.
func (s *server) of(r *http.Request) (scheduler.Job, error) {
	return s.jobs.Find(r.Context(), r.PathValue("id"))
}

func (s *server) status(w http.ResponseWriter, r *http.Request) error {
	job, err := s.of(r)
	if err != nil {
		return err
	}
	status, err := s.brief(r.Context(), job)
	if err != nil {
		return err
	}
	return writeJSON(w, status)
}

func (s *server) spec(w http.ResponseWriter, r *http.Request) error {
	job, err := s.of(r)
	if err != nil {
		return err
	}
	return writeJSON(w, job)
}

func (s *server) specYAML(w http.ResponseWriter, r *http.Request) error {
	job, err := s.of(r)
	if err != nil {
		return err
	}
	text, err := spec.YAML(job)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-store")
	_, err = w.Write(text)
	return gone(err)
}

func (s *server) attempts(w http.ResponseWriter, r *http.Request) error {
	job, err := s.of(r)
	if err != nil {
		return err
	}
	status, err := s.jobs.Status(r.Context(), job)
	if err != nil {
		return err
	}
	list := client.AttemptList{Total: len(status.Attempts)}
	list.Attempts, list.Next, err = pageInOrder(r, named, status.Attempts, func(a am.AttemptReport) string {
		return a.ID.String()
	})
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

// usage tells what a job has used, and what that costs.
func (s *server) usage(w http.ResponseWriter, r *http.Request) error {
	job, err := s.of(r)
	if err != nil {
		return err
	}
	jobs, ok := s.jobs.(Meter)
	if !ok {
		return say.Errorf(errs.Unsupported, "nobody counts what jobs use here")
	}
	status, err := s.jobs.Status(r.Context(), job)
	if err != nil {
		return err
	}
	return writeJSON(w, jobs.Used(r.Context(), status.Report))
}

func (s *server) kill(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Reason string `json:"reason"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	if ask.Reason = strings.TrimSpace(ask.Reason); ask.Reason == "" {
		ask.Reason = "somebody asked for it over the API"
	}
	job, err := s.of(r)
	if err != nil {
		return err
	}
	status, err := s.jobs.Kill(r.Context(), job, ask.Reason)
	if err != nil {
		return err
	}
	return writeJSON(w, shorten(status))
}

// resize gives a running job another number of executors.
func (s *server) resize(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Executors int `json:"executors"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	if ask.Executors < 1 {
		return say.Errorf(errs.Invalid, "executors=%d is not a number from 1 on", ask.Executors)
	}
	job, err := s.of(r)
	if err != nil {
		return err
	}
	jobs, ok := s.jobs.(Resizer)
	if !ok {
		return say.Errorf(errs.Unsupported, "jobs keep their executors here")
	}
	if err := jobs.Resize(r.Context(), job, ask.Executors); err != nil {
		return err
	}
	return writeJSON(w, client.Submitted{Job: job.ID})
}

// brief returns how a job stands, without the attempts that have ended well. The last word about a job is kept.
func (s *server) brief(ctx context.Context, job scheduler.Job) (embedded.Status, error) {
	if status, ok := s.settled.get(job.ID); ok {
		return status, nil
	}
	status, err := s.jobs.Status(ctx, job)
	if err != nil {
		return status, err
	}
	status = shorten(status)
	if status.State.Final() {
		s.settled.put(status)
	}
	return status, nil
}

// shorten drops the attempts but for those that run and the latest that went wrong.
func shorten(status embedded.Status) embedded.Status {
	const wrong = 20
	var keep []am.AttemptReport
	bad := 0
	for _, a := range slices.Backward(status.Attempts) {
		switch a.State {
		case scheduler.AttemptSucceeded:
			continue
		case scheduler.AttemptRunning:
		default:
			if bad++; bad > wrong {
				continue
			}
		}
		keep = append(keep, a)
	}
	slices.Reverse(keep)
	status.Attempts = keep
	return status
}

// settled keeps the last word about jobs that are over, since it costs the reading of their ledgers.
type settled struct {
	mu   sync.Mutex
	last map[scheduler.JobID]embedded.Status
}

const maxSettled = 10_000 // jobs

func (s *settled) get(id scheduler.JobID) (embedded.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, ok := s.last[id]
	return status, ok
}

func (s *settled) put(status embedded.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || len(s.last) >= maxSettled {
		s.last = map[scheduler.JobID]embedded.Status{}
	}
	s.last[status.Job] = status
}
