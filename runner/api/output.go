package api

import (
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// outputList is a page of what a job has put out.
type outputList struct {
	Files []outputFile `json:"files"`
	Next  string       `json:"next,omitempty"`
}

type outputFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

func (s *server) output(w http.ResponseWriter, r *http.Request) error {
	job, st, folder, err := s.outputOf(r)
	if err != nil {
		return err
	}
	files := func(yield func(outputFile, error) bool) {
		for info, err := range st.List(r.Context(), string(folder)+"/") {
			if err != nil {
				err = errs.E("api.Output", errs.Other, job.Output, err)
			}
			name := strings.TrimPrefix(string(info.Name), string(folder)+"/")
			if !yield(outputFile{name, info.Size}, err) {
				return
			}
		}
	}
	var list outputList
	list.Files, list.Next, err = pageOfSeq(r, named, files, func(f outputFile) string { return f.Name })
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

// outputOf returns where the job of a request writes.
func (s *server) outputOf(r *http.Request) (scheduler.Job, store.Store, store.Name, error) {
	job, err := s.of(r)
	if err != nil {
		return job, nil, "", err
	}
	if job.Output == "" {
		return job, nil, "", say.Errorf(errs.NotFound, "job %s has no output", job.ID)
	}
	st, folder, err := s.resolve(r.Context(), strings.TrimRight(job.Output, "/"))
	return job, st, folder, err
}

// file sends a file of the output from an offset on, as log does.
func (s *server) file(w http.ResponseWriter, r *http.Request) error {
	offset, err := number(r, "offset", 0, math.MaxInt64)
	if err != nil {
		return err
	}
	job, st, folder, err := s.outputOf(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	whole := folder.Join(name)
	if whole.Check() != nil || !strings.HasPrefix(string(whole), string(folder)+"/") {
		return say.Errorf(errs.NotFound, "job %s has put out no %q", job.ID, name)
	}
	info, err := st.Stat(r.Context(), whole)
	if err != nil {
		return err
	}
	var text []byte
	if offset < info.Size {
		body, err := st.Open(r.Context(), whole, store.Range{Offset: offset, Length: min(maxPiece, info.Size-offset)})
		if err != nil {
			return err
		}
		defer body.Close() // nothing was written
		if text, err = io.ReadAll(body); err != nil {
			return errs.E("api.File", errs.Other, name, err)
		}
	}
	return writePiece(w, text, offset)
}
