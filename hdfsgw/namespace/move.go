package namespace

import "strings"

// destroy takes an inode and all below it out of the tree.
func (t *Tree) destroy(slot uint32, now int64) {
	if len(t.quotas) > 0 {
		u := t.usage(slot)
		t.charged(t.inodes.get(slot).parent, -u.names(), -u.Space)
	}
	t.unlink(slot, now)
	t.forget(slot, now)
}

// forget frees the records of an unlinked inode and of all below it.
func (t *Tree) forget(slot uint32, now int64) {
	for _, kid := range t.childList(slot) {
		t.unlink(kid, now)
		t.forget(kid, now)
	}
	if h, ok := t.hidden[slot]; ok {
		t.forget(h, now)
		delete(t.hidden, slot)
	}
	n := t.inodes.get(slot)
	if !n.is(isDir) {
		t.dropBlocks(n.first, now)
	}
	if n.is(isOpen) {
		t.release(slot, now)
	}
	delete(t.xattrs, slot)
	delete(t.acls, slot)
	delete(t.quotas, slot)
	t.inodes.remove(slot)
}

// snapshotsBelow returns the path of a directory at or below slot that has snapshots, the first of them; "" for none.
func (t *Tree) snapshotsBelow(slot uint32) (first string) {
	for dir, h := range t.hidden {
		if t.inodes.get(h).size == 0 || !t.within(dir, slot) {
			continue
		}
		if path := t.pathOf(dir); first == "" || path < first {
			first = path
		}
	}
	return first
}

func (t *Tree) remove(r *Request) (Result, error) {
	p, err := t.changeable(&r.Caller, r.Path)
	if err != nil || p.slot == none {
		return Result{}, err
	}
	if p.slot == rootSlot {
		if t.inodes.get(rootSlot).size > 0 && !r.Recursive {
			return Result{}, Refuse(PathIsNotEmptyDirectory, "`/ is non empty': Directory is not empty")
		}
		return Result{}, nil
	}
	if err := t.removable(&r.Caller, p.slot); err != nil {
		return Result{}, err
	}
	n := t.inodes.get(p.slot)
	if n.is(isDir) && n.size > 0 {
		if !r.Recursive {
			return Result{}, Refuse(PathIsNotEmptyDirectory, "`%s is non empty': Directory is not empty", r.Path)
		}
		if err := t.emptiable(&r.Caller, p.slot); err != nil {
			return Result{}, err
		}
	}
	if err := t.noSnapshots(p.slot, deletedSnapshots, r.Path); err != nil {
		return Result{}, err
	}
	t.destroy(p.slot, r.Time)
	return Result{OK: true}, nil
}

// Wordings for noSnapshots.
const (
	deletedSnapshots = "The directory %s cannot be deleted since %s is snapshottable and already has snapshots"
	renamedSnapshots = "The directory %s cannot be renamed since %s is snapshottable and already has snapshots"
)

// noSnapshots refuses if there are snapshots at or below slot.
func (t *Tree) noSnapshots(slot uint32, wording, path string) error {
	found := t.snapshotsBelow(slot)
	if found == "" {
		return nil
	}
	return Refuse(Snapshot, wording, path, found)
}

// emptiable refuses unless the caller may delete everything below a directory.
func (t *Tree) emptiable(who *Caller, dir uint32) (err error) {
	if who.Super {
		return nil
	}
	if err := t.allow(who, dir, read|write|execute); err != nil {
		return err
	}
	t.children(dir, "", func(slot uint32) bool {
		if n := t.inodes.get(slot); n.is(isDir) && n.size > 0 {
			err = t.emptiable(who, slot)
		}
		return err == nil
	})
	return err
}

// renameOld is FileSystem.rename: it moves under an existing directory, and answers false for what the new one refuses.
func (t *Tree) renameOld(r *Request) (Result, error) {
	src, err := t.changeable(&r.Caller, r.Path)
	if err != nil {
		return Result{}, err
	}
	dst, err := t.changeable(&r.Caller, r.Dest)
	if err != nil {
		return Result{}, err
	}
	if src.slot != none && dst.slot != none && t.inodes.get(dst.slot).is(isDir) && src.slot != dst.slot {
		below := strings.TrimSuffix(r.Dest, "/") + "/" + src.last
		if dst, err = t.changeable(&r.Caller, below); err != nil {
			return Result{}, err
		}
	}
	if src.slot != none && src.slot != rootSlot {
		if err := t.removable(&r.Caller, src.slot); err != nil {
			return Result{}, err
		}
	}
	switch {
	case src.slot == none || src.slot == rootSlot:
		return Result{}, nil
	case dst.file != none:
		return Result{}, t.notDirectory(&dst)
	case src.slot == dst.slot:
		return Result{OK: !t.inodes.get(src.slot).is(isDir)}, nil
	case dst.slot != none || len(dst.missing) > 1 || t.within(dst.parent, src.slot):
		return Result{}, nil
	}
	if err := t.move(&src, &dst, r); err != nil {
		return Result{}, err
	}
	return Result{OK: true}, nil
}

// rename is FileContext.rename: it says what is wrong, and may replace.
func (t *Tree) rename(r *Request) (Result, error) {
	src, err := t.changing(&r.Caller, r.Path, "rename source %s is not found.")
	if err != nil {
		return Result{}, err
	}
	dst, err := t.changeable(&r.Caller, r.Dest)
	if err != nil {
		return Result{}, err
	}
	if err := t.renameable(&src, &dst, r); err != nil {
		return Result{}, err
	}
	if dst.slot != none {
		old := t.inodes.get(dst.slot)
		if !old.is(isDir) && old.is(isOpen) {
			t.release(dst.slot, r.Time)
		}
	}
	return Result{OK: true}, t.move(&src, &dst, r)
}

func (t *Tree) renameable(src, dst *place, r *Request) error {
	if src.slot == rootSlot || dst.slot == rootSlot {
		return Refuse(IOException, "rename destination cannot be the root")
	}
	if err := t.removable(&r.Caller, src.slot); err != nil {
		return err
	}
	from := t.inodes.get(src.slot)
	switch {
	case dst.file != none:
		return t.notDirectory(dst)
	case src.slot == dst.slot:
		return Refuse(FileAlreadyExists, "The source %s and destination %s are the same", r.Path, r.Dest)
	case t.within(dst.parent, src.slot):
		return Refuse(IOException, "Rename destination %s is a directory or file under source %s", r.Dest, r.Path)
	case dst.slot == none && len(dst.missing) > 1:
		return Refuse(FileNotFound, "rename destination parent %s not found.", r.Dest[:strings.LastIndexByte(r.Dest, '/')])
	case dst.slot == none:
		return nil
	}
	to := t.inodes.get(dst.slot)
	switch {
	case from.is(isDir) != to.is(isDir):
		return Refuse(IOException, "Source %s and destination %s must both be directories", r.Path, r.Dest)
	case !r.Overwrite:
		return Refuse(FileAlreadyExists, "rename destination %s already exists", r.Dest)
	case to.is(isDir) && to.size > 0:
		return Refuse(IOException, "rename destination directory is not empty: %s", r.Dest)
	}
	if err := t.removable(&r.Caller, dst.slot); err != nil {
		return err
	}
	return t.noSnapshots(dst.slot, deletedSnapshots, r.Dest)
}

// move puts src where dst is to be, in place of what is there.
func (t *Tree) move(src, dst *place, r *Request) error {
	if err := ordinary(dst); err != nil {
		return err
	}
	if err := t.allow(&r.Caller, dst.parent, write); err != nil {
		return err
	}
	if err := t.noSnapshots(src.slot, renamedSnapshots, r.Path); err != nil {
		return err
	}
	if err := t.chargeMove(src.slot, dst.parent, dst.slot); err != nil {
		return err
	}
	if dst.slot != none {
		t.destroy(dst.slot, r.Time)
	}
	as := t.names.rename(t.inodes.get(src.slot).name(), dst.last)
	t.unlink(src.slot, r.Time)
	t.link(src.slot, dst.parent, as, r.Time)
	return nil
}
