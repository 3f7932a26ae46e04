package progress

import (
	"fmt"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/scheduler/am"
)

// row is a line of a view: a stage, and the texts beside its bar.
type row struct {
	am.StageReport
	texts []string
}

// rows returns what there is to see of a job: its stages, or for training one line for master and workers together.
func rows(r am.Report, cores int, seen *training, now time.Time) []row {
	if r.Kind == engine.Kind {
		return seen.rows(r)
	}
	all := make([]row, len(r.Stages))
	for i, s := range r.Stages {
		all[i] = row{s, fields(s, cores, now)}
	}
	return all
}

// training is what was seen of a training job so far. Reports only have what is new.
type training struct {
	last   guagua.Status
	losses []float64
}

// maxLosses bounds what is kept: then every second one goes.
const maxLosses = 4096

// note takes what the master of a report says, and reports whether that is news.
func (t *training) note(r am.Report) bool {
	if r.Kind != engine.Kind {
		return false
	}
	for _, a := range r.Attempts {
		s, ok := guagua.ParseStatus(a.Status)
		if !ok || s.Iteration == t.last.Iteration {
			continue
		}
		t.last = s
		if s.Name == "loss" {
			t.losses = append(t.losses, s.Value)
		}
		if len(t.losses) > maxLosses {
			for i := range maxLosses / 2 {
				t.losses[i] = t.losses[2*i]
			}
			t.losses = t.losses[:maxLosses/2]
		}
		return true
	}
	return false
}

// curveWidth is how many cells the curve of losses has at most: with it, a line fits into 80 columns.
const curveWidth = 8

// rows makes one stage of all: its progress is the master's.
func (t *training) rows(r am.Report) []row {
	if len(r.Stages) == 0 {
		return nil
	}
	all := r.Stages[0]
	all.Name = "train"
	for _, s := range r.Stages[1:] {
		all.Tasks, all.Done = all.Tasks+s.Tasks, all.Done+s.Done
		all.Failed, all.Lost = all.Failed+s.Failed, all.Lost+s.Lost
	}
	if all.Done < all.Tasks {
		all.Ended = time.Time{}
	}
	return []row{{all, t.fields(all)}}
}

func (t *training) fields(s am.StageReport) []string {
	var all []string
	switch {
	case s.Done == s.Tasks: // the last iterations were not seen, as a rule
		all = append(all, format.Plural(int64(s.Tasks-1), "worker"))
	case t.last.Iterations > 0:
		all = append(all, fmt.Sprintf("%7s at %s/s",
			format.Count(int64(t.last.Iteration))+"/"+format.Count(int64(t.last.Iterations)), format.Significant(t.last.Rate)))
	default:
		all = append(all, "loading")
	}
	switch {
	case len(t.losses) > 0:
		all = append(all, "loss "+format.Trend(t.losses, curveWidth))
	case t.last.Name != "":
		all = append(all, fmt.Sprintf("%s %.4g", t.last.Name, t.last.Value))
	}
	if bad := s.Failed + s.Lost; bad > 0 {
		all = append(all, fmt.Sprintf("%d tried again", bad))
	}
	return all
}
