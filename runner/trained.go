package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/data"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/training"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// This file is what people read of a training job that has worked.

// trainingOf returns what a finished training job says about itself.
func trainingOf(job scheduler.Job, r am.Report) (s engine.Summary, ok bool) {
	if job.Kind != engine.Kind {
		return s, false
	}
	err := json.Unmarshal(r.Result, &s)
	return s, err == nil && s.Output != ""
}

// trained is the answer of a training job.
func trained(ctx context.Context, job scheduler.Job, r am.Report, s engine.Summary) string {
	line := "Done in " + format.Duration(took(r)) + ". " + metricsOf(ctx, job, r)
	m, err := readManifest(ctx, r)
	if err != nil { // somebody has removed it since
		return line + "\n" + filesLine(job.Output, s)
	}
	if bad := r.Counters.Get("Guagua", data.BadRecords); bad > 0 {
		line += fmt.Sprintf("\n%s left out; `runner logs %s` says which.", format.Plural(bad, "bad row"), short(job.ID))
	}
	return line + "\n" + readOnce(m.Totals) + fmt.Sprintf(" by %s.\n",
		format.Plural(int64(s.Members), "worker")) + filesLine(job.Output, s)
}

// metricsOf says how the iterations of a training job went, or how far it is.
func metricsOf(ctx context.Context, job scheduler.Job, r am.Report) string {
	s, ok := trainingOf(job, r)
	if !ok {
		for _, a := range r.Attempts {
			if _, ok := guagua.ParseStatus(a.Status); ok {
				return a.Status
			}
		}
		return ""
	}
	m, err := training.ReadMetrics(ctx, newResolver(""), job.Output)
	if err != nil { // somebody has removed it since
		return format.Plural(int64(s.Iterations), "step")
	}
	return m.String()
}

// filesLine says where the output lies, in words that can be pasted.
func filesLine(output string, s engine.Summary) string {
	place := say.Path(output)
	if len(s.Files) > fewParts {
		return fmt.Sprintf("Output: %s (%s, %s)\n", place, format.Plural(int64(len(s.Files)), "file"), format.Bytes(s.Bytes))
	}
	return fmt.Sprintf("Output: %s/%s\n", place, strings.Join(append(s.Files, proof.Success), ", "))
}
