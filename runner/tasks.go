package main

import (
	"encoding/json"
	"fmt"

	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/task"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// This file is what people read of a job of kind task that has worked.

// tasksOf says what a finished job has done, a line or two.
func tasksOf(job scheduler.Job, r am.Report) (text string, ok bool) {
	var s task.Summary
	if job.Kind != task.Kind || json.Unmarshal(r.Result, &s) != nil {
		return "", false
	}
	text = tasksLine(int64(s.Tasks))
	if s.Output != "" {
		text += fmt.Sprintf("Output: %s (%s, %s)\n", say.Path(s.Output), format.Plural(int64(s.Files), "file"),
			format.Bytes(s.Bytes))
	}
	return text, true
}

// tasksLine says what was checked before the job was done.
func tasksLine(n int64) string {
	return fmt.Sprintf("%s ended with status 0.\n", format.Plural(n, "task"))
}
