package namespace

import "slices"

// SoftLimit is how long a writer may be silent before another one may take its file over, in ms, as at HDFS.
const SoftLimit = 60_000

// hold opens a file for a holder.
func (t *Tree) hold(slot uint32, r *Request) {
	t.inodes.edit(slot).flags |= isOpen
	t.open[slot] = r.Holder
	t.leases[r.Holder] = r.Time
}

// release closes a file with the blocks that it has.
func (t *Tree) release(slot uint32, now int64) {
	holder := t.open[slot]
	delete(t.open, slot)
	n := t.inodes.edit(slot)
	n.flags &^= isOpen
	n.modified = now
	for _, other := range t.open {
		if other == holder {
			return
		}
	}
	delete(t.leases, holder)
}

// beingCreated refuses to open a file that somebody has open; if that writer has been silent for too long it closes the
// file first, and the refusal says to ask again.
func (t *Tree) beingCreated(operation string, slot uint32, r *Request, holder string) error {
	path := t.pathOf(slot)
	if r.Time-t.leases[holder] > SoftLimit {
		t.release(slot, r.Time)
		return Refuse(Retriable, "Failed to %s %s for %s on %s because the file was under recovery; it is closed now.",
			operation, path, r.Holder, r.Client)
	}
	return Refuse(AlreadyBeingCreated, "Failed to %s %s for %s on %s because this file lease is currently owned by"+
		" %s on %s", operation, path, r.Holder, r.Client, holder, r.Client)
}

// renewLease notes that a holder was heard of; without a holder all were, for a new leader, who knows of nobody when he
// was, by his own clock.
func (t *Tree) renewLease(r *Request) (Result, error) {
	if r.Holder == "" {
		if !r.Caller.Super {
			return Result{}, notSuper(r, "renewLease")
		}
		for holder := range t.leases {
			t.leases[holder] = r.Time
		}
	}
	if _, ok := t.leases[r.Holder]; ok {
		t.leases[r.Holder] = r.Time
	}
	return Result{OK: true}, nil
}

func (t *Tree) recoverLease(r *Request) (Result, error) {
	slot, err := t.writable(r, r.Path)
	if err != nil {
		return Result{}, err
	}
	if t.inodes.get(slot).is(isOpen) {
		t.release(slot, r.Time)
	}
	return Result{OK: true}, nil
}

func (t *Tree) expireLeases(r *Request) (Result, error) {
	if !r.Caller.Super {
		return Result{}, notSuper(r, "expireLeases")
	}
	var late []uint32
	for slot, holder := range t.open {
		if r.Time-t.leases[holder] > r.Limit {
			late = append(late, slot)
		}
	}
	for _, slot := range late {
		t.release(slot, r.Time)
	}
	return Result{OK: true}, nil
}

// reclaimed forgets dropped blocks whose objects are gone.
func (t *Tree) reclaimed(r *Request) (Result, error) {
	if !r.Caller.Super {
		return Result{}, notSuper(r, "reclaimed")
	}
	n := min(max(r.Length, 0), int64(len(t.dropped)))
	t.dropped = slices.Delete(t.dropped, 0, int(n))
	return Result{OK: true}, nil
}

// Dropped returns the blocks that no file has had since before a time (ms), oldest first, at most limit.
func (t *Tree) Dropped(before int64, limit int) (ids []uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, d := range t.dropped {
		if d.time >= before || len(ids) == limit {
			break
		}
		ids = append(ids, d.id)
	}
	return ids
}

// Late reports whether a file is open whose writer was last heard of before a time (ms).
func (t *Tree) Late(before int64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, heard := range t.leases {
		if heard < before {
			return true
		}
	}
	return false
}

// OpenFor describes a file that a holder has open, and refuses if it has not. file is 0 or the file's id: then it is
// found wherever it was moved to since it was opened at that path.
func (t *Tree) OpenFor(who Caller, path, holder string, file uint64) (Status, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	slot, err := t.opened(&Request{Caller: who, Path: path, Holder: holder, File: file})
	if err != nil {
		return Status{}, err
	}
	return t.status(slot), nil
}

// OpenBy finds a file by its id, which a holder must have open.
func (t *Tree) OpenBy(holder string, file uint64) (path string, s Status, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if slot := t.openBy(holder, file); slot != none {
		return t.pathOf(slot), t.status(slot), nil
	}
	return "", Status{}, Refuse(LeaseExpired, "Holder %s does not have inode %d open.", holder, file)
}

// openBy is OpenBy; none if there is none.
func (t *Tree) openBy(holder string, file uint64) uint32 {
	for slot, h := range t.open {
		if h == holder && t.inodes.get(slot).id == file {
			return slot
		}
	}
	return none
}

// opened finds a file that the holder of a request has open.
func (t *Tree) opened(r *Request) (uint32, error) {
	p, err := t.changing(&r.Caller, r.Path, noFile)
	if err == nil && t.open[p.slot] == r.Holder && t.inodes.get(p.slot).is(isOpen) &&
		(r.File == 0 || t.inodes.get(p.slot).id == r.File) {
		return p.slot, nil
	}
	if r.File != 0 {
		if slot := t.openBy(r.Holder, r.File); slot != none {
			return slot, nil
		}
	}
	if err != nil {
		return none, err
	}
	return none, t.notOpen(p.slot, r.Path, r.Holder)
}

func (t *Tree) notOpen(slot uint32, path, holder string) error {
	return Refuse(LeaseExpired, "%s (inode %d) Holder %s does not have any open files.", path, t.inodes.get(slot).id,
		holder)
}

// Heard returns when a holder was last heard of (ms); without files that are open it is not known.
func (t *Tree) Heard(holder string) (at int64, known bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, known = t.leases[holder]
	return at, known
}
