package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// names commits to the namespace of a gateway. Attempts write to a hidden directory beside the output, as files does;
// one transaction of the namespace moves the parts that count to their places, makes _SUCCESS, and removes what it
// overwrites. So there is no moment between, and the namespace refuses a second commit that is not the same job's.
type names struct {
	job  scheduler.JobID
	uri  string
	st   *client.Store
	name store.Name // of the output
	over bool
}

func newNames(job scheduler.Job, st *client.Store, name store.Name) *names {
	return &names{job: job.ID, uri: job.Output, st: st, name: name, over: job.Overwrite}
}

func (n *names) output() string { return "/" + string(n.name) }

// hidden is the directory where attempts write.
func (n *names) hidden() store.Name {
	dir, base := "", string(n.name)
	if i := strings.LastIndexByte(base, '/'); i >= 0 {
		dir, base = base[:i+1], base[i+1:]
	}
	return store.Name(dir + "." + base + ".runner-" + string(n.job))
}

// look tells who wrote the output, if anybody, and lists what is in it but for _SUCCESS.
func (n *names) look(ctx context.Context) (s state, owner *proof.Manifest, others []namespace.Status, err error) {
	for entry, err := range n.st.Client.List(ctx, n.output()) {
		switch {
		case errors.Is(err, errs.NotFound):
			return absent, nil, nil, nil
		case err != nil:
			return absent, nil, nil, err
		case entry.Name != proof.Success:
			others = append(others, entry)
			continue
		}
		b, err := store.Get(ctx, n.st, n.name.Join(proof.Success), proof.MaxManifest)
		if err != nil {
			return absent, nil, nil, err
		}
		if m, err := proof.Decode(b); err == nil {
			owner = &m
		}
	}
	if owner != nil && owner.Job == n.job {
		return ours, owner, others, nil
	}
	return foreign, owner, others, nil // an empty directory is somebody's, too
}

// Check implements Committer.
func (n *names) Check(ctx context.Context) error {
	const op = "commit.Check"
	s, owner, others, err := n.look(ctx)
	switch {
	case err != nil:
		return errs.Errorf(op, errs.KindOf(err), nil, "output %s cannot be looked at: %s", n.uri, errs.Cause(err))
	case s == foreign && !n.over:
		return exists(n.uri, owner)
	case s == foreign:
		return n.replaceable(owner, others)
	}
	return nil
}

// replaceable fails unless there is nothing but what jobs write.
func (n *names) replaceable(owner *proof.Manifest, others []namespace.Status) error {
	for _, entry := range others {
		if entry.Name == "" {
			return errs.Errorf("commit.Check", errs.Exist, nil, "%s is a file, which no job overwrites; choose another output",
				n.uri)
		}
		if entry.Dir && !writtenFolder(entry.Name, owner) || !entry.Dir && !written(entry.Name, owner) {
			return strange(n.uri, entry.Name)
		}
	}
	return nil
}

func (n *names) attemptFile(attempt scheduler.AttemptID, name string) store.Name {
	return n.hidden().Join(fmt.Sprintf(".%s.%s", attempt, flat(name)))
}

// Create implements Committer.
func (n *names) Create(ctx context.Context, attempt scheduler.AttemptID, name string) (Writer, error) {
	w, err := n.st.Create(ctx, n.attemptFile(attempt, name)) // in place of what an earlier run of the attempt left
	if err != nil {
		return nil, errs.E("commit.Create", errs.Other, n.uri, err)
	}
	return &nameWriter{w, Part{Attempt: attempt, Name: name}}, nil
}

// nameWriter writes one part.
type nameWriter struct {
	store.Writer
	part Part
}

func (w *nameWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.part.Bytes += int64(n)
	w.part.CRC32C = w.part.CRC32C.Update(p[:n])
	return n, err
}

// Commit implements Writer.
func (w *nameWriter) Commit(ctx context.Context) (Part, error) {
	return w.part, w.Writer.Commit(ctx)
}

// Commit implements Committer.
func (n *names) Commit(ctx context.Context, parts []Part, m proof.Manifest) (proof.Manifest, error) {
	const op = "commit.Commit"
	s, owner, others, err := n.look(ctx)
	switch {
	case err != nil:
		return m, errs.E(op, errs.Other, n.uri, err)
	case s == ours:
		m = *owner
	case s == foreign && !n.over:
		return m, exists(n.uri, owner)
	case s == foreign:
		err = n.replaceable(owner, others)
	}
	if s != ours && err == nil {
		err = n.publish(ctx, parts, m)
	}
	if err == nil {
		err = n.Abort(ctx) // what attempts wrote that do not count
	}
	if err != nil {
		return m, errs.E(op, errs.Other, n.uri, err)
	}
	return m, nil
}

// publish makes the transaction.
func (n *names) publish(ctx context.Context, parts []Part, m proof.Manifest) error {
	success, err := m.Encode()
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for entry, err := range n.st.Client.List(ctx, "/"+string(n.hidden())) {
		if errors.Is(err, errs.NotFound) {
			break // nobody wrote a part
		}
		if err != nil {
			return err
		}
		sizes[entry.Name] = entry.Length
	}
	j := webhdfs.JobCommit{Job: string(n.job), Success: success, Overwrite: n.over}
	for _, p := range parts {
		from := n.attemptFile(p.Attempt, p.Name)
		size, there := sizes[strings.TrimPrefix(string(from), string(n.hidden())+"/")]
		switch {
		case !there:
			return errs.Errorf("commit.Commit", errs.NotFound, p.Attempt, "its part %s is gone", p.Name)
		case size != p.Bytes:
			return errs.Errorf("commit.Commit", errs.Corrupt, p.Attempt, "%s has %d bytes, but %d were written", p.Name, size,
				p.Bytes)
		}
		j.Moves = append(j.Moves, webhdfs.Move{Source: "/" + string(from), Dest: n.output() + "/" + p.Name})
	}
	return n.st.JobCommit(ctx, n.output(), j)
}

// Abort implements Committer.
func (n *names) Abort(ctx context.Context) error {
	_, err := n.st.Client.Delete(ctx, "/"+string(n.hidden()), true)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return errs.E("commit.Abort", errs.Other, n.uri, err)
	}
	return nil
}
