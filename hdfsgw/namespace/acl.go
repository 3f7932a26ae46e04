package namespace

import (
	"cmp"
	"slices"
)

// ACLKind is whom an ACL entry is about. The order is that in which entries are listed.
type ACLKind uint8

// The kinds.
const (
	ACLUser ACLKind = iota
	ACLGroup
	ACLMask
	ACLOther
)

var aclKindText = [...]string{"user", "group", "mask", "other"}

// ACLEntry is one entry of an ACL.
type ACLEntry struct {
	Default bool
	Kind    ACLKind
	Name    string // of a user or group; "" for the owner, or the owning group
	Access  Access
}

// String writes "default:user:bob:rwx".
func (e ACLEntry) String() string {
	s := aclKindText[e.Kind] + ":" + e.Name + ":" + e.Access.String()
	if e.Default {
		return "default:" + s
	}
	return s
}

func (e *ACLEntry) code(c *coder) {
	c.bool(&e.Default)
	num(c, &e.Kind)
	c.string(&e.Name)
	num(c, &e.Access)
	if e.Kind > ACLOther || e.Access > 7 {
		c.fail("ACL entry")
	}
}

// compare orders entries as a NameNode does: access before default, by kind, the unnamed one first.
func (e ACLEntry) compare(o ACLEntry) int {
	if e.Default != o.Default {
		if e.Default {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(e.Kind, o.Kind), cmp.Compare(e.Name, o.Name))
}

// fullACL returns the whole ACL of an inode, the permission bits included. Stored are only the entries that the bits
// have no room for; if there are any, the bits of the group are the mask.
func (t *Tree) fullACL(slot uint32) []ACLEntry {
	n := t.inodes.get(slot)
	stored := t.acls[slot]
	list := []ACLEntry{
		{Kind: ACLUser, Access: Access(n.perm >> 6 & 7)},
		{Kind: ACLOther, Access: Access(n.perm & 7)},
	}
	kind := ACLGroup
	if slices.ContainsFunc(stored, func(e ACLEntry) bool { return !e.Default }) {
		kind = ACLMask
	}
	list = append(list, ACLEntry{Kind: kind, Access: Access(n.perm >> 3 & 7)})
	list = append(list, stored...)
	slices.SortFunc(list, ACLEntry.compare)
	return list
}

// storeACL is the inverse of fullACL. The list must be checked.
func (t *Tree) storeACL(slot uint32, list []ACLEntry) {
	var stored []ACLEntry
	extended := slices.ContainsFunc(list, func(e ACLEntry) bool { return !e.Default && e.Kind == ACLMask })
	n := t.inodes.edit(slot)
	for _, e := range list {
		switch {
		case e.Default:
			stored = append(stored, e)
		case e.Kind == ACLUser && e.Name == "":
			n.perm = n.perm&^0o700 | uint16(e.Access)<<6
		case e.Kind == ACLOther:
			n.perm = n.perm&^0o007 | uint16(e.Access)
		case e.Kind == ACLMask, e.Kind == ACLGroup && !extended:
			n.perm = n.perm&^0o070 | uint16(e.Access)<<3
		default:
			stored = append(stored, e)
		}
	}
	if len(stored) == 0 {
		delete(t.acls, slot)
		n.flags &^= hasACL
		return
	}
	t.acls[slot] = stored
	n.flags |= hasACL
}

func (t *Tree) changeACL(r *Request) (Result, error) {
	p, err := t.changing(&r.Caller, r.Path, "cannot find %s")
	if err == nil {
		err = t.owns(&r.Caller, p.slot)
	}
	if err != nil {
		return Result{}, err
	}
	list := editACL(r, t.fullACL(p.slot))
	if err := checkACL(list, t.inodes.get(p.slot).is(isDir), r.Path); err != nil {
		return Result{}, err
	}
	t.storeACL(p.slot, list)
	return Result{OK: true}, nil
}

// editACL returns what a request makes of an ACL.
func editACL(r *Request, list []ACLEntry) []ACLEntry {
	same := func(a ACLEntry) func(ACLEntry) bool {
		return func(b ACLEntry) bool { return a.compare(b) == 0 }
	}
	touches := func(isDefault bool) bool {
		return slices.ContainsFunc(r.ACL, func(e ACLEntry) bool { return e.Default == isDefault })
	}
	switch r.Op {
	case OpRemoveACL:
		list = slices.DeleteFunc(list, func(e ACLEntry) bool {
			return e.Default || e.Kind == ACLMask || e.Kind <= ACLGroup && e.Name != ""
		})
	case OpRemoveDefaultACL:
		list = slices.DeleteFunc(list, func(e ACLEntry) bool { return e.Default })
	case OpRemoveACLEntries:
		for _, e := range r.ACL {
			list = slices.DeleteFunc(list, same(e))
		}
	case OpModifyACL:
		for _, e := range r.ACL {
			list = append(slices.DeleteFunc(list, same(e)), e)
		}
	case OpSetACL:
		list = slices.DeleteFunc(list, func(e ACLEntry) bool { return touches(e.Default) })
		list = append(list, r.ACL...)
	}
	list = completeDefaults(list)
	for _, isDefault := range []bool{false, true} {
		given := r.Op != OpRemoveACLEntries && slices.ContainsFunc(r.ACL, func(e ACLEntry) bool {
			return e.Default == isDefault && e.Kind == ACLMask
		})
		if !given && touches(isDefault) {
			list = computeMask(list, isDefault)
		}
	}
	slices.SortFunc(list, ACLEntry.compare)
	return list
}

// completeDefaults adds the three entries that a default ACL must have, with the permissions of the access ACL.
func completeDefaults(list []ACLEntry) []ACLEntry {
	if !slices.ContainsFunc(list, func(e ACLEntry) bool { return e.Default }) {
		return list
	}
	for _, e := range slices.Clone(list) {
		if e.Default || e.Name != "" || e.Kind == ACLMask {
			continue
		}
		e.Default = true
		if !slices.ContainsFunc(list, func(o ACLEntry) bool { return o.compare(e) == 0 }) {
			list = append(list, e)
		}
	}
	return list
}

// computeMask sets the mask to all that it has to let through; without named entries there is no mask.
func computeMask(list []ACLEntry, isDefault bool) []ACLEntry {
	var all Access
	named := false
	list = slices.DeleteFunc(list, func(e ACLEntry) bool { return e.Default == isDefault && e.Kind == ACLMask })
	for _, e := range list {
		if e.Default == isDefault && (e.Name != "" || e.Kind == ACLGroup) {
			all |= e.Access
			named = named || e.Name != ""
		}
	}
	if named {
		list = append(list, ACLEntry{Default: isDefault, Kind: ACLMask, Access: all})
	}
	return list
}

// maxACL bounds the entries of each half, as at HDFS.
const maxACL = 32

func checkACL(list []ACLEntry, dir bool, path string) error {
	var need [2]int
	var count [2]int
	for i, e := range list {
		half := 0
		if e.Default {
			half = 1
		}
		count[half]++
		if e.Name == "" && e.Kind != ACLMask {
			need[half]++
		}
		if i > 0 && e.compare(list[i-1]) == 0 {
			return Refuse(ACL, "Invalid ACL: multiple entries with same scope, type and name. Path: %s", path)
		}
		if e.Name != "" && e.Kind > ACLGroup {
			return Refuse(ACL, "Invalid ACL: this entry type must not have a name: %s. Path: %s", e, path)
		}
	}
	switch {
	case need[0] != 3 || count[1] > 0 && need[1] != 3:
		return Refuse(ACL, "Invalid ACL: the user, group and other entries are required. Path: %s", path)
	case count[1] > 0 && !dir:
		return Refuse(ACL, "Invalid ACL: only directories may have a default ACL. Path: %s Path: %s", path, path)
	case count[0] > maxACL || count[1] > maxACL:
		return Refuse(ACL, "Invalid ACL: ACL has too many entries, which exceeds maximum of %d. Path: %s", maxACL, path)
	}
	return nil
}

func (t *Tree) hasDefaultACL(dir uint32) bool {
	return slices.ContainsFunc(t.acls[dir], func(e ACLEntry) bool { return e.Default })
}

// inheritACL gives a new inode what its directory's default ACL says: the entries, and no more than the mode asked for.
func (t *Tree) inheritACL(slot, dir uint32) {
	var list []ACLEntry
	mode := t.inodes.get(slot).perm
	isDirectory := t.inodes.get(slot).is(isDir)
	for _, e := range t.acls[dir] {
		if !e.Default {
			continue
		}
		if isDirectory {
			list = append(list, e)
		}
		e.Default = false
		list = append(list, e)
	}
	if list == nil {
		return
	}
	extended := slices.ContainsFunc(list, func(e ACLEntry) bool { return !e.Default && e.Kind == ACLMask })
	for i, e := range list {
		switch {
		case e.Default:
		case e.Kind == ACLUser && e.Name == "":
			list[i].Access &= Access(mode >> 6 & 7)
		case e.Kind == ACLMask, e.Kind == ACLGroup && e.Name == "" && !extended:
			list[i].Access &= Access(mode >> 3 & 7)
		case e.Kind == ACLOther:
			list[i].Access &= Access(mode & 7)
		}
	}
	slices.SortFunc(list, ACLEntry.compare)
	t.storeACL(slot, list)
}

// permittedByACL decides with the entries that the permission bits have no room for.
func permittedByACL(who *Caller, stored []ACLEntry, owner, group string, perm uint16, a Access) bool {
	if owner == who.User {
		return Access(perm>>6)&a == a
	}
	extended, mask := false, Access(perm>>3&7)
	member := false
	for _, e := range stored {
		if e.Default {
			continue
		}
		extended = true
		switch {
		case e.Kind == ACLUser && e.Name == who.User:
			return e.Access&mask&a == a
		case e.Kind == ACLGroup && (e.Name == "" && who.in(group) || e.Name != "" && who.in(e.Name)):
			member = true
			if e.Access&mask&a == a {
				return true
			}
		}
	}
	if !extended && who.in(group) {
		return mask&a == a
	}
	return !member && Access(perm)&a == a
}
