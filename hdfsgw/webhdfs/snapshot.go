package webhdfs

import (
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

func (c *call) snapshotDiff() error {
	from, to := c.p.get("oldsnapshotname"), c.p.get("snapshotname")
	changes, err := c.tree.Diff(c.who, c.path, from, to)
	if err != nil {
		return err
	}
	all := make([]object, len(changes))
	for i, ch := range changes {
		all[i] = object{"sourcePath": ch.Source, "type": ch.Kind}
		if ch.Target != "" {
			all[i]["targetPath"] = ch.Target
		}
	}
	return c.ok(object{"SnapshotDiffReport": object{"diffList": all, "fromSnapshot": from, "snapshotRoot": c.path,
		"toSnapshot": to}})
}

// maxSnapshots is what a NameNode allows for a directory.
const maxSnapshots = 65536

func (c *call) snapshotDirs() error {
	all := []object{}
	for _, d := range c.tree.SnapshotDirs(c.who) {
		all = append(all, object{"dirStatus": statusJSON(d.Status), "parentFullPath": d.Parent,
			"snapshotNumber": d.Snapshots, "snapshotQuota": maxSnapshots})
	}
	return c.ok(object{"SnapshottableDirectoryList": all})
}

func (c *call) snapshotList() error {
	list, err := c.tree.SnapshotsOf(c.who, c.path)
	if err != nil {
		return err
	}
	all := make([]object, len(list))
	for i, s := range list {
		all[i] = object{"deletionStatus": "ACTIVE", "dirStatus": statusJSON(s),
			"fullPath": strings.TrimSuffix(c.path, "/") + "/.snapshot/" + s.Name, "snapshotID": i}
	}
	return c.ok(object{"SnapshotList": all})
}

// snapshotDiffList tells what snapshotDiff does page by page. Where the next one begins is an index alone here; clients
// hand back what they are told.
func (c *call) snapshotDiffList() error {
	index, err := c.p.number("snapshotdiffindex", -1, -1, "int", 32)
	if err != nil {
		return err
	}
	page, err := c.tree.DiffPage(c.who, c.path, c.p.get("oldsnapshotname"), c.p.get("snapshotname"), int(index),
		c.o.ListLimit)
	if err != nil {
		return err
	}
	entries := func(list []namespace.DiffEntry) []object {
		all := make([]object, len(list))
		for i, e := range list {
			all[i] = object{"dirId": e.Dir, "fileId": e.File, "isReference": e.Reference, "sourcePath": e.Path}
			if e.Target != "" {
				all[i]["targetPath"] = e.Target
			}
		}
		return all
	}
	return c.ok(object{"SnapshotDiffReportListing": object{"modifyList": entries(page.Modified),
		"createList": entries(page.Created), "deleteList": entries(page.Deleted), "isFromEarlier": true,
		"lastIndex": page.Next, "lastPath": ""}})
}
