package namespace

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// snapshotRoot finds a directory whose snapshots are to be changed.
func (t *Tree) snapshotRoot(r *Request, needed bool) (dir, hidden uint32, err error) {
	p, err := t.changing(&r.Caller, r.Path, "Directory does not exist: %s")
	if err != nil {
		return none, none, err
	}
	if !t.inodes.get(p.slot).is(isDir) {
		return none, none, Refuse(FileNotFound, "Directory does not exist: %s", r.Path)
	}
	h := t.hidden[p.slot]
	if needed && h == none {
		return none, none, Refuse(Snapshot, "Directory is not a snapshottable directory: %s", r.Path)
	}
	return p.slot, h, nil
}

func (t *Tree) allowSnapshot(r *Request) (Result, error) {
	if !r.Caller.Super {
		return Result{}, notSuper(r, "allowSnapshot")
	}
	dir, hidden, err := t.snapshotRoot(r, false)
	if err != nil || hidden != none {
		return Result{OK: err == nil}, err
	}
	for other := range t.hidden {
		if t.within(dir, other) || t.within(other, dir) {
			return Result{}, Refuse(Snapshot, "Nested snapshottable directories not allowed: path=%s, a subdirectory or"+
				" ancestor is already a snapshottable directory.", r.Path)
		}
	}
	n := *t.inodes.get(dir)
	n.id, n.parent, n.size, n.flags = t.nextID, dir, 0, isDir
	t.nextID++
	n.setName(t.names.add(dotSnapshot))
	t.hidden[dir] = t.inodes.add(n)
	t.inodes.edit(dir).flags |= snapshottable
	return Result{OK: true}, nil
}

func (t *Tree) disallowSnapshot(r *Request) (Result, error) {
	if !r.Caller.Super {
		return Result{}, notSuper(r, "disallowSnapshot")
	}
	dir, hidden, err := t.snapshotRoot(r, false)
	if err != nil || hidden == none {
		return Result{OK: err == nil}, err
	}
	if t.inodes.get(hidden).size > 0 {
		return Result{}, Refuse(Snapshot, "The directory %s has snapshot(s). Please redo the operation after removing all"+
			" the snapshots.", r.Path)
	}
	t.inodes.remove(hidden)
	delete(t.hidden, dir)
	t.inodes.edit(dir).flags &^= snapshottable
	return Result{OK: true}, nil
}

// maxSnapshots of a directory, as at HDFS.
const maxSnapshots = 65536

// snapshotName refuses names that no snapshot can have.
func snapshotName(name string) error {
	if name == "" || name == dotSnapshot || len(name) > MaxName || strings.ContainsAny(name, "/:\x00") {
		return Refuse(HadoopIllegalArgument, "The snapshot name is null or empty, or it is invalid: %s", name)
	}
	return nil
}

// SnapshotName is how Hadoop names a snapshot that nobody named. now is in ms.
func SnapshotName(now int64) string { return time.UnixMilli(now).UTC().Format("s20060102-150405.000") }

func (t *Tree) createSnapshot(r *Request) (Result, error) {
	if err := snapshotName(r.Name); err != nil {
		return Result{}, err
	}
	dir, hidden, err := t.snapshotRoot(r, true)
	if err == nil {
		err = t.owns(&r.Caller, dir)
	}
	switch {
	case err != nil:
		return Result{}, err
	case t.child(hidden, r.Name) != none:
		return Result{}, Refuse(Snapshot,
			"Failed to add snapshot: there is already a snapshot with the same name \"%s\".", r.Name)
	case t.inodes.get(hidden).size >= maxSnapshots:
		return Result{}, Refuse(Snapshot, "Failed to add snapshot: there are already %d snapshot(s) and the max number is %d",
			maxSnapshots, maxSnapshots)
	}
	t.copyBelow(dir, hidden, t.names.add(r.Name))
	t.inodes.edit(dir).modified = r.Time
	return Result{OK: true, Path: strings.TrimSuffix(r.Path, "/") + "/" + dotSnapshot + "/" + r.Name}, nil
}

// copyBelow copies an inode and all below it, ids and times included. Files share their blocks.
func (t *Tree) copyBelow(slot, parent uint32, as name) {
	n := *t.inodes.get(slot)
	n.flags &^= isOpen | snapshottable
	first, last := n.first, none
	n.first, n.last = none, none
	modified := n.modified
	if n.is(isDir) {
		n.size = 0
	}
	made := t.inodes.add(n)
	t.link(made, parent, as, 0)
	for i := first; i != none; i = t.blocks.get(i).next {
		b := *t.blocks.get(i)
		b.next = none
		t.shared[b.id]++
		added := t.blocks.add(b)
		if last == none {
			t.inodes.edit(made).first = added
		} else {
			t.blocks.edit(last).next = added
		}
		last = added
	}
	t.inodes.edit(made).last = last
	if list, ok := t.acls[slot]; ok {
		t.acls[made] = list
	}
	if list, ok := t.xattrs[slot]; ok {
		t.xattrs[made] = list
	}
	for _, kid := range t.childList(slot) {
		t.copyBelow(kid, made, t.inodes.get(kid).name())
	}
	t.inodes.edit(made).modified = modified
}

func (t *Tree) renameSnapshot(r *Request) (Result, error) {
	if err := snapshotName(r.Name); err != nil {
		return Result{}, err
	}
	dir, hidden, err := t.snapshotRoot(r, true)
	if err == nil {
		err = t.owns(&r.Caller, dir)
	}
	if err != nil {
		return Result{}, err
	}
	slot := t.child(hidden, r.OldName)
	switch {
	case slot == none:
		return Result{}, Refuse(Snapshot, "The snapshot %s does not exist for directory %s", r.OldName, r.Path)
	case r.Name == r.OldName:
		return Result{OK: true}, nil
	case t.child(hidden, r.Name) != none:
		return Result{}, Refuse(Snapshot, "The snapshot %s already exists for directory %s", r.Name, r.Path)
	}
	t.unlink(slot, r.Time)
	t.link(slot, hidden, t.names.add(r.Name), r.Time)
	return Result{OK: true}, nil
}

func (t *Tree) deleteSnapshot(r *Request) (Result, error) {
	dir, hidden, err := t.snapshotRoot(r, true)
	if err == nil {
		err = t.owns(&r.Caller, dir)
	}
	if err != nil {
		return Result{}, err
	}
	slot := t.child(hidden, r.Name)
	if slot == none {
		return Result{}, Refuse(Snapshot, "Cannot delete snapshot %s from path %s: the snapshot does not exist.",
			r.Name, r.Path)
	}
	t.unlink(slot, r.Time)
	t.forget(slot, r.Time)
	return Result{OK: true}, nil
}

// Change is one line of the difference between two snapshots.
type Change struct {
	Kind   string // CREATE, DELETE, MODIFY or RENAME
	Source string // relative to the directory; "" is itself
	Target string // of a RENAME

	ID  uint64    // of the inode
	In  [2]uint64 // ids of the directories that have it, before and after; 0 for none, or if the first has gone
	Dir bool
}

// diff finds what changed from one copy of a directory to another. What lies below something new or gone is not told.
func (t *Tree) diff(from, to uint32) (changes []Change) {
	before, after := map[uint64]entry{}, map[uint64]entry{}
	add := func(kind, source, target string, id uint64) {
		c := Change{Kind: kind, Source: source, Target: target, ID: id}
		for i, side := range []map[uint64]entry{before, after} {
			if e, there := side[id]; there {
				n := t.inodes.get(e.slot)
				c.Dir = n.is(isDir)
				in := t.inodes.get(n.parent).id
				if _, stays := after[in]; stays {
					c.In[i] = in
				}
			}
		}
		changes = append(changes, c)
	}
	t.walk(from, "", func(slot uint32, path string) { before[t.inodes.get(slot).id] = entry{slot, path} })
	t.walk(to, "", func(slot uint32, path string) { after[t.inodes.get(slot).id] = entry{slot, path} })
	for id, now := range after {
		n := t.inodes.get(now.slot)
		old, known := before[id]
		if !known {
			if _, in := before[t.inodes.get(n.parent).id]; in {
				add("CREATE", now.path, "", id)
			}
			continue
		}
		was := t.inodes.get(old.slot)
		if now.path != "" && (t.inodes.get(was.parent).id != t.inodes.get(n.parent).id && parentOf(old.path) != "" ||
			baseOf(old.path) != baseOf(now.path) || (parentOf(old.path) == "") != (parentOf(now.path) == "")) {
			add("RENAME", old.path, now.path, id)
		}
		if was.modified != n.modified || was.size != n.size || was.perm != n.perm || was.owner != n.owner ||
			was.group != n.group {
			add("MODIFY", old.path, "", id)
		}
	}
	for id, old := range before {
		if _, still := after[id]; still {
			continue
		}
		if _, in := after[t.inodes.get(t.inodes.get(old.slot).parent).id]; in || parentOf(old.path) == "" {
			add("DELETE", old.path, "", id)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Kind, b.Kind))
	})
	return changes
}

// entry is an inode and its path below where a walk began.
type entry struct {
	slot uint32
	path string
}

func parentOf(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }
func baseOf(path string) string   { return path[strings.LastIndexByte(path, '/')+1:] }

// walk calls f with an inode and all below it, and their paths relative to it.
func (t *Tree) walk(slot uint32, path string, f func(slot uint32, path string)) {
	f(slot, path)
	t.children(slot, "", func(kid uint32) bool {
		below := t.nameOf(kid)
		if path != "" {
			below = path + "/" + below
		}
		t.walk(kid, below, f)
		return true
	})
}
