package rpc

import (
	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

func (c *call) mkdirs(q *hadoop.MkdirsRequest) (proto.Message, error) {
	return c.changed(namespace.Request{Op: namespace.OpMkdirs, Path: q.GetSrc(),
		Perm: uint16(q.GetMasked().GetPerm()), Unmasked: uint16(q.GetUnmasked().GetPerm()), NoParents: !q.GetCreateParent()})
}

func (c *call) rename(q *hadoop.RenameRequest) (proto.Message, error) {
	return c.changed(namespace.Request{Op: namespace.OpRename, Path: q.GetSrc(), Dest: q.GetDst()})
}

func (c *call) rename2(q *hadoop.RenameRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpRename2, Path: q.GetSrc(), Dest: q.GetDst(),
		Overwrite: q.GetOverwrite()})
}

func (c *call) delete(q *hadoop.DeleteRequest) (proto.Message, error) {
	return c.changed(namespace.Request{Op: namespace.OpDelete, Path: q.GetSrc(), Recursive: q.GetRecursive()})
}

func (c *call) concat(q *hadoop.ConcatRequest) (proto.Message, error) {
	sources := make([]string, len(q.GetSrcs()))
	for i, src := range q.GetSrcs() {
		sources[i] = namespace.Clean(src)
	}
	return c.done(namespace.Request{Op: namespace.OpConcat, Path: q.GetTrg(), Sources: sources})
}

func (c *call) truncate(q *hadoop.TruncateRequest) (proto.Message, error) {
	return c.changed(namespace.Request{Op: namespace.OpTruncate, Path: q.GetSrc(), Length: int64(q.GetNewLength())})
}

func (c *call) setPermission(q *hadoop.SetPermissionRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpSetPermission, Path: q.GetSrc(),
		Perm: uint16(q.GetPermission().GetPerm())})
}

func (c *call) setOwner(q *hadoop.SetOwnerRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpSetOwner, Path: q.GetSrc(), Owner: q.GetUserName(),
		Group: q.GetGroupName()})
}

func (c *call) setTimes(q *hadoop.SetTimesRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpSetTimes, Path: q.GetSrc(), ModTime: int64(q.GetMtime()),
		AccessTime: int64(q.GetAtime())})
}

func (c *call) setReplication(q *hadoop.SetReplicationRequest) (proto.Message, error) {
	return c.changed(namespace.Request{Op: namespace.OpSetReplication, Path: q.GetSrc(),
		Replication: int16(min(q.GetReplication(), 1<<15-1))})
}

func (c *call) setQuota(q *hadoop.SetQuotaRequest) (proto.Message, error) {
	if q.StorageType != nil {
		return nil, namespace.SetTypeQuota()
	}
	return c.done(namespace.Request{Op: namespace.OpSetQuota, Path: q.GetPath(),
		NameQuota: int64(q.GetNamespaceQuota()), SpaceQuota: int64(q.GetStorageSpaceQuota())})
}

func (c *call) setStoragePolicy(q *hadoop.SetStoragePolicyRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpSetPolicy, Path: q.GetSrc(), Policy: q.GetPolicyName()})
}

func (c *call) setXAttr(q *hadoop.SetXAttrRequest) (proto.Message, error) {
	const create, replace = 1, 2
	return c.done(namespace.Request{Op: namespace.OpSetXAttr, Path: q.GetSrc(), Name: xattrName(q.GetXAttr()),
		Value: string(q.GetXAttr().GetValue()), Create: q.GetFlag()&create != 0, Replace: q.GetFlag()&replace != 0})
}

func (c *call) removeXAttr(q *hadoop.SetXAttrRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpRemoveXAttr, Path: q.GetSrc(), Name: xattrName(q.GetXAttr())})
}

func (c *call) createSnapshot(q *hadoop.CreateSnapshotRequest) (proto.Message, error) {
	name := q.GetSnapshotName()
	if name == "" {
		name = namespace.SnapshotName(c.names.Now())
	}
	result, err := c.change(namespace.Request{Op: namespace.OpCreateSnapshot, Path: q.GetSnapshotRoot(), Name: name})
	return &hadoop.CreateSnapshotResponse{SnapshotPath: &result.Path}, err
}

func (c *call) renameSnapshot(q *hadoop.RenameSnapshotRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpRenameSnapshot, Path: q.GetSnapshotRoot(), OldName: q.GetOldName(),
		Name: q.GetNewName()})
}

func (c *call) deleteSnapshot(q *hadoop.DeleteSnapshotRequest) (proto.Message, error) {
	return c.done(namespace.Request{Op: namespace.OpDeleteSnapshot, Path: q.GetSnapshotRoot(),
		Name: q.GetSnapshotName()})
}
