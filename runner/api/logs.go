package api

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
)

const suffix = ".log"

func (s *server) logs(w http.ResponseWriter, r *http.Request) error {
	job, err := s.of(r)
	if err != nil {
		return err
	}
	entries, err := fs.ReadDir(s.jobs.Logs(job.ID), ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("api.Logs", errs.Other, job.ID, err)
	}
	all := client.LogList{Logs: []client.LogFile{}}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && strings.HasSuffix(entry.Name(), suffix) { // else it has just gone
			all.Logs = append(all.Logs, client.LogFile{Name: strings.TrimSuffix(entry.Name(), suffix), Bytes: info.Size()})
		}
	}
	if all.Logs, all.Next, err = page(r, all.Logs, func(l client.LogFile) string { return l.Name }); err != nil {
		return err
	}
	return writeJSON(w, all)
}

// log sends a log from an offset on.
func (s *server) log(w http.ResponseWriter, r *http.Request) error {
	offset, err := number(r, "offset", 0, math.MaxInt64)
	if err != nil {
		return err
	}
	job, err := s.of(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	f, err := s.jobs.Logs(job.ID).Open(name + suffix)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return say.Errorf(errs.NotFound, "job %s has no log %q", job.ID, name)
	}
	if err != nil {
		return errs.E("api.Log", errs.Other, name, err)
	}
	defer f.Close() // nothing was written
	if seeker, ok := f.(io.Seeker); ok {
		_, err = seeker.Seek(offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, offset)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return errs.E("api.Log", errs.Other, name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPiece))
	if err != nil {
		return errs.E("api.Log", errs.Other, name, err)
	}
	return writePiece(w, text, offset)
}
