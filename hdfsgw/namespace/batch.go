package namespace

import (
	"slices"
	"strings"
)

// Success is the file that tells that a directory holds a whole job's output.
const Success = "_SUCCESS"

// batchCommit publishes a job's output at once: every source moves to its destination, and _SUCCESS appears in the
// output directory. If anything is in the way, nothing moves; with Overwrite what the output directory held goes at the
// same moment. The same job asking again is told that it is done.
func (t *Tree) batchCommit(r *Request) (Result, error) {
	if _, done := t.jobs[r.Job]; done {
		return Result{OK: true}, nil
	}
	if r.Job == "" || len(r.Sources) != len(r.Dests) {
		return Result{}, Refuse(HadoopIllegalArgument, "A commit needs a job, and a destination for each of its files")
	}
	old, err := t.outdated(r)
	if err != nil {
		return Result{}, err
	}
	for i, dest := range append([]string{join(r.Path, Success)}, r.Dests...) {
		if err := t.vacant(r, dest, old); err != nil {
			return Result{}, err
		}
		if i > 0 {
			if err := t.departing(r, r.Sources[i-1], dest); err != nil {
				return Result{}, err
			}
		}
	}
	if err := apart(r); err != nil {
		return Result{}, err
	}
	if old != none {
		t.destroy(old, r.Time)
	}
	for i, source := range r.Sources {
		t.publish(r, source, r.Dests[i])
	}
	success := *r
	success.Close, success.Path, success.Perm = true, join(r.Path, Success), 0o644
	if _, err := t.create(&success); err != nil {
		return Result{}, err
	}
	t.jobs[r.Job] = r.Epoch
	return Result{OK: true}, nil
}

// within reports whether a path is below a directory's.
func within(path, dir string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }

func join(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

// apart refuses moves of which one would be in the way of another.
func apart(r *Request) error {
	seen := map[string]bool{}
	for _, path := range append(append([]string{join(r.Path, Success)}, r.Sources...), r.Dests...) {
		if seen[path] {
			return Refuse(HadoopIllegalArgument, "%s is named twice in one commit", path)
		}
		seen[path] = true
	}
	for path := range seen {
		for up := parentOf(path); up != ""; up = parentOf(up) {
			if seen[up] {
				return Refuse(HadoopIllegalArgument, "%s is below %s in one commit", path, up)
			}
		}
	}
	return nil
}

// outdated returns the directory that a commit replaces, none if there is none, and refuses if it may not.
func (t *Tree) outdated(r *Request) (uint32, error) {
	if !r.Overwrite {
		return none, nil
	}
	p, err := t.changeable(&r.Caller, r.Path)
	switch {
	case err != nil || p.slot == none:
		return none, err
	case p.slot == rootSlot || !t.inodes.get(p.slot).is(isDir):
		return none, Refuse(FileAlreadyExists, "%s is no directory that can be replaced", r.Path)
	}
	for i, dest := range r.Dests {
		if source := r.Sources[i]; source == r.Path || within(source, r.Path) || !within(dest, r.Path) ||
			slices.Contains(strings.Split(dest, "/"), dotSnapshot) {
			return none, Refuse(HadoopIllegalArgument, "%s can't move to %s in a commit that replaces %s", source, dest, r.Path)
		}
	}
	if err := t.removable(&r.Caller, p.slot); err != nil {
		return none, err
	}
	if err := t.emptiable(&r.Caller, p.slot); err != nil {
		return none, err
	}
	return p.slot, t.noSnapshots(p.slot, deletedSnapshots, r.Path)
}

// vacant refuses a destination where something is, unless that is in the directory old, which goes, or which the caller
// may not make.
func (t *Tree) vacant(r *Request, dest string, old uint32) error {
	if err := CheckPath(dest); err != nil {
		return err
	}
	if old != none {
		return nil // who may remove a directory may make another in its place
	}
	p, err := t.changeable(&r.Caller, dest)
	switch {
	case err != nil:
		return err
	case p.file != none:
		return t.notDirectory(&p)
	case p.slot != none:
		return Refuse(FileAlreadyExists, "%s already exists", dest)
	}
	if err := ordinary(&p); err != nil {
		return err
	}
	return t.allow(&r.Caller, p.parent, write)
}

// departing refuses a source that can't go to its destination.
func (t *Tree) departing(r *Request, source, dest string) error {
	if err := CheckPath(source); err != nil {
		return err
	}
	p, err := t.changing(&r.Caller, source, noFile)
	switch {
	case err != nil:
		return err
	case p.slot == rootSlot || strings.HasPrefix(dest, source+"/"):
		return Refuse(HadoopIllegalArgument, "%s cannot move to %s", source, dest)
	}
	if err := t.removable(&r.Caller, p.slot); err != nil {
		return err
	}
	return t.noSnapshots(p.slot, renamedSnapshots, source)
}

// publish moves one file of a checked commit, and makes the directories it needs. Its bytes count against quotas, but
// no quota refuses here: a job half committed would be worse.
func (t *Tree) publish(r *Request, source, dest string) {
	src, srcErr := t.resolve(&r.Caller, source)
	dst, dstErr := t.resolve(&r.Caller, dest)
	if srcErr != nil || dstErr != nil || src.slot == none || dst.slot != none {
		return // not after the checks above: moves are apart, so none changes what another needs
	}
	if len(t.quotas) > 0 {
		u := t.usage(src.slot)
		t.charged(t.inodes.get(src.slot).parent, -u.names(), -u.Space)
		t.charged(dst.parent, u.names()+int64(len(dst.missing)-1), u.Space)
	}
	dir := t.makeParents(&dst, r)
	as := t.names.add(dst.last)
	t.unlink(src.slot, r.Time)
	t.link(src.slot, dir, as, r.Time)
}

// Committed returns the epoch with which a job was committed.
func (t *Tree) Committed(job string) (epoch uint64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	epoch, ok = t.jobs[job]
	return epoch, ok
}
