package api

import (
	"context"
	_ "embed"
	"net/http"

	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Submitter takes jobs.
type Submitter interface {
	Submit(ctx context.Context, s client.Submission) (scheduler.JobID, error)
	Resume(ctx context.Context, id scheduler.JobID, env map[string]string) error
	// NewID draws an id for a job, or a chain, of a name; no other begins like it.
	NewID(ctx context.Context, name string) (scheduler.JobID, error)
}

// Overview tells of a fleet.
type Overview interface {
	Queues(ctx context.Context) (client.QueueList, error)
	SetQueues(ctx context.Context, config queue.Config) (client.QueueList, error)
	Nodes(ctx context.Context) (client.NodeList, error)
	Cluster(ctx context.Context) (client.Cluster, error)
}

//go:embed control.json
var controlDoc []byte

// maxSubmission bounds a submission, in bytes.
const maxSubmission = 4 << 20

// ControlPart takes jobs, and tells of the fleet.
func ControlPart(s Submitter, o Overview) Part {
	return Part{Doc: controlDoc, Routes: []Route{
		{"POST /v1/ids", access.Submit, func(w http.ResponseWriter, r *http.Request) error { return newID(w, r, s) }},
		{"POST /v1/jobs", access.Submit, func(w http.ResponseWriter, r *http.Request) error { return submit(w, r, s) }},
		{"POST /v1/jobs/{id}/resume", access.Submit,
			func(w http.ResponseWriter, r *http.Request) error { return resume(w, r, s) }},
		{"GET /v1/queues", access.Read, func(w http.ResponseWriter, r *http.Request) error {
			list, err := o.Queues(r.Context())
			return queues(w, r, list, err)
		}},
		{"PUT /v1/queues", access.Admin, func(w http.ResponseWriter, r *http.Request) error {
			var config queue.Config
			if err := readJSON(w, r, &config, maxSubmission); err != nil {
				return err
			}
			list, err := o.SetQueues(r.Context(), config)
			return queues(w, r, list, err)
		}},
		{"GET /v1/nodes", access.Read, func(w http.ResponseWriter, r *http.Request) error { return nodes(w, r, o) }},
		{"GET /v1/cluster", access.Read, telling(o.Cluster)},
	}}
}

// queues answers with a page of those who wait.
func queues(w http.ResponseWriter, r *http.Request, list client.QueueList, err error) error {
	if err != nil {
		return err
	}
	list.Jobs, list.Next, err = pageInOrder(r, named, list.Jobs, func(q client.Queued) string { return string(q.Job) })
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

func nodes(w http.ResponseWriter, r *http.Request, o Overview) error {
	list, err := o.Nodes(r.Context())
	if err != nil {
		return err
	}
	if list.Nodes, list.Next, err = page(r, list.Nodes, func(n client.Node) string { return n.ID }); err != nil {
		return err
	}
	return writeJSON(w, list)
}

// telling answers with what a function returns.
func telling[T any](what func(context.Context) (T, error)) Answer {
	return func(w http.ResponseWriter, r *http.Request) error {
		doc, err := what(r.Context())
		if err != nil {
			return err
		}
		return writeJSON(w, doc)
	}
}

func newID(w http.ResponseWriter, r *http.Request, s Submitter) error {
	var ask struct {
		Name string `json:"name"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	id, err := s.NewID(r.Context(), ask.Name)
	if err != nil {
		return err
	}
	return writeJSON(w, client.Submitted{Job: id})
}

func submit(w http.ResponseWriter, r *http.Request, s Submitter) error {
	var sub client.Submission
	if err := readJSON(w, r, &sub, maxSubmission); err != nil {
		return err
	}
	if sub.Key == "" {
		sub.Key = r.Header.Get("Idempotency-Key")
	}
	id, err := s.Submit(r.Context(), sub)
	if err != nil {
		return err
	}
	return writeJSON(w, client.Submitted{Job: id})
}

func resume(w http.ResponseWriter, r *http.Request, s Submitter) error {
	var ask struct {
		Env map[string]string `json:"env"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	id := scheduler.JobID(r.PathValue("id"))
	if err := s.Resume(r.Context(), id, ask.Env); err != nil {
		return err
	}
	return writeJSON(w, client.Submitted{Job: id})
}
