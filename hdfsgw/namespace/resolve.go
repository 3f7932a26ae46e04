package namespace

import (
	"fmt"
	"strings"
)

// dotSnapshot is the component below which a directory's snapshots are.
const dotSnapshot = ".snapshot"

// place is where a path leads.
type place struct {
	path    string
	slot    uint32   // none if there is nothing
	parent  uint32   // the deepest existing directory above the last component
	last    string   // the last component
	missing []string // the components that don't exist, the last included; empty if slot exists
	file    uint32   // a file that the path uses as a directory, none if there is no such
	frozen  bool     // in a snapshot
}

// resolve walks a path. It needs EXECUTE on every directory that it goes through.
func (t *Tree) resolve(who *Caller, path string) (place, error) {
	p := place{path: path, slot: rootSlot, parent: rootSlot}
	if path == "/" {
		return p, nil
	}
	p.last = path[strings.LastIndexByte(path, '/')+1:]
	for rest, more := path[1:], true; more; {
		var part string
		left := rest
		part, rest, more = strings.Cut(rest, "/")
		dir := t.inodes.get(p.slot)
		if !dir.is(isDir) {
			p.file, p.slot, p.missing = p.slot, none, strings.Split(left, "/")
			return p, nil
		}
		if err := t.allow(who, p.slot, execute); err != nil {
			return p, err
		}
		p.parent = p.slot
		if part == dotSnapshot {
			p.slot, p.frozen = t.hidden[p.slot], true
		} else {
			p.slot = t.child(p.slot, part)
		}
		if p.slot == none {
			p.missing = strings.Split(left, "/")
			return p, nil
		}
	}
	return p, nil
}

// existing is resolve for a path that must exist; gone words the refusal, with the path as its argument.
func (t *Tree) existing(who *Caller, path, gone string) (place, error) {
	p, err := t.resolve(who, path)
	if err == nil && p.slot == none {
		err = Refuse(FileNotFound, gone, path)
	}
	return p, err
}

// changeable is resolve for something that is to be changed, and so is not in a snapshot.
func (t *Tree) changeable(who *Caller, path string) (place, error) {
	p, err := t.resolve(who, path)
	if err == nil && p.frozen {
		err = Refuse(SnapshotAccessControl, "Modification on a read-only snapshot is disallowed")
	}
	return p, err
}

// changing is changeable for a path that must exist.
func (t *Tree) changing(who *Caller, path, gone string) (place, error) {
	p, err := t.changeable(who, path)
	if err == nil && p.slot == none {
		err = Refuse(FileNotFound, gone, path)
	}
	return p, err
}

// Wordings of what is not there.
const (
	noFile      = "File does not exist: %s"
	notAFile    = "Path is not a file: %s"
	noDirOrFile = "Directory/File does not exist %s"
)

// Access is a set of permission bits.
type Access uint8

// The bits.
const (
	execute Access = 1
	write   Access = 2
	read    Access = 4
)

var accessText = [8]string{"NONE", "EXECUTE", "WRITE", "WRITE_EXECUTE", "READ", "READ_EXECUTE", "READ_WRITE", "ALL"}

// ParseAccess reads "rwx", with "-" for what is missing.
func ParseAccess(s string) (a Access, ok bool) {
	if len(s) != 3 {
		return 0, false
	}
	for i, letter := range []byte("rwx") {
		switch s[i] {
		case letter:
			a |= 4 >> i
		case '-':
		default:
			return 0, false
		}
	}
	return a, true
}

// String is the inverse of ParseAccess.
func (a Access) String() string {
	b := []byte("rwx")
	for i := range b {
		if a&(4>>i) == 0 {
			b[i] = '-'
		}
	}
	return string(b)
}

// sticky is the permission bit that lets only owners delete.
const sticky = 0o1000

// allow refuses if who may not access an inode in this way.
func (t *Tree) allow(who *Caller, slot uint32, a Access) error {
	if who.Super || t.permitted(who, slot, a) {
		return nil
	}
	return Refuse(AccessControl, "Permission denied: user=%s, access=%s, %s", who.User, accessText[a], t.describe(slot))
}

func (t *Tree) permitted(who *Caller, slot uint32, a Access) bool {
	n := t.inodes.get(slot)
	if n.is(hasACL) {
		return permittedByACL(who, t.acls[slot], t.people.name(n.owner), t.people.name(n.group), n.perm, a)
	}
	switch {
	case t.people.name(n.owner) == who.User:
		return Access(n.perm>>6)&a == a
	case who.in(t.people.name(n.group)):
		return Access(n.perm>>3)&a == a
	}
	return Access(n.perm)&a == a
}

// in reports whether the caller is member of a group.
func (w *Caller) in(group string) bool {
	for _, g := range w.Groups {
		if g == group {
			return true
		}
	}
	return false
}

// describe is how refusals name an inode: inode="/a":owner:group:drwxr-xr-x.
func (t *Tree) describe(slot uint32) string {
	n := t.inodes.get(slot)
	kind := "-"
	if n.is(isDir) {
		kind = "d"
	}
	return fmt.Sprintf("inode=\"%s\":%s:%s:%s%s", t.pathOf(slot), t.people.name(n.owner), t.people.name(n.group), kind,
		PermText(n.perm))
}

// PermText writes permission bits as ls does: "rwxr-xr-t".
func PermText(perm uint16) string {
	s := Access(perm>>6&7).String() + Access(perm>>3&7).String() + Access(perm&7).String()
	switch {
	case perm&sticky == 0:
		return s
	case perm&1 != 0:
		return s[:8] + "t"
	}
	return s[:8] + "T"
}

// owns refuses if who does not own an inode.
func (t *Tree) owns(who *Caller, slot uint32) error {
	if who.Super || t.people.name(t.inodes.get(slot).owner) == who.User {
		return nil
	}
	return Refuse(AccessControl, "Permission denied. user=%s is not the owner of inode=%s", who.User, t.pathOf(slot))
}

// removable refuses if who may not take an inode out of its directory.
func (t *Tree) removable(who *Caller, slot uint32) error {
	n := t.inodes.get(slot)
	if err := t.allow(who, n.parent, write); err != nil {
		return err
	}
	dir := t.inodes.get(n.parent)
	if dir.perm&sticky == 0 || who.Super || t.people.name(n.owner) == who.User || t.people.name(dir.owner) == who.User {
		return nil
	}
	return Refuse(AccessControl, "Permission denied by sticky bit: user=%s, path=%s, parent=%s", who.User,
		strings.TrimPrefix(t.describe(slot), "inode="), strings.TrimPrefix(t.describe(n.parent), "inode="))
}
