package commit

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/upload"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// objects commits to a store that has no folders to rename, but takes uploads that one process begins and another one
// completes.
//
// Objects cannot be published together, so the output exists when _SUCCESS does. Commit completes all uploads before it
// writes that; whoever finds parts without it finds no output. With Overwrite the old _SUCCESS goes first.
type objects struct {
	job  scheduler.JobID
	uri  string
	st   store.Store
	mp   store.Multipart
	name store.Name // of the output
	over bool
}

// pending is Part.Upload: what completes a part.
type pending struct {
	Upload store.Upload `json:"upload"`
	Parts  []store.Part `json:"parts"`
}

const (
	partSize   = 8 << 20 // of an upload, at first: what an attempt holds is four of them
	completing = 16      // uploads completed or aborted at a time
)

// prefix begins the names of all objects of the output.
func (o *objects) prefix() string { return string(o.name) + "/" }

// look tells who wrote the output, if anybody. Others are the objects that are there, without _SUCCESS.
func (o *objects) look(ctx context.Context) (s state, owner *proof.Manifest, others []store.Info, err error) {
	for info, err := range o.st.List(ctx, o.prefix()) {
		if err != nil {
			return 0, nil, nil, err
		}
		s = foreign
		if info.Name != o.name.Join(proof.Success) {
			others = append(others, info)
			continue
		}
		b, err := store.Get(ctx, o.st, info.Name, proof.MaxManifest)
		if err != nil {
			return 0, nil, nil, err
		}
		if m, err := proof.Decode(b); err == nil {
			owner = &m
		}
	}
	if owner != nil && owner.Job == o.job {
		s = ours
	}
	return s, owner, others, nil
}

// Check implements Committer.
func (o *objects) Check(ctx context.Context) error {
	s, owner, others, err := o.look(ctx)
	switch {
	case err != nil:
		return errs.Errorf("commit.Check", errs.KindOf(err), nil, "output %s cannot be looked at: %s", o.uri, errs.Cause(err))
	case s == foreign && !o.over:
		return exists(o.uri, owner)
	case s == foreign:
		return o.replaceable(owner, others)
	}
	return nil
}

// replaceable fails unless there is nothing but what jobs write.
func (o *objects) replaceable(owner *proof.Manifest, others []store.Info) error {
	for _, info := range others {
		if rest := string(info.Name)[len(o.prefix()):]; !written(rest, owner) {
			return strange(o.uri, rest)
		}
	}
	return nil
}

// Create implements Committer.
func (o *objects) Create(ctx context.Context, attempt scheduler.AttemptID, name string) (Writer, error) {
	w := upload.New(ctx, o.mp, o.name.Join(name), upload.Options{PartSize: partSize})
	return &objectWriter{w, Part{Attempt: attempt, Name: name}}, nil
}

// objectWriter writes one part.
type objectWriter struct {
	*upload.Writer
	part Part
}

func (w *objectWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.part.Bytes += int64(n)
	w.part.CRC32C = w.part.CRC32C.Update(p[:n])
	return n, err
}

// Commit implements Writer.
func (w *objectWriter) Commit(ctx context.Context) (Part, error) {
	u, parts, err := w.Finish(ctx)
	if err != nil {
		return Part{}, err
	}
	w.part.Upload, err = json.Marshal(pending{u, parts})
	return w.part, err
}

// Commit implements Committer.
func (o *objects) Commit(ctx context.Context, parts []Part, m proof.Manifest) (proof.Manifest, error) {
	const op = "commit.Commit"
	s, owner, others, err := o.look(ctx)
	switch {
	case err != nil:
		return m, errs.E(op, errs.Other, o.uri, err)
	case s == ours:
		m = *owner
	default:
		if err = o.makeRoom(ctx, owner, others, parts); err == nil {
			err = o.publish(ctx, parts, m)
		}
	}
	if err == nil {
		err = o.Abort(ctx) // the uploads of attempts that do not count
	}
	if err != nil {
		return m, errs.E(op, errs.Other, o.uri, err)
	}
	return m, nil
}

// makeRoom deletes what may be overwritten, _SUCCESS first, and fails if something is there that may not. The names of
// parts are left alone: they may be this job's, from a try that was interrupted, and are replaced if they are not.
func (o *objects) makeRoom(ctx context.Context, owner *proof.Manifest, others []store.Info, parts []Part) error {
	mine := make(map[store.Name]bool, len(parts))
	for _, p := range parts {
		mine[o.name.Join(p.Name)] = true
	}
	if !o.over {
		for _, info := range others {
			if !mine[info.Name] {
				return exists(o.uri, owner)
			}
		}
		if owner != nil {
			return exists(o.uri, owner)
		}
		return nil
	}
	if err := o.replaceable(owner, others); err != nil {
		return err
	}
	if err := o.st.Delete(ctx, o.name.Join(proof.Success)); err != nil {
		return err
	}
	for _, info := range others {
		if !mine[info.Name] {
			if err := o.st.Delete(ctx, info.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish completes all uploads and then writes _SUCCESS.
func (o *objects) publish(ctx context.Context, parts []Part, m proof.Manifest) error {
	success, err := m.Encode()
	if err != nil {
		return err
	}
	var opts []store.CreateOption
	if !o.over {
		opts = append(opts, store.IfAbsent())
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(completing)
	for _, p := range parts {
		g.Go(func() error {
			var u pending
			if err := json.Unmarshal(p.Upload, &u); err != nil {
				return errs.E("commit.Commit", errs.Corrupt, p.Attempt, err)
			}
			err := o.mp.CompleteUpload(gctx, u.Upload, u.Parts, opts...)
			if errs.KindOf(err) == errs.Exist {
				return exists(o.uri, nil)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return store.Put(ctx, o.st, o.name.Join(proof.Success), success, store.IfAbsent())
}

// Abort implements Committer. It ends all uploads below the output, those of another job that is writing there at the
// same time included: only one of them could have published.
func (o *objects) Abort(ctx context.Context) error {
	var left []store.Upload
	for u, err := range o.mp.Uploads(ctx, o.prefix()) {
		if err != nil {
			return errs.E("commit.Abort", errs.Other, o.uri, err)
		}
		left = append(left, u)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(completing)
	for _, u := range left {
		g.Go(func() error { return o.mp.AbortUpload(ctx, u) })
	}
	if err := g.Wait(); err != nil {
		return errs.E("commit.Abort", errs.Other, o.uri, err)
	}
	return nil
}

// written reports whether name, of something in an output, is one that jobs write, or that the output's manifest has.
func written(name string, owner *proof.Manifest) bool {
	if owner != nil && slices.ContainsFunc(owner.Parts, func(p proof.Part) bool { return p.Name == name }) {
		return true
	}
	return proof.IsPart(name) || strings.HasPrefix(name, proof.Bad+"/") ||
		!strings.Contains(name, "/") && (name[0] == '_' || name[0] == '.')
}

// writtenFolder is written for a folder: there are parts in it, or could be.
func writtenFolder(name string, owner *proof.Manifest) bool {
	return name == proof.Bad || owner != nil && slices.ContainsFunc(owner.Parts, func(p proof.Part) bool {
		return strings.HasPrefix(p.Name, name+"/")
	})
}

// strange is the error for an output that has something in it which no job wrote.
func strange(output, name string) error {
	return errs.Errorf("commit.Check", errs.Exist, nil,
		"%s has %s in it, which no job wrote, so it is not overwritten; remove it or choose another output",
		strings.TrimPrefix(output, "file://"), name)
}
