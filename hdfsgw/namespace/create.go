package namespace

import "strings"

// notDirectory refuses a path that goes through a file.
func (t *Tree) notDirectory(p *place) error {
	return Refuse(ParentNotDirectory, "%s (is not a directory)", t.pathOf(p.file))
}

// ordinary refuses to make something whose name is kept for snapshots.
func ordinary(p *place) error {
	for _, part := range p.missing {
		if part == dotSnapshot {
			return Refuse(HadoopIllegalArgument, "\"%s\" is a reserved name.", dotSnapshot)
		}
	}
	return nil
}

// noParent refuses to make directories above what is asked for.
func noParent(r *Request) error {
	return Refuse(FileNotFound, "Parent directory doesn't exist: %s", r.Path[:strings.LastIndexByte(r.Path, '/')])
}

func (t *Tree) mkdirs(r *Request) (Result, error) {
	p, err := t.changeable(&r.Caller, r.Path)
	switch {
	case err != nil:
		return Result{}, err
	case p.file != none:
		return Result{}, t.notDirectory(&p)
	case p.slot != none && t.inodes.get(p.slot).is(isDir):
		return Result{OK: true}, nil
	case p.slot != none:
		return Result{}, Refuse(FileAlreadyExists, "Path is not a directory: %s", r.Path)
	}
	if err := t.allow(&r.Caller, p.parent, write); err != nil {
		return Result{}, err
	}
	if r.NoParents && len(p.missing) > 1 {
		return Result{}, noParent(r)
	}
	if err := ordinary(&p); err != nil {
		return Result{}, err
	}
	if err := t.charge(p.parent, int64(len(p.missing)), 0); err != nil {
		return Result{}, err
	}
	dir := p.parent
	for _, name := range p.missing[:len(p.missing)-1] {
		dir = t.make(dir, name, r, inode{flags: isDir, perm: r.Perm&0o1777 | 0o300})
	}
	t.make(dir, p.last, r, inode{flags: isDir, perm: r.Perm & 0o1777})
	return Result{OK: true}, nil
}

// makeParents makes the missing directories above a file, as open as the one they are in, and at least open for their
// owner. It returns the last of them.
func (t *Tree) makeParents(p *place, r *Request) uint32 {
	dir := p.parent
	for _, name := range p.missing[:len(p.missing)-1] {
		dir = t.make(dir, name, r, inode{flags: isDir, perm: t.inodes.get(dir).perm&0o777 | 0o300})
	}
	return dir
}

// make adds an inode that belongs to the caller and to the directory's group.
func (t *Tree) make(dir uint32, name string, r *Request, n inode) uint32 {
	n.id, n.modified = t.nextID, r.Time
	t.nextID++
	n.owner, n.group = t.people.intern(r.Caller.User), t.inodes.get(dir).group
	asked := n.is(isDir) == (r.Op == OpMkdirs) // else it is a directory above a file, for which no mode was asked
	if r.Unmasked != 0 && asked && t.hasDefaultACL(dir) {
		n.perm = r.Unmasked&0o1777 | n.perm&0o300
	}
	slot := t.inodes.add(n)
	t.inheritACL(slot, dir)
	t.link(slot, dir, t.names.add(name), r.Time)
	return slot
}

func (t *Tree) create(r *Request) (Result, error) {
	p, err := t.changeable(&r.Caller, r.Path)
	if err == nil {
		err = t.creatable(&p, r)
	}
	if err != nil {
		return Result{}, err
	}
	space := lengthOf(r.Blocks) * int64(max(r.Replication, 1))
	if p.slot != none {
		old := t.inodes.get(p.slot)
		if err := t.affordable(p.parent, none, 0, space-old.size*int64(old.repl)); err != nil {
			return Result{}, err
		}
		t.destroy(p.slot, r.Time)
		t.charged(p.parent, 1, space)
		p.missing = []string{p.last}
	} else if err := t.charge(p.parent, int64(len(p.missing)), space); err != nil {
		return Result{}, err
	}
	dir := t.makeParents(&p, r)
	slot := t.make(dir, p.last, r, inode{perm: r.Perm & 0o1777, accessed: r.Time, blockSize: max(r.BlockSize, 1),
		repl: max(r.Replication, 1)})
	t.addTail(slot, r.Blocks)
	if !r.Close {
		t.hold(slot, r)
	}
	return Result{OK: true, FileID: t.inodes.get(slot).id}, nil
}

// creatable refuses a file that can't be made, in the order in which a NameNode finds out.
func (t *Tree) creatable(p *place, r *Request) error {
	if p.slot != none && t.inodes.get(p.slot).is(isDir) {
		return Refuse(FileAlreadyExists, "%s already exists as a directory", r.Path)
	}
	if p.file != none {
		return t.notDirectory(p)
	}
	checked, access := p.parent, write
	if p.slot != none && r.Overwrite {
		checked = p.slot
	}
	if err := t.allow(&r.Caller, checked, access); err != nil {
		return err
	}
	switch {
	case p.slot != none && !r.Overwrite:
		if holder, open := t.open[p.slot]; open {
			return t.beingCreated("CREATE", p.slot, r, holder)
		}
		return Refuse(FileAlreadyExists, "%s for client %s already exists", r.Path, r.Client)
	case p.slot == none && r.NoParents && len(p.missing) > 1:
		return noParent(r)
	}
	return ordinary(p)
}

func lengthOf(blocks []Block) (n int64) {
	for _, b := range blocks {
		n += b.Length
	}
	return n
}

// addTail adds blocks to a file.
func (t *Tree) addTail(slot uint32, blocks []Block) {
	for _, b := range blocks {
		added := t.blocks.add(block{id: b.ID, length: b.Length, md5: b.MD5, crc: b.CRC})
		n := t.inodes.edit(slot)
		if n.last == none {
			n.first = added
		} else {
			t.blocks.edit(n.last).next = added
		}
		n.last = added
		n.size += b.Length
	}
}

// dropBlocks gives a list of blocks back. Objects that no other file has are noted for deletion.
func (t *Tree) dropBlocks(first uint32, now int64) {
	for i := first; i != none; {
		b := *t.blocks.get(i)
		t.blocks.remove(i)
		if n, shared := t.shared[b.id]; shared {
			if n == 1 {
				delete(t.shared, b.id)
			} else {
				t.shared[b.id] = n - 1
			}
		} else {
			t.dropped = append(t.dropped, dropped{b.id, now})
		}
		i = b.next
	}
}

// writable refuses a path that is no file which this caller may change.
func (t *Tree) writable(r *Request, path string) (uint32, error) {
	p, err := t.changing(&r.Caller, path, noFile)
	if err != nil {
		return none, err
	}
	if t.inodes.get(p.slot).is(isDir) {
		return none, Refuse(FileNotFound, notAFile, path)
	}
	return p.slot, t.allow(&r.Caller, p.slot, write)
}

func (t *Tree) appendTo(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, "Failed to append to non-existent file %s")
	if err != nil {
		return Result{}, err
	}
	if t.inodes.get(p.slot).is(isDir) {
		return Result{}, Refuse(FileAlreadyExists, "Cannot append to directory %s; already exists as a directory.", r.Path)
	}
	if err := t.allow(&r.Caller, p.slot, write); err != nil {
		return Result{}, err
	}
	if holder, open := t.open[p.slot]; open {
		return Result{}, t.beingCreated("APPEND_FILE", p.slot, r, holder)
	}
	n := t.inodes.get(p.slot)
	if err := t.charge(n.parent, 0, lengthOf(r.Blocks)*int64(n.repl)); err != nil {
		return Result{}, err
	}
	result := Result{OK: true, FileID: n.id, Length: n.size}
	t.addTail(p.slot, r.Blocks)
	if r.Close {
		t.inodes.edit(p.slot).modified = r.Time
	} else {
		t.hold(p.slot, r)
	}
	return result, nil
}

// Lost refuses to go on with a file that has not all the bytes that its writer has written.
func Lost(path string, has, written int64) error {
	return Refuse(IOException, "File %s has %d bytes where its writer has %d: some were lost with the gateway that had"+
		" them", path, has, written)
}

func (t *Tree) addBlocks(r *Request) (Result, error) {
	slot, err := t.opened(r)
	if err != nil {
		return Result{}, err
	}
	n := t.inodes.get(slot)
	if r.Placed && r.At != n.size {
		return Result{}, Lost(r.Path, n.size, r.At)
	}
	if err := t.charge(n.parent, 0, lengthOf(r.Blocks)*int64(n.repl)); err != nil {
		return Result{}, err
	}
	t.leases[r.Holder] = r.Time
	t.addTail(slot, r.Blocks)
	if r.Close {
		t.release(slot, r.Time)
	}
	return Result{OK: true, FileID: t.inodes.get(slot).id}, nil
}

func (t *Tree) concat(r *Request) (Result, error) {
	target, err := t.writable(r, r.Path)
	if err != nil {
		return Result{}, err
	}
	if t.inodes.get(target).is(isOpen) {
		return Result{}, Refuse(HadoopIllegalArgument, "concat: target file %s is under construction", r.Path)
	}
	seen := map[uint32]bool{}
	sources := make([]uint32, 0, len(r.Sources))
	for _, path := range r.Sources {
		slot, err := t.concatSource(r, target, path)
		if err != nil {
			return Result{}, err
		}
		if seen[slot] {
			return Result{}, Refuse(HadoopIllegalArgument, "concat: at least two of the source files are the same")
		}
		seen[slot] = true
		sources = append(sources, slot)
	}
	if len(sources) == 0 {
		return Result{}, Refuse(HadoopIllegalArgument, "Must have at least one source file to concat")
	}
	for _, slot := range sources {
		src := *t.inodes.get(slot)
		n := t.inodes.edit(target)
		t.charged(n.parent, 0, src.size*int64(n.repl))
		if n.last == none {
			n.first = src.first
		} else {
			t.blocks.edit(n.last).next = src.first
		}
		n.last = src.last
		n.size += src.size
		t.inodes.edit(slot).first = none // its blocks have moved
		t.destroy(slot, r.Time)
	}
	t.inodes.edit(target).modified = r.Time
	return Result{OK: true}, nil
}

func (t *Tree) concatSource(r *Request, target uint32, path string) (uint32, error) {
	if err := CheckPath(path); err != nil {
		return none, err
	}
	slot, err := t.writable(r, path)
	if err != nil {
		return none, err
	}
	n := t.inodes.get(slot)
	switch {
	case slot == target:
		return none, Refuse(HadoopIllegalArgument, "concat: the src file %s is the same with the target file %s", path,
			r.Path)
	case n.parent != t.inodes.get(target).parent:
		return none, Refuse(HadoopIllegalArgument, "Source file %s is not in the same directory with the target %s", path,
			r.Path)
	case n.is(isOpen) || n.first == none:
		return none, Refuse(HadoopIllegalArgument, "concat: source file %s is invalid or empty or underConstruction", path)
	}
	return slot, t.removable(&r.Caller, slot)
}

func (t *Tree) truncate(r *Request) (Result, error) {
	slot, err := t.writable(r, r.Path)
	if err != nil {
		return Result{}, err
	}
	n := t.inodes.get(slot)
	switch {
	case n.is(isOpen):
		return Result{}, t.beingCreated("TRUNCATE_FILE", slot, r, t.open[slot])
	case r.Length < 0 || r.Length > n.size:
		return Result{}, Refuse(HadoopIllegalArgument, "Cannot truncate to a larger file size. Current size: %d, truncate"+
			" size: %d.", n.size, r.Length)
	case r.Length == n.size:
		return Result{OK: true}, nil
	}
	t.charged(n.parent, 0, (r.Length-n.size)*int64(n.repl))
	t.cut(slot, r.Length, r.Time)
	return Result{OK: true}, nil
}

// cut shortens a file. Its last block may end inside its object.
func (t *Tree) cut(slot uint32, length, now int64) {
	n := t.inodes.edit(slot)
	n.size, n.modified = length, now
	last := none
	i := n.first
	for ; i != none && length > 0; i = t.blocks.get(i).next {
		if b := t.blocks.get(i); b.length > length {
			b = t.blocks.edit(i)
			b.length, b.md5, b.crc = length, [16]byte{}, 0
		}
		length -= t.blocks.get(i).length
		last = i
	}
	if last == none {
		n.first = none
	} else {
		t.blocks.edit(last).next = none
	}
	n.last = last
	t.dropBlocks(i, now)
}
