package spec

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/task"
	"github.com/seed3322913c/runner/scheduler"
)

// written is a job in the order in which people write its keys.
type written struct {
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	Input     []string        `json:"input,omitempty"`
	Output    string          `json:"output,omitempty"`
	Overwrite bool            `json:"overwrite,omitempty"`
	MapReduce json.RawMessage `json:"mapreduce,omitempty"`
	Guagua    json.RawMessage `json:"guagua,omitempty"`
	Task      json.RawMessage `json:"task,omitempty"`
	Files     []string        `json:"files,omitempty"`
	Archives  []string        `json:"archives,omitempty"`
	Package   string          `json:"package,omitempty"`
	Resources struct {
		Executors int    `json:"executors,omitempty"` // none: auto
		CPU       int    `json:"cpu,omitempty"`
		GPUs      int    `json:"gpus,omitempty"`
		Memory    string `json:"memory,omitempty"`
	} `json:"resources"`
	Queue    string `json:"queue,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Retry    struct {
		Task    int    `json:"task,omitempty"`
		Job     int    `json:"job,omitempty"`
		Node    int    `json:"node,omitempty"`
		Timeout string `json:"timeout,omitempty"`
	} `json:"retry"`
	Secrets []string `json:"secrets,omitempty"`
}

// YAML writes a job so that Parse and Job make the same again, from wherever it is run.
func YAML(job scheduler.Job) ([]byte, error) {
	w := written{
		Kind: job.Kind, Name: job.Name, Input: job.Input, Output: job.Output, Overwrite: job.Overwrite, Package: job.Package,
		Queue: job.Queue, Priority: job.Priority, Secrets: job.Secrets,
	}
	for _, f := range job.Files {
		text := f.URI + "#" + f.Name
		if f.Archive {
			w.Archives = append(w.Archives, text)
		} else {
			w.Files = append(w.Files, text)
		}
	}
	r := job.Resources
	w.Resources.Executors, w.Resources.CPU, w.Resources.GPUs, w.Resources.Memory = r.Executors, r.CPU, r.GPUs,
		sizeText(r.Memory)
	w.Retry.Task, w.Retry.Job, w.Retry.Node = job.Retry.Task, job.Retry.Job, job.Retry.Node
	w.Retry.Timeout = timeoutText(job.Retry.Timeout)
	if err := w.engine(job); err != nil {
		return nil, errs.E("spec.YAML", errs.Corrupt, job.ID, err)
	}
	text, err := json.Marshal(w)
	if err == nil {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return nil, errs.E("spec.YAML", errs.Internal, job.ID, err)
	}
	return text, nil
}

// engine writes what a job's engine is told.
func (w *written) engine(job scheduler.Job) error {
	switch job.Kind {
	case engine.Kind:
		w.Guagua = job.Engine
	case task.Kind:
		var options map[string]any
		if err := json.Unmarshal(job.Engine, &options); err != nil {
			return err
		}
		if ns, ok := options["timeout"].(float64); ok {
			options["timeout"] = timeoutText(time.Duration(ns))
		}
		var err error
		w.Task, err = json.Marshal(options)
		return err
	default:
		w.MapReduce = job.Engine
		var options mapreduce.Options
		if err := json.Unmarshal(job.Engine, &options); err != nil {
			return err
		}
		if len(options.Inputs) > 0 {
			w.Input = nil // which is all of theirs
		}
	}
	return nil
}

// timeoutText is the inverse of ParseTimeout; "" for none.
func timeoutText(d time.Duration) string {
	switch d {
	case 0:
		return ""
	case Never:
		return "never"
	}
	return d.String()
}

// sizeText writes a number of bytes as people would; "" for none.
func sizeText(n int64) string {
	switch {
	case n == 0:
		return ""
	case n%(1<<30) == 0:
		return fmt.Sprintf("%dGiB", n>>30)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dB", n)
}
