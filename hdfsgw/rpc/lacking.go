package rpc

import (
	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// What a NameNode without erasure coding, and key provider says.

func (c *call) setECPolicy(q *hadoop.SetErasureCodingPolicyRequest) (proto.Message, error) {
	return nil, namespace.SetECPolicy(q.GetPolicy())
}

func (c *call) unsetECPolicy(q *hadoop.PathRequest) (proto.Message, error) {
	p, err := path(q.GetPath())
	if err == nil {
		err = c.names.UnsetECPolicy(c.who, p)
	}
	return nil, err
}

// turnECPolicy enables, disables or removes a policy, whose name is where other requests have a path.
func (c *call) turnECPolicy(q *hadoop.PathRequest) (proto.Message, error) {
	return nil, namespace.TurnECPolicy(q.GetPath())
}

func (c *call) satisfyPolicy(*hadoop.PathRequest) (proto.Message, error) {
	return nil, namespace.SatisfyPolicy()
}

func (c *call) createZone(q *hadoop.PathRequest) (proto.Message, error) {
	return nil, namespace.Refuse(namespace.IOException,
		"Can't create an encryption zone for %s since no key provider is available.", q.GetPath())
}

// enclosingRoot tells that a file may be moved anywhere: there are no encryption zones.
func (c *call) enclosingRoot(q *hadoop.PathRequest) (proto.Message, error) {
	_, _, err := c.status(q.GetPath())
	return &hadoop.GetEnclosingRootResponse{Path: proto.String("/")}, err
}

// corruptFiles tells of none: nobody looks at all blocks for that. `runner fs fsck` does.
func (c *call) corruptFiles(*hadoop.Empty) (proto.Message, error) {
	return &hadoop.ListCorruptFileBlocksResponse{Corrupt: &hadoop.CorruptFileBlocks{Cookie: proto.String("")}}, nil
}

func (c *call) storageReport(q *hadoop.GetDatanodeReportRequest) (proto.Message, error) {
	r := &hadoop.GetDatanodeStorageReportResponse{}
	for _, node := range c.nodes(q) {
		r.Nodes = append(r.Nodes, &hadoop.DatanodeStorageReport{Node: node, Reports: []*hadoop.StorageReport{{
			StorageUuid: proto.String(pool), Capacity: node.Capacity, Remaining: node.Remaining,
			Storage: &hadoop.DatanodeStorage{StorageUuid: proto.String(pool)}}}})
	}
	return r, nil
}
