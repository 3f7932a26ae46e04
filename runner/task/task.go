// Package task runs a command of the user's many times: an array job, as batch systems have it.
//
// It is the smallest engine: one stage, whose tasks differ by a number, and by a file if the job has input. What a
// command leaves in its output folder becomes part of the job's output, published as MapReduce's is: all of it or
// nothing, once, with a manifest.
//
//	Engine ── Plan ────▶ jobs/<id>/tasks       how many, and the file of each
//	       ── Payload ─▶ Body ──▶ sh -c COMMAND, in a folder with the job's files and package
//	       ── Commit ──▶ mapreduce/commit      task-0/..., task-1/..., _SUCCESS
//
// The command finds in its environment:
//
//	RUNNER_TASK_INDEX   its number, from 0
//	RUNNER_TASKS        how many there are
//	RUNNER_JOB          the job's id
//	RUNNER_ATTEMPT      which try this is: task-3.0
//	RUNNER_OUTPUT       an empty folder: what is in it at the end is the task's output; only if the job has one
//	RUNNER_INPUT        the path of its file on this machine, and RUNNER_INPUT_URI where that came from; only with input
//
// Any exit status but 0 is a failed attempt. An attempt that a machine took with it is lost and runs again elsewhere; a
// command with side effects beyond its output folder has to bear that.
package task

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Kind is scheduler.Job.Kind of these jobs.
const Kind = "task"

// Stage is the name of the only stage, so that the first task is task-0.
const Stage = "task"

// MaxTasks bounds the tasks of a job.
const MaxTasks = 100_000

// Options is scheduler.Job.Engine of these jobs.
type Options struct {
	Command string            `json:"command"`           // a command line for the shell
	Tasks   int               `json:"tasks,omitempty"`   // how often it runs; 0: once for each file of the input
	Env     map[string]string `json:"env,omitempty"`     // added to the environment
	Timeout time.Duration     `json:"timeout,omitempty"` // that an attempt may take in all; 0 or less: for ever
	// Speculative allows a second attempt beside a slow one. Commands may have side effects, so it is off by default.
	Speculative bool `json:"speculative,omitempty"`
}

// Validate fails with errs.Invalid, in one sentence, if the options are wrong for any job. hasInput says whether the
// job has input.
func (o Options) Validate(hasInput bool) error {
	const op = "task.Validate"
	invalid := func(format string, args ...any) error { return errs.Errorf(op, errs.Invalid, nil, format, args...) }
	switch {
	case strings.TrimSpace(o.Command) == "":
		return invalid("the job has no command; say --command 'PROGRAM ARGUMENTS'")
	case strings.ContainsRune(o.Command, 0):
		return invalid("the command has a zero byte in it")
	case o.Tasks < 0 || o.Tasks > MaxTasks:
		return invalid("%d tasks; say a number from 1 to %d", o.Tasks, MaxTasks)
	case hasInput && o.Tasks > 0:
		return invalid("the job has input, so that there is a task for each of its files; leave out how many tasks")
	case !hasInput && o.Tasks == 0:
		return invalid("how many tasks? Say --tasks N, or --input PATH for a task for each file")
	}
	for name, value := range o.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return invalid("%q cannot be the name of an environment variable, or its value is none", name)
		}
		if strings.HasPrefix(name, prefix) {
			return invalid("the variable %s: names that begin with %s are the system's", name, prefix)
		}
	}
	return nil
}

// prefix begins the names of the variables that the system sets.
const prefix = "RUNNER_"

// optionsOf reads the options of a job.
func optionsOf(job scheduler.Job) (Options, error) {
	var o Options
	if err := json.Unmarshal(job.Engine, &o); err != nil {
		return o, errs.E("task.Options", errs.Corrupt, job.ID, err)
	}
	return o, o.Validate(len(job.Input) > 0)
}

// plan is the content of jobs/<id>/tasks.
type plan struct {
	Tasks int      `json:"tasks"`
	Files []source `json:"files,omitempty"` // of each task; none: the job has no input
}

// source is the input of a task.
type source struct {
	URI  string `json:"uri"`
	Size int64  `json:"size"` // in bytes
}

// payload is what an attempt is told.
type payload struct {
	Tasks int     `json:"tasks"`
	File  *source `json:"file,omitempty"`
}

// folder is where a task's output is in that of the job.
func folder(t scheduler.TaskID) string { return t.String() + "/" }

// Summary is what the history keeps of a finished job.
type Summary struct {
	Output   string    `json:"output,omitempty"`
	Tasks    int       `json:"tasks"`
	Files    int       `json:"files"` // in the output
	Bytes    int64     `json:"bytes"`
	Finished time.Time `json:"finished"`
}

func encode(what any) ([]byte, error) {
	data, err := json.Marshal(what)
	if err != nil {
		return nil, errs.E("task.encode", errs.Internal, fmt.Sprintf("%T", what), err)
	}
	return data, nil
}
