// Package training gives iterative jobs what lies beside their engine: the files of an input, found as MapReduce finds
// them, and an output that is published as MapReduce's are, all of it or nothing, with a manifest that can be verified.
//
//	engine ── List ─────▶ mapreduce/split     files, folders, globs
//	       ── Publish ──▶ mapreduce/commit    model.json, metrics.jsonl, _SUCCESS
package training

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/guagua/child"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/guagua/split"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/proof"
	mrsplit "github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// Surroundings is what a job works with: the built-in programs, or those of its package.
func Surroundings(ctx context.Context, job scheduler.Job, resolve store.Resolve) (engine.Surroundings, error) {
	p := publisher{job, resolve}
	with := engine.Surroundings{Programs: algo.Builtins(), Resolve: resolve, List: p.list, Publisher: p}
	var o engine.Options
	if err := json.Unmarshal(job.Engine, &o); err != nil {
		return with, errs.E("training.Surroundings", errs.Corrupt, job.ID, err)
	}
	if !o.Packaged() {
		return with, nil
	}
	if job.Package == "" {
		return with, say.Errorf(errs.Invalid, "master and worker are in no package; say package: ./BINARY")
	}
	var err error
	with.Programs, err = child.Programs(ctx, job.Package)
	return with, err
}

// publisher finds the input of one job and publishes its output.
type publisher struct {
	job     scheduler.Job
	resolve store.Resolve
}

func (p publisher) list(ctx context.Context, inputs []string) ([]split.File, error) {
	found, err := mrsplit.List(ctx, p.resolve, inputs)
	if err != nil {
		return nil, err
	}
	output := strings.TrimRight(p.job.Output, "/")
	files := make([]split.File, len(found))
	for i, f := range found {
		if mrsplit.Within(f.URI, output) {
			return nil, say.Errorf(errs.Invalid, "the input %s lies inside the output %s; choose another output",
				say.Path(f.URI), say.Path(output))
		}
		files[i] = split.File{URI: f.URI, Size: f.Size}
	}
	return files, nil
}

// Check implements engine.Publisher.
func (p publisher) Check(ctx context.Context) error {
	c, err := commit.New(ctx, p.job, p.resolve)
	if err != nil {
		return err
	}
	return c.Check(ctx)
}

// Publish implements engine.Publisher.
func (p publisher) Publish(ctx context.Context, o engine.Output) (engine.Published, error) {
	c, err := commit.New(ctx, p.job, p.resolve)
	if err != nil {
		return engine.Published{}, err
	}
	digest, err := proof.Digest(p.job)
	if err != nil {
		return engine.Published{}, err
	}
	m := proof.Manifest{
		Kind: engine.Kind, Job: p.job.ID, Name: p.job.Name, Spec: digest, Finished: time.Now().UTC(),
		Totals: proof.Totals{
			SplitsPlanned: int64(o.Splits), SplitsRead: int64(o.SplitsRead), BytesPlanned: o.Bytes, BytesRead: o.BytesRead,
		},
	}
	var parts []commit.Part
	for _, f := range o.Files {
		part, err := copyFile(ctx, c, f)
		if err != nil {
			return engine.Published{}, err
		}
		parts = append(parts, part)
		m.Parts = append(m.Parts, proof.Part{Name: part.Name, Bytes: part.Bytes, CRC32C: part.CRC32C})
		m.Totals.OutputBytes += part.Bytes
	}
	if err := m.Totals.Check(); err != nil {
		return engine.Published{}, err
	}
	if m, err = c.Commit(ctx, parts, m); err != nil { // of the first time, if this is not
		return engine.Published{}, err
	}
	return published(m), nil
}

func published(m proof.Manifest) engine.Published {
	p := engine.Published{Bytes: m.Totals.OutputBytes}
	for _, part := range m.Parts {
		p.Files = append(p.Files, part.Name)
	}
	slices.Sort(p.Files)
	return p
}

// copyFile makes a part of a file. The whole output is put out by one attempt, the commit itself.
func copyFile(ctx context.Context, c commit.Committer, f engine.File) (commit.Part, error) {
	const op = "training.Publish"
	r, err := f.Open(ctx)
	if err != nil {
		return commit.Part{}, errs.E(op, errs.Other, f.Name, err)
	}
	defer r.Close()
	w, err := c.Create(ctx, scheduler.AttemptID{Task: scheduler.TaskID{Stage: "commit"}}, f.Name)
	if err != nil {
		return commit.Part{}, err
	}
	defer w.Abort(ctx) // no effect once committed
	n, err := io.Copy(w, r)
	if err == nil && n != f.Size {
		err = errors.New("its length has changed")
	}
	if err != nil {
		return commit.Part{}, errs.E(op, errs.Other, f.Name, err)
	}
	return w.Commit(ctx)
}

// Abort implements engine.Publisher.
func (p publisher) Abort(ctx context.Context) error {
	c, err := commit.New(ctx, p.job, p.resolve)
	switch errs.KindOf(err) {
	case errs.Invalid, errs.Unsupported:
		return nil // then nothing was ever written
	}
	if err != nil {
		return err
	}
	return c.Abort(ctx)
}
