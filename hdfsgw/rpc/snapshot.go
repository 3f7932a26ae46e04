package rpc

import (
	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// maxSnapshots is what a NameNode allows for a directory.
const maxSnapshots = 65536

func (c *call) snapshotDirs(*hadoop.Empty) (proto.Message, error) {
	dirs := c.names.SnapshotDirs(c.who)
	if len(dirs) == 0 {
		return &hadoop.GetSnapshottableDirListingResponse{}, nil
	}
	list := &hadoop.SnapshottableDirectoryListing{}
	for _, d := range dirs {
		list.Listing = append(list.Listing, &hadoop.SnapshottableDirectoryStatus{DirStatus: fileStatus(d.Status),
			SnapshotQuota: proto.Uint32(maxSnapshots), SnapshotNumber: proto.Uint32(uint32(d.Snapshots)),
			ParentFullPath: []byte(d.Parent)})
	}
	return &hadoop.GetSnapshottableDirListingResponse{List: list}, nil
}

func (c *call) snapshotDiff(q *hadoop.GetSnapshotDiffReportRequest) (proto.Message, error) {
	p, err := path(q.GetSnapshotRoot())
	if err != nil {
		return nil, err
	}
	changes, err := c.names.Diff(c.who, p, q.GetFromSnapshot(), q.GetToSnapshot())
	if err != nil {
		return nil, err
	}
	labels := map[string]string{"CREATE": "+", "DELETE": "-", "MODIFY": "M", "RENAME": "R"}
	report := &hadoop.SnapshotDiffReport{SnapshotRoot: &p, FromSnapshot: q.FromSnapshot, ToSnapshot: q.ToSnapshot}
	for _, ch := range changes {
		e := &hadoop.SnapshotDiffReportEntry{FullPath: []byte(ch.Source), ModificationLabel: proto.String(labels[ch.Kind])}
		if ch.Target != "" {
			e.TargetPath = []byte(ch.Target)
		}
		report.Entries = append(report.Entries, e)
	}
	return &hadoop.GetSnapshotDiffReportResponse{DiffReport: report}, nil
}

// snapshotDiffList tells the same page by page, in Hadoop's newer way.
func (c *call) snapshotDiffList(q *hadoop.GetSnapshotDiffListingRequest) (proto.Message, error) {
	p, err := path(q.GetSnapshotRoot())
	if err != nil {
		return nil, err
	}
	page, err := c.names.DiffPage(c.who, p, q.GetFromSnapshot(), q.GetToSnapshot(), int(q.GetCursor().GetIndex()),
		c.o.ListLimit)
	if err != nil {
		return nil, err
	}
	entries := func(list []namespace.DiffEntry) (all []*hadoop.SnapshotDiffListingEntry) {
		for _, e := range list {
			entry := &hadoop.SnapshotDiffListingEntry{FullPath: []byte(e.Path), DirId: &e.Dir, IsReference: &e.Reference,
				FileId: &e.File}
			if e.Target != "" {
				entry.TargetPath = []byte(e.Target)
			}
			all = append(all, entry)
		}
		return all
	}
	return &hadoop.GetSnapshotDiffListingResponse{Report: &hadoop.SnapshotDiffListing{Modified: entries(page.Modified),
		Created: entries(page.Created), Deleted: entries(page.Deleted), IsFromEarlier: proto.Bool(true),
		Cursor: &hadoop.SnapshotDiffCursor{StartPath: []byte{}, Index: proto.Int32(int32(page.Next))}}}, nil
}

func (c *call) snapshotList(q *hadoop.PathRequest) (proto.Message, error) {
	p, err := path(q.GetPath())
	if err != nil {
		return nil, err
	}
	list, err := c.names.SnapshotsOf(c.who, p)
	all := make([]*hadoop.SnapshotStatus, len(list))
	for i, s := range list {
		all[i] = &hadoop.SnapshotStatus{DirStatus: fileStatus(s), SnapshotId: proto.Uint32(uint32(i)),
			ParentFullPath: []byte(p), IsDeleted: proto.Bool(false)}
	}
	return &hadoop.GetSnapshotListingResponse{List: &hadoop.SnapshotListing{Listing: all}}, err
}
