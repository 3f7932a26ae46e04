package namespace

import (
	"slices"
	"strings"
)

// Status describes a file or directory.
type Status struct {
	ID           uint64
	Name         string // its own; "" for the path that was asked for
	Dir          bool
	Length       int64
	Children     int64
	Modified     int64 // ms
	Accessed     int64 // ms
	BlockSize    int64
	Replication  int16
	Perm         uint16
	Owner, Group string
	Policy       uint8 // 0: none was set here
	HasACL       bool
	Snapshots    bool // may have snapshots
	Open         bool // is being written
}

func (t *Tree) status(slot uint32) Status {
	n := t.inodes.get(slot)
	s := Status{
		ID: n.id, Dir: n.is(isDir), Modified: n.modified, Accessed: n.accessed, BlockSize: n.blockSize,
		Replication: n.repl, Perm: n.perm, Owner: t.people.name(n.owner), Group: t.people.name(n.group), Policy: n.policy,
		HasACL: n.is(hasACL), Snapshots: n.is(snapshottable) || slot == rootSlot, Open: n.is(isOpen),
	}
	if s.Dir {
		s.Children = n.size
	} else {
		s.Length = n.size
	}
	return s
}

// Status describes what is at a path.
func (t *Tree) Status(who Caller, path string) (Status, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, noFile)
	if err != nil {
		return Status{}, err
	}
	return t.status(p.slot), nil
}

// List describes the entries of a directory after a name ("" for all), at most limit, and says how many more there are.
// A file lists itself, without a name.
func (t *Tree) List(who Caller, path, after string, limit int) (list []Status, more int64, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, "File %s does not exist.")
	if err != nil {
		return nil, 0, err
	}
	n := t.inodes.get(p.slot)
	if !n.is(isDir) {
		return []Status{t.status(p.slot)}, 0, nil
	}
	if err := t.allow(&who, p.slot, read|execute); err != nil {
		return nil, 0, err
	}
	list = make([]Status, 0, min(int64(limit), n.size))
	t.children(p.slot, after, func(slot uint32) bool {
		if len(list) == limit {
			more++
			return more < int64(limit) // a hint that there are more; counting all of them would take as long as listing
		}
		s := t.status(slot)
		s.Name = t.nameOf(slot)
		list = append(list, s)
		return true
	})
	return list, more, nil
}

// Capacity is told to who asks how much there is room for, in bytes: object storage does not say.
const Capacity = int64(1) << 60

// Usage counts what is at and below a path.
func (t *Tree) Usage(who Caller, path string) (Usage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, noFile)
	if err == nil && t.inodes.get(p.slot).is(isDir) {
		err = t.allow(&who, p.slot, read|execute)
	}
	if err != nil {
		return Usage{}, err
	}
	return t.usage(p.slot), nil
}

// Blocks describes a file and returns its blocks. It needs READ.
func (t *Tree) Blocks(who Caller, path string) (Status, []Block, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, noFile)
	if err != nil {
		return Status{}, nil, err
	}
	n := t.inodes.get(p.slot)
	if n.is(isDir) {
		return Status{}, nil, Refuse(FileNotFound, notAFile, path)
	}
	if err := t.allow(&who, p.slot, read); err != nil {
		return Status{}, nil, err
	}
	return t.status(p.slot), t.blocksOf(n), nil
}

// CheckAccess refuses if the caller may not access a path in this way.
func (t *Tree) CheckAccess(who Caller, path string, a Access) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, "Path not found: %s")
	if err != nil {
		return err
	}
	return t.allow(&who, p.slot, a)
}

// ACL describes what is at a path, and returns the entries that its permission bits have no room for.
func (t *Tree) ACL(who Caller, path string) (Status, []ACLEntry, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, "cannot find %s")
	if err != nil {
		return Status{}, nil, err
	}
	return t.status(p.slot), t.acls[p.slot], nil
}

// XAttr is an extended attribute of an inode.
type XAttr struct{ Name, Value string }

// XAttrs returns the attributes that the caller may see: all, or the named ones in the order of their names here, which
// must all exist.
func (t *Tree) XAttrs(who Caller, path string, names []string) ([]XAttr, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, "cannot find %s")
	if err == nil {
		err = t.allow(&who, p.slot, read)
	}
	if err != nil {
		return nil, err
	}
	var all []XAttr
	for _, x := range t.xattrs[p.slot] {
		if t.xattrAccess(&who, x.Name, p.slot, 0) == nil {
			all = append(all, XAttr(x))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	var found []XAttr
	for _, name := range names {
		if err := t.xattrAccess(&who, name, p.slot, 0); err != nil {
			return nil, err
		}
		for _, x := range all {
			if x.Name == name {
				found = append(found, x)
			}
		}
	}
	if len(found) < len(names) {
		return nil, Refuse(XAttrNotFound, "At least one of the attributes provided was not found.")
	}
	return found, nil
}

// SnapshotDir is a directory that may have snapshots, or a snapshot.
type SnapshotDir struct {
	Status
	Parent    string // path of the directory above
	Snapshots int64
}

// SnapshotDirs lists the directories of the caller that may have snapshots, all for a superuser, in the order of their
// paths.
func (t *Tree) SnapshotDirs(who Caller) (dirs []SnapshotDir) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for dir, hidden := range t.hidden {
		if t.owns(&who, dir) != nil {
			continue
		}
		s := t.status(dir)
		s.Name, s.Snapshots = t.nameOf(dir), false // a NameNode leaves the bit out here
		dirs = append(dirs, SnapshotDir{s, t.pathOf(max(t.inodes.get(dir).parent, rootSlot)), t.inodes.get(hidden).size})
	}
	slices.SortFunc(dirs, func(a, b SnapshotDir) int {
		return strings.Compare(join(a.Parent, a.Name), join(b.Parent, b.Name))
	})
	return dirs
}

// SnapshotsOf lists the snapshots of a directory.
func (t *Tree) SnapshotsOf(who Caller, path string) (list []Status, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, hidden, err := t.snapshotRoot(&Request{Caller: who, Path: path}, true)
	if err != nil {
		return nil, err
	}
	t.children(hidden, "", func(slot uint32) bool {
		s := t.status(slot)
		s.Name = t.nameOf(slot)
		list = append(list, s)
		return true
	})
	return list, nil
}

// Diff tells what changed from one snapshot of a directory to another; "" is the directory as it is.
func (t *Tree) Diff(who Caller, path, from, to string) ([]Change, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	dir, hidden, err := t.snapshotRoot(&Request{Caller: who, Path: path}, true)
	if isOf(err, Snapshot) || isOf(err, FileNotFound) {
		err = Refuse(Snapshot, "The path %s is neither snapshottable nor under a snapshot root!", path)
	}
	if err != nil {
		return nil, err
	}
	ends := [2]uint32{dir, dir}
	for i, name := range []string{from, to} {
		if name == "" {
			continue
		}
		if ends[i] = t.child(hidden, name); ends[i] == none {
			return nil, Refuse(Snapshot, "Cannot find the snapshot of directory %s with name %s", path, name)
		}
	}
	return t.diff(ends[0], ends[1]), nil
}

// Stats count what a tree holds.
type Stats struct {
	Inodes, Blocks int
	Dropped        int // blocks whose objects wait to be deleted
	Open           int // files being written
}

// Stats returns the present counts.
func (t *Tree) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return Stats{t.inodes.len(), t.blocks.len(), len(t.dropped), len(t.open)}
}
