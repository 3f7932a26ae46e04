// Package schedules is what schedules run, and how they are shown: between package cron, which knows when, and the
// verbs and the API, which people and programs use.
//
//	runner schedule add ── Work ──▶ cron.Book ◀── cron.Serve ── Fill ──▶ a job, or a chain of jobs
package schedules

import (
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// Work is what a schedule runs: what `runner run` would have recorded when the schedule was added, ids left out, with
// the placeholders of a slot in it (see cron.Schedule.Fill). Exactly one of Job and Chain is there; only a Job may have
// a Fleet.
type Work struct {
	Line  string          `json:"line"` // as it was typed, for people
	Job   *scheduler.Job  `json:"job,omitempty"`
	Chain *embedded.Chain `json:"chain,omitempty"`
	Fleet *Fleet          `json:"fleet,omitempty"` // nil: it runs where the schedule is kept
}

// Encode writes a work for cron.Schedule.Work.
func (w Work) Encode() (json.RawMessage, error) {
	data, err := json.Marshal(w)
	if err != nil {
		return nil, errs.E("schedules.Encode", errs.Internal, w.Line, err)
	}
	return data, nil
}

// WorkOf reads a schedule's work as it is written, with its placeholders.
func WorkOf(s cron.Schedule) (Work, error) { return parse(s, string(s.Work)) }

// Fill returns a schedule's work for a slot. An unknown placeholder is an error of kind Invalid.
func Fill(s cron.Schedule, slot time.Time) (Work, error) {
	text, err := s.Fill(string(s.Work), slot)
	if err != nil {
		return Work{}, err
	}
	return parse(s, text)
}

func parse(s cron.Schedule, text string) (w Work, err error) {
	const op = "schedules.Work"
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return w, errs.E(op, errs.Corrupt, s.Name, err)
	}
	if (w.Job == nil) == (w.Chain == nil) {
		return w, errs.Errorf(op, errs.Corrupt, s.Name, "there is neither a job nor a chain, or both")
	}
	return w, nil
}

// Jobs are the jobs of a work, in the order of its specification.
func (w Work) Jobs() []scheduler.Job {
	if w.Job != nil {
		return []scheduler.Job{*w.Job}
	}
	var jobs []scheduler.Job
	for _, l := range w.Chain.Links {
		jobs = append(jobs, l.Job)
	}
	return jobs
}
