package namespace

import "fmt"

// Usage is what is at and below a path.
type Usage struct {
	Files, Dirs int64 // a directory counts itself
	Length      int64 // bytes of the files
	Space       int64 // the same, times replication
	NameQuota   int64 // -1 for none
	SpaceQuota  int64
	Policy      uint8
	IsDir       bool
}

func (u *Usage) names() int64 { return u.Files + u.Dirs }

// usage counts what is at and below an inode. It takes time in proportion.
func (t *Tree) usage(slot uint32) Usage {
	var u Usage
	t.count(slot, &u)
	n := t.inodes.get(slot)
	u.NameQuota, u.SpaceQuota, u.IsDir, u.Policy = -1, -1, n.is(isDir), n.policy
	if q, ok := t.quotas[slot]; ok {
		u.NameQuota, u.SpaceQuota = q.names, q.space
	}
	return u
}

func (t *Tree) count(slot uint32, u *Usage) {
	n := t.inodes.get(slot)
	if !n.is(isDir) {
		u.Files++
		u.Length += n.size
		u.Space += n.size * int64(n.repl)
		return
	}
	u.Dirs++
	t.children(slot, "", func(kid uint32) bool {
		t.count(kid, u)
		return true
	})
}

// charge counts new names and bytes in a directory against the quotas above, or refuses and counts nothing.
func (t *Tree) charge(dir uint32, names, space int64) error {
	if err := t.affordable(dir, none, names, space); err != nil {
		return err
	}
	t.charged(dir, names, space)
	return nil
}

// affordable refuses if a quota at or above dir, and below end, does not allow so much more.
func (t *Tree) affordable(dir, end uint32, names, space int64) error {
	for ; dir != end && dir != none && len(t.quotas) > 0; dir = t.inodes.get(dir).parent {
		q, ok := t.quotas[dir]
		switch {
		case !ok:
		case names > 0 && q.names >= 0 && q.usedNames+names > q.names:
			return Refuse(NSQuotaExceeded, "The NameSpace quota (directories and files) of directory %s is exceeded: quota=%d"+
				" file count=%d", t.pathOf(dir), q.names, q.usedNames+names)
		case space > 0 && q.space >= 0 && q.usedSpace+space > q.space:
			return Refuse(DSQuotaExceeded, "The DiskSpace quota of %s is exceeded: quota = %d B = %s but diskspace consumed ="+
				" %d B = %s", t.pathOf(dir), q.space, sizeText(q.space), q.usedSpace+space, sizeText(q.usedSpace+space))
		}
	}
	return nil
}

// sizeText writes bytes as Hadoop's long2String does with two decimals.
func sizeText(n int64) string {
	units := []string{"B", "KB", "MB", "GB", "TB", "PB", "EB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.2f %s", f, units[i])
}

// charged counts names and bytes, fewer if negative, without asking.
func (t *Tree) charged(dir uint32, names, space int64) {
	for ; dir != none && len(t.quotas) > 0; dir = t.inodes.get(dir).parent {
		if q, ok := t.quotas[dir]; ok {
			q.usedNames += names
			q.usedSpace += space
		}
	}
}

// chargeMove counts what is at and below slot in its new directory instead of where it is. What it replaces there (none
// if nothing) makes room for it. Without quotas it costs nothing, so that a rename does not depend on the size of what
// is renamed.
func (t *Tree) chargeMove(slot, to, replaced uint32) error {
	if len(t.quotas) == 0 {
		return nil
	}
	from := t.inodes.get(slot).parent
	above := map[uint32]bool{}
	for dir := from; dir != none; dir = t.inodes.get(dir).parent {
		above[dir] = true
	}
	common := to
	for common != none && !above[common] {
		common = t.inodes.get(common).parent
	}
	u := t.usage(slot)
	var room Usage
	if replaced != none {
		room = t.usage(replaced)
	}
	if err := t.affordable(to, common, u.names()-room.names(), u.Space-room.Space); err != nil {
		return err
	}
	t.charged(from, -u.names(), -u.Space)
	t.charged(to, u.names(), u.Space)
	return nil
}

func (t *Tree) setQuota(r *Request) (Result, error) {
	if !r.Caller.Super {
		return Result{}, notSuper(r, "setQuota")
	}
	p, err := t.changing(&r.Caller, r.Path, "Directory does not exist: %s")
	if err != nil {
		return Result{}, err
	}
	if !t.inodes.get(p.slot).is(isDir) {
		return Result{}, Refuse(FileNotFound, "%s: Is not a directory", r.Path)
	}
	for _, limit := range []int64{r.NameQuota, r.SpaceQuota} {
		if limit == 0 || limit < -1 {
			return Result{}, Refuse(IllegalArgument, "Invalid values for quota : %d and %d", r.NameQuota, r.SpaceQuota)
		}
	}
	q, ok := t.quotas[p.slot]
	if !ok {
		u := t.usage(p.slot)
		q = &quota{-1, -1, u.names(), u.Space}
	}
	if r.NameQuota != QuotaKeep {
		q.names = r.NameQuota
	}
	if r.SpaceQuota != QuotaKeep {
		q.space = r.SpaceQuota
	}
	if q.names < 0 && q.space < 0 {
		delete(t.quotas, p.slot)
	} else {
		t.quotas[p.slot] = q
	}
	return Result{OK: true}, nil
}

func notSuper(r *Request, operation string) error {
	return Refuse(AccessControl, "Access denied for user %s. Superuser privilege is required for operation %s",
		r.Caller.User, operation)
}
