package namespace

import (
	"cmp"
	"slices"
)

// DiffPage is a part of the difference between two snapshots as Hadoop lists it: by what has happened to directories.
// Who has all pages makes Changes of them: an entry of Created or Deleted counts if its directory is in Modified, and
// the two entries of a rename are found by their File.
type DiffPage struct {
	Modified, Created, Deleted []DiffEntry
	Next                       int // index of the next page, -1 for none
}

// DiffEntry is a line of a DiffPage.
type DiffEntry struct {
	Path      string // relative to the directory; "" is itself
	Target    string // of what was renamed, in Deleted
	File, Dir uint64 // ids of the inode, and of the directory that has it; in Modified the same
	Reference bool   // was renamed; in Modified, is a directory
}

// DiffPage returns at most limit entries of what Diff tells, from an index on; 0 or less is the beginning.
func (t *Tree) DiffPage(who Caller, path, from, to string, index, limit int) (DiffPage, error) {
	changes, err := t.Diff(who, path, from, to)
	page := DiffPage{Next: -1}
	if err != nil {
		return page, err
	}
	lines := diffLines(changes)
	first := min(max(index, 0), len(lines))
	last := min(first+limit, len(lines))
	if last < len(lines) {
		page.Next = last
	}
	for _, l := range lines[first:last] {
		list := []*[]DiffEntry{&page.Modified, &page.Created, &page.Deleted}[l.list]
		*list = append(*list, l.DiffEntry)
	}
	return page, nil
}

// diffLine is a line of one of the lists of a DiffPage.
type diffLine struct {
	list int
	DiffEntry
}

// diffLines makes the lists of changes, one after the other. Each directory in which something was made, or from which
// something was taken, is in the first one.
func diffLines(changes []Change) (lines []diffLine) {
	modified := map[uint64]bool{}
	modify := func(id uint64, path string, dir bool) {
		if !modified[id] {
			modified[id] = true
			lines = append(lines, diffLine{0, DiffEntry{Path: path, File: id, Dir: id, Reference: dir}})
		}
	}
	create := func(path string, c Change, renamed bool) {
		modify(c.In[1], parentOf(path), true)
		lines = append(lines, diffLine{1, DiffEntry{Path: path, File: c.ID, Dir: c.In[1], Reference: renamed}})
	}
	remove := func(c Change) {
		modify(c.In[0], parentOf(c.Source), true)
		lines = append(lines, diffLine{2, DiffEntry{Path: c.Source, Target: c.Target, File: c.ID, Dir: c.In[0],
			Reference: c.Target != ""}})
	}
	for _, c := range changes {
		switch c.Kind {
		case "MODIFY":
			modify(c.ID, c.Source, c.Dir)
		case "CREATE":
			create(c.Source, c, false)
		case "DELETE":
			remove(c)
		case "RENAME":
			stays := c.In[0] != 0 // where it came from is still there
			if create(c.Target, c, stays); stays {
				remove(c)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b diffLine) int { return cmp.Compare(a.list, b.list) })
	return lines
}
