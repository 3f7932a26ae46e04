package namespace

import "slices"

func (t *Tree) setPermission(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, noDirOrFile)
	if err == nil {
		err = t.owns(&r.Caller, p.slot)
	}
	if err != nil {
		return Result{}, err
	}
	t.inodes.edit(p.slot).perm = r.Perm & 0o1777
	return Result{OK: true}, nil
}

func (t *Tree) setOwner(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, noDirOrFile)
	if err == nil {
		err = t.owns(&r.Caller, p.slot)
	}
	// Whoever may not change owners is told so first, as a NameNode does.
	if !r.Caller.Super && p.slot != none {
		switch n := t.inodes.get(p.slot); {
		case r.Owner != "" && r.Owner != t.people.name(n.owner):
			err = Refuse(AccessControl, "User %s is not a super user (non-super user cannot change owner).", r.Caller.User)
		case err == nil && r.Group != "" && !r.Caller.in(r.Group):
			err = Refuse(AccessControl, "User %s does not belong to %s", r.Caller.User, r.Group)
		}
	}
	if err != nil {
		return Result{}, err
	}
	n := t.inodes.edit(p.slot)
	if r.Owner != "" {
		n.owner = t.people.intern(r.Owner)
	}
	if r.Group != "" {
		n.group = t.people.intern(r.Group)
	}
	return Result{OK: true}, nil
}

func (t *Tree) setTimes(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, "File/Directory %s does not exist.")
	if err == nil {
		err = t.allow(&r.Caller, p.slot, write)
	}
	if err != nil {
		return Result{}, err
	}
	n := t.inodes.edit(p.slot)
	if r.ModTime >= 0 {
		n.modified = r.ModTime
	}
	if r.AccessTime >= 0 {
		n.accessed = r.AccessTime
	}
	return Result{OK: true}, nil
}

func (t *Tree) setReplication(r *Request) (Result, error) {
	p, err := t.changeable(&r.Caller, r.Path)
	if err != nil || p.slot == none {
		return Result{}, err
	}
	if err := t.allow(&r.Caller, p.slot, write); err != nil {
		return Result{}, err
	}
	n := t.inodes.get(p.slot)
	if n.is(isDir) {
		return Result{}, nil
	}
	if r.Replication < 1 || r.Replication > 512 {
		return Result{}, Refuse(IOException, "Requested replication factor of %d is out of range 1 to 512 for %s",
			r.Replication, r.Path)
	}
	if err := t.charge(n.parent, 0, n.size*int64(r.Replication-n.repl)); err != nil {
		return Result{}, err
	}
	t.inodes.edit(p.slot).repl = r.Replication
	return Result{OK: true}, nil
}

// Policy is a storage policy: a name that clients set and read. Every block is an object of the same store, whatever
// its policy says.
type Policy struct {
	ID                                                uint8
	Name                                              string
	StorageTypes, CreationFallbacks, ReplicaFallbacks []string
	CopyOnCreate                                      bool
}

// DefaultPolicy is the id of HOT, which whoever sets no policy has.
const DefaultPolicy = 7

// Policies returns what a NameNode has, by id.
func Policies() []Policy {
	disk, none := []string{"DISK"}, []string{}
	provided, warm := []string{"PROVIDED", "DISK"}, []string{"DISK", "ARCHIVE"}
	ssd := []string{"SSD", "DISK"}
	return []Policy{
		{1, "PROVIDED", provided, provided, provided, false},
		{2, "COLD", []string{"ARCHIVE"}, none, none, false},
		{5, "WARM", warm, warm, warm, false},
		{DefaultPolicy, "HOT", disk, none, []string{"ARCHIVE"}, false},
		{10, "ONE_SSD", ssd, ssd, ssd, false},
		{12, "ALL_SSD", []string{"SSD"}, disk, disk, false},
		{14, "ALL_NVDIMM", []string{"NVDIMM"}, disk, disk, false},
		{15, "LAZY_PERSIST", []string{"RAM_DISK", "DISK"}, disk, disk, true},
	}
}

// PolicyOf returns the storage policy that is set at a path or nearest above it.
func (t *Tree) PolicyOf(who Caller, path string) (Policy, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(&who, path, noFile)
	if err != nil {
		return Policy{}, err
	}
	id := uint8(0)
	for slot := p.slot; id == 0 && slot != none; slot = t.inodes.get(slot).parent {
		id = t.inodes.get(slot).policy
	}
	if id == 0 {
		id = DefaultPolicy
	}
	for _, known := range Policies() {
		if known.ID == id {
			return known, nil
		}
	}
	return Policy{}, Refuse(IOException, "Unknown storage policy %d", id)
}

func (t *Tree) setPolicy(r *Request) (Result, error) {
	var id uint8
	if r.Op == OpSetPolicy {
		all := Policies()
		i := slices.IndexFunc(all, func(p Policy) bool { return p.Name == r.Policy })
		if i < 0 {
			return Result{}, Refuse(HadoopIllegalArgument, "Cannot find a block policy with the name %s", r.Policy)
		}
		id = all[i].ID
	}
	p, err := t.changing(&r.Caller, r.Path, "File/Directory does not exist: %s")
	if err == nil {
		err = t.allow(&r.Caller, p.slot, write)
	}
	if err != nil {
		return Result{}, err
	}
	t.inodes.edit(p.slot).policy = id
	return Result{OK: true}, nil
}

// xattr is an extended attribute; the name has its namespace in front.
type xattr struct {
	Name, Value string
}

// maxXAttrs and maxXAttrSize bound the attributes of an inode, as at HDFS.
const (
	maxXAttrs    = 32
	maxXAttrSize = 16384
)

// xattrAccess refuses a namespace that the caller may not use.
func (t *Tree) xattrAccess(who *Caller, name string, slot uint32, a Access) error {
	space, bare := splitXAttr(name)
	switch {
	case bare == "":
		return Refuse(HadoopIllegalArgument,
			"An XAttr name must be prefixed with user/trusted/security/system/raw, followed by a '.'")
	case space != "user" && (space != "trusted" || !who.Super):
		return Refuse(AccessControl, "User doesn't have permission for xattr: %s", name)
	}
	return t.allow(who, slot, a)
}

func splitXAttr(name string) (space, bare string) {
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		switch space = name[:i]; space {
		case "user", "trusted", "security", "system", "raw":
			return space, name[i+1:]
		}
		return "", ""
	}
	return "", ""
}

func (t *Tree) setXAttr(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, "cannot find %s")
	if err == nil {
		err = t.xattrAccess(&r.Caller, r.Name, p.slot, write)
	}
	if err != nil {
		return Result{}, err
	}
	list := t.xattrs[p.slot]
	_, bare := splitXAttr(r.Name)
	i := slices.IndexFunc(list, func(x xattr) bool { return x.Name == r.Name })
	switch {
	case len(r.Name)+len(r.Value) > maxXAttrSize:
		return Result{}, Refuse(HadoopIllegalArgument, "The XAttr is too big. The maximum combined size of the name and"+
			" value is %d, but the total size is %d", maxXAttrSize, len(r.Name)+len(r.Value))
	case i >= 0 && !r.Replace:
		return Result{}, Refuse(IOException, "XAttr: %s already exists. The REPLACE flag must be specified.", bare)
	case i < 0 && !r.Create:
		return Result{}, Refuse(IOException, "XAttr: %s does not exist. The CREATE flag must be specified.", bare)
	case i < 0 && len(list) >= maxXAttrs:
		return Result{}, Refuse(IOException, "Cannot add additional XAttr to inode, would exceed limit of %d", maxXAttrs)
	}
	list = slices.Clone(list) // a checkpoint may be looking at the old one
	if i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	t.xattrs[p.slot] = slices.Insert(list, 0, xattr{r.Name, r.Value}) // newest first, as a NameNode lists them
	return Result{OK: true}, nil
}

func (t *Tree) removeXAttr(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, "cannot find %s")
	if err == nil {
		err = t.xattrAccess(&r.Caller, r.Name, p.slot, write)
	}
	if err != nil {
		return Result{}, err
	}
	list := slices.Clone(t.xattrs[p.slot])
	i := slices.IndexFunc(list, func(x xattr) bool { return x.Name == r.Name })
	if i < 0 {
		return Result{}, Refuse(IOException, "No matching attributes found for remove operation")
	}
	t.xattrs[p.slot] = slices.Delete(list, i, i+1)
	if len(list) == 1 {
		delete(t.xattrs, p.slot)
	}
	return Result{OK: true}, nil
}
