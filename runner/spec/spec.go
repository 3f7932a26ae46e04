// Package spec reads what people ask for: a job in YAML, or the same as flags.
//
// A specification goes through three hands. Parse reads YAML, checks it against schema.json (from which docs/spec.md is
// generated) and tells mistakes with their line. Flags overlay it, each meaning the same as the key of its name. Job
// makes the scheduler's job out of it: paths become absolute URIs, what was left open gets its default.
//
//	job.yaml ──Parse──▶ Spec ◀──Apply── Flags
//	                      └──Job──▶ scheduler.Job ──▶ jobs/<id>/job.json
package spec

import (
	"cmp"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/task"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// Spec is one job as people write it. Its zero fields are what they left open.
type Spec struct {
	Kind         string              `json:"kind"` // empty: mapreduce
	Name         string              `json:"name"`
	Input        []string            `json:"input"`
	Output       string              `json:"output"`
	Overwrite    bool                `json:"overwrite"`
	Needs        []string            `json:"needs"` // names of other jobs of the file
	Intermediate bool                `json:"intermediate"`
	MapReduce    mapreduce.Options   `json:"mapreduce"`
	Guagua       engine.Options      `json:"guagua"`
	Task         task.Options        `json:"task"`
	Files        []string            `json:"files"`
	Archives     []string            `json:"archives"`
	Package      string              `json:"package"`
	Secrets      []string            `json:"secrets"`
	Resources    scheduler.Resources `json:"resources"` // Executors is 0 for auto
	Queue        string              `json:"queue"`
	Priority     int                 `json:"priority"`
	Retry        scheduler.Retry     `json:"retry"`
}

// What a job gets when nothing is said.
const (
	DefaultCPU    = 1
	DefaultMemory = 1 << 30
	DefaultQueue  = "default"
	DefaultTries  = 4 // FAILED attempts of a task
	DefaultAMs    = 2 // application masters

	// DefaultTimeout is how long an attempt may give no news in a job of kind mapreduce, as Hadoop has it.
	DefaultTimeout = 10 * time.Minute
)

// Job returns the scheduler's job, without an id and the time of submission, which the submitter adds. Relative paths
// are meant from dir, an absolute path. Errors are of kind Invalid.
func (s Spec) Job(dir string) (scheduler.Job, error) {
	s, err := s.withInputs(dir)
	if err != nil {
		return scheduler.Job{}, err
	}
	if s.Output == "" && s.Kind != task.Kind {
		return scheduler.Job{}, say.Errorf(errs.Invalid, "the job has no output; say --output FOLDER")
	}
	if len(s.Input) == 0 && s.MapReduce.Maps == 0 && s.Kind != task.Kind {
		return scheduler.Job{}, say.Errorf(errs.Invalid, "the job has no input; say --input PATH")
	}
	options, err := s.options(dir)
	if err != nil {
		return scheduler.Job{}, err
	}
	job := scheduler.Job{
		Kind: cmp.Or(s.Kind, mapreduce.Kind), Name: CleanName(s.Name), Overwrite: s.Overwrite, Resources: s.Resources,
		Queue: s.Queue, Priority: s.Priority, Retry: s.Retry, Engine: options, Secrets: s.Secrets,
	}
	if job.Files, err = s.files(dir); err != nil {
		return scheduler.Job{}, err
	}
	for _, in := range s.Input {
		uri, err := URI(in, dir)
		if err != nil {
			return scheduler.Job{}, err
		}
		job.Input = append(job.Input, uri)
	}
	if s.Output != "" {
		if job.Output, err = URI(s.Output, dir); err != nil {
			return scheduler.Job{}, err
		}
	}
	if s.Package != "" {
		job.Package = absolute(s.Package, dir)
	} else if (s.MapReduce.Programs() || s.Kind == task.Kind) && len(job.Files) == 0 {
		job.Package = dir // where people have their programs, and where they have said of no file what is needed
	}
	fill(&job)
	return job, nil
}

// files returns what all tasks find.
func (s Spec) files(dir string) (all []scheduler.File, err error) {
	for i, text := range slices.Concat(s.Files, s.Archives) {
		f, err := cache.FileOf(text, func(path string) (string, error) { return URI(path, dir) })
		if err != nil {
			return nil, err
		}
		f.Archive = i >= len(s.Files)
		all = append(all, f)
	}
	if len(all) > 0 && s.Kind == engine.Kind {
		return nil, say.Errorf(errs.Unsupported, "files and archives are for jobs of kind %s or %s",
			mapreduce.Kind, task.Kind)
	}
	return all, nil
}

// options returns the engine's part of the job.
func (s Spec) options(dir string) (json.RawMessage, error) {
	var options any
	switch {
	case s.Kind == task.Kind:
		if err := s.Task.Validate(len(s.Input) > 0); err != nil {
			return nil, err
		}
		options = s.Task
	case s.Kind == engine.Kind && s.Guagua.Packaged(): // what names a file there only the package knows
		options = s.Guagua
	case s.Kind == engine.Kind:
		absolute, err := s.Guagua.WithURIs(algo.Builtins(), func(text string) (string, error) { return URI(text, dir) })
		if err != nil {
			return nil, err
		}
		options = absolute
	default:
		if err := s.MapReduce.Validate(); err != nil {
			return nil, err
		}
		options = s.MapReduce
	}
	data, err := json.Marshal(options)
	if err != nil {
		return nil, errs.E("spec.Job", errs.Internal, nil, err)
	}
	return data, nil
}

// fill puts the defaults in for what is zero.
func fill(job *scheduler.Job) {
	if job.Resources.CPU == 0 {
		job.Resources.CPU = DefaultCPU
	}
	if job.Resources.Memory == 0 {
		job.Resources.Memory = DefaultMemory
	}
	if job.Queue == "" {
		job.Queue = DefaultQueue
	}
	if job.Retry.Task == 0 {
		job.Retry.Task = DefaultTries
	}
	if job.Retry.Job == 0 {
		job.Retry.Job = DefaultAMs
	}
	if job.Retry.Timeout == 0 && job.Kind == mapreduce.Kind {
		job.Retry.Timeout = DefaultTimeout
	}
}

var (
	unfit  = regexp.MustCompile(`[^a-z0-9._-]+`)
	scheme = regexp.MustCompile(`(?s)^([a-z][a-z0-9+.-]*)://(.*)$`)
)

// CleanName makes the name of a job, as its id holds it, out of whatever text: lower case, nothing odd, never empty.
func CleanName(text string) string {
	name := strings.TrimLeft(unfit.ReplaceAllString(strings.ToLower(text), "-"), "._-")
	name = strings.TrimRight(name[:min(len(name), 63)], "-")
	if name == "" {
		return "job"
	}
	return name
}

// URI makes an absolute URI of what people type: a path is a file, relative to dir; what has a scheme stays. Nothing is
// escaped in such a URI: what follows file:// is the path, byte for byte, so that *, ? and [ go on to be a glob.
func URI(text, dir string) (string, error) {
	m := scheme.FindStringSubmatch(text)
	switch {
	case m == nil && text == "":
		return "", say.Errorf(errs.Invalid, "an empty path names nothing")
	case m == nil:
		return "file://" + absolute(text, dir), nil
	case m[1] == "file" && !filepath.IsAbs(m[2]):
		return "", say.Errorf(errs.Invalid, "%s is no absolute path; write file:///PATH, or the path alone", text)
	case m[1] == "file":
		return "file://" + filepath.Clean(m[2]), nil
	case strings.Trim(m[2], "/") == "":
		return "", say.Errorf(errs.Invalid, "%s names no place in %s", text, m[1])
	}
	return text, nil
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
