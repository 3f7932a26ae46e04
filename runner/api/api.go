// Package api tells programs and the web page over HTTP what people are told by the verbs: jobs, their attempts, logs.
//
//	GET  /v1/jobs?limit=50&after=ID            the newest first, a page at a time
//	GET  /v1/jobs/{id}                         how a job stands, without its attempts
//	GET  /v1/jobs/{id}/spec                    the job as it was submitted; spec.yaml: to submit it again
//	GET  /v1/jobs/{id}/attempts                in the order in which they started
//	GET  /v1/jobs/{id}/usage                   what it has used, and what that costs
//	GET  /v1/jobs/{id}/events                  how a job stands, at each change, as server-sent events
//	GET  /v1/jobs/{id}/logs                    the names of its logs
//	GET  /v1/jobs/{id}/logs/{name}?offset=N    text, from a byte on
//	GET  /v1/jobs/{id}/output                  the names of the files that it has put out
//	GET  /v1/jobs/{id}/output/{name}?offset=N  such a file, from a byte on
//	POST /v1/jobs/{id}/kill                    resize
//	GET  /v1/schedules                         what runs by the clock
//	GET  /v1/schedules/{name}                  one of them; PUT makes it, DELETE removes it
//	GET  /v1/schedules/{name}/firings          what became of its slots, the latest first
//	POST /v1/schedules/{name}/pause            resume, trigger
//	POST /v1/ids                               draws an id for a job
//	POST /v1/jobs                              takes a job; the same key gives the same job
//	POST /v1/jobs/{id}/resume
//	GET  /v1/queues                            how queues stand, and who waits; PUT changes them
//	GET  /v1/nodes, /v1/cluster                a fleet's machines, and the whole of it
//	GET  /v1/tokens                            who may ask; POST makes one, DELETE removes one
//	GET  /metrics, /debug/pprof/               of the process that answers
//	GET  /v1/openapi.json                      all of this for machines
//
// {id} is a job's id or as much of its beginning as no other job has. Answers are JSON with stable names: fields are
// added, never renamed. Lists come in pages: limit=N says how many, and after= what the page before has as next. Errors
// are problem documents (RFC 9457) whose detail is the sentence that a verb would print.
//
// The API is made of parts (jobs are one), each with its routes and with the piece of openapi.json that describes them;
// New puts them together, and refuses routes that nobody has described.
package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"strconv"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Jobs is what the API tells about. All methods may be called at once.
type Jobs interface {
	// All returns every job, the newest first.
	All(ctx context.Context) ([]scheduler.Job, error)
	// Find returns the one job whose id begins with prefix.
	Find(ctx context.Context, prefix string) (scheduler.Job, error)
	Status(ctx context.Context, job scheduler.Job) (embedded.Status, error)
	Kill(ctx context.Context, job scheduler.Job, reason string) (embedded.Status, error)
	// Logs holds the files NAME.log of a job.
	Logs(id scheduler.JobID) fs.FS
}

// Resizer is Jobs that can be larger and smaller while they run.
type Resizer interface {
	// Resize gives a running job another number of executors.
	Resize(ctx context.Context, job scheduler.Job, executors int) error
}

// Meter is Jobs that know what one has used.
type Meter interface {
	// Used tells what a job has used so far, by a report with all of its attempts.
	Used(ctx context.Context, r am.Report) client.Usage
}

// Watcher is Jobs that tell by themselves when a job changes. Others are looked at again and again.
type Watcher interface {
	// Watch yields how a job stands, now and at each change, until it is over or was cut off.
	Watch(ctx context.Context, job scheduler.Job) iter.Seq2[embedded.Status, error]
}

// server answers requests about jobs. It keeps what never changes again.
type server struct {
	jobs    Jobs
	resolve store.Resolve // for outputs
	settled settled
	streams chan struct{} // a place for each stream of events
}

//go:embed jobs.json
var jobsDoc []byte

// JobsPart answers everything about the jobs that there are. Outputs are read as resolve says.
func JobsPart(jobs Jobs, resolve store.Resolve) Part {
	s := &server{jobs: jobs, resolve: resolve, streams: make(chan struct{}, maxStreams)}
	return Part{Doc: jobsDoc, Routes: []Route{
		{"GET /v1/jobs", access.Read, s.list},
		{"GET /v1/jobs/{id}", access.Read, s.status},
		{"GET /v1/jobs/{id}/spec", access.Read, s.spec},
		{"GET /v1/jobs/{id}/spec.yaml", access.Read, s.specYAML},
		{"GET /v1/jobs/{id}/attempts", access.Read, s.attempts},
		{"GET /v1/jobs/{id}/usage", access.Read, s.usage},
		{"GET /v1/jobs/{id}/events", access.Read, s.events},
		{"GET /v1/jobs/{id}/logs", access.Read, s.logs},
		{"GET /v1/jobs/{id}/logs/{name}", access.Read, s.log},
		{"GET /v1/jobs/{id}/output", access.Read, s.output},
		{"GET /v1/jobs/{id}/output/{name...}", access.Read, s.file},
		{"POST /v1/jobs/{id}/kill", access.Submit, s.kill},
		{"POST /v1/jobs/{id}/resize", access.Submit, s.resize},
	}}
}

// gone drops the error of a write to a client that has left: nobody is there to be told.
func gone(error) error { return nil }

// writeJSON answers with a document that is never kept by a cache.
func writeJSON(w http.ResponseWriter, doc any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return errs.E("api.Answer", errs.Internal, nil, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, err = w.Write(append(text, '\n'))
	return gone(err)
}

// maxPiece is how much of a file is sent at a time, in bytes.
const maxPiece = 1 << 20

// writePiece answers with a piece of a file, as text: whatever it is, no browser takes it for a page. The header
// Runner-Next says where to go on.
func writePiece(w http.ResponseWriter, text []byte, offset int64) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Runner-Next", strconv.FormatInt(offset+int64(len(text)), 10))
	_, err := w.Write(text)
	return gone(err)
}

// problem is an error as RFC 9457 has it, with the kind that programs can switch on.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Kind   string `json:"kind"`
}

// refusal is an error whose status says more than its kind does.
type refusal struct {
	error
	status int
}

func (r refusal) Unwrap() error { return r.error }

// WriteProblem tells an error as the API does.
func WriteProblem(w http.ResponseWriter, err error) {
	status := statusOf(errs.KindOf(err))
	if r, ok := errors.AsType[refusal](err); ok {
		status = r.status
	}
	p := problem{Status: status, Detail: say.Sentence(err), Kind: errs.KindOf(err).String()}
	p.Title = http.StatusText(p.Status)
	text, err := json.Marshal(p)
	if err != nil {
		text = nil // strings and a number can always be written
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // nobody is left to be told
}

// statusOf is the one place where an error becomes a status of HTTP.
func statusOf(kind errs.Kind) int {
	switch kind {
	case errs.Invalid, errs.Unsupported:
		return http.StatusBadRequest
	case errs.Permission:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Exist:
		return http.StatusConflict
	case errs.Exhausted:
		return http.StatusTooManyRequests
	case errs.Unavailable, errs.Canceled, errs.Fenced: // somebody else leads by now, who can be asked again
		return http.StatusServiceUnavailable
	default: // Other, Corrupt, Failed, Internal
		return http.StatusInternalServerError
	}
}

// number reads a whole number out of the query, from 0 to most; without it, it is def.
func number(r *http.Request, name string, def, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, say.Errorf(errs.Invalid, "%s=%q is not a number from 0 to %d", name, text, most)
	}
	return n, nil
}
