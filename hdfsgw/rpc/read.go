package rpc

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// Flags of a FileStatus.
const (
	flagACL       = 1
	flagSnapshots = 8
)

func fileStatus(s namespace.Status) *hadoop.FileStatus {
	f := &hadoop.FileStatus{
		FileType: hadoop.FileStatus_IS_FILE.Enum(), Path: []byte(s.Name), Length: proto.Uint64(uint64(s.Length)),
		Permission: &hadoop.FsPermission{Perm: proto.Uint32(uint32(s.Perm))}, Owner: &s.Owner, Group: &s.Group,
		ModificationTime: proto.Uint64(uint64(s.Modified)), AccessTime: proto.Uint64(uint64(s.Accessed)), FileId: &s.ID,
		BlockReplication: proto.Uint32(uint32(s.Replication)), BlockSize: proto.Uint64(uint64(s.BlockSize)),
		ChildrenNum: proto.Int32(int32(s.Children)), StoragePolicy: proto.Uint32(uint32(s.Policy)),
	}
	if s.Dir {
		f.FileType = hadoop.FileStatus_IS_DIR.Enum()
	}
	flags := uint32(0)
	if s.HasACL {
		flags |= flagACL
	}
	if s.Snapshots {
		flags |= flagSnapshots
	}
	if flags != 0 {
		f.Flags = &flags
	}
	return f
}

// missing reports whether an error says that something is not there, which some methods answer with nothing.
func missing(err error) bool {
	var e *namespace.Error
	return errors.As(err, &e) && e.Class == namespace.FileNotFound
}

func (c *call) status(text string) (namespace.Status, string, error) {
	p, err := path(text)
	if err != nil {
		return namespace.Status{}, p, err
	}
	s, err := c.names.Status(c.who, p)
	return s, p, err
}

func (c *call) fileInfo(q *hadoop.PathRequest) (proto.Message, error) {
	s, _, err := c.status(q.GetPath())
	if missing(err) {
		return &hadoop.StatusResponse{}, nil
	}
	return &hadoop.StatusResponse{Fs: fileStatus(s)}, err
}

func (c *call) locatedFileInfo(q *hadoop.GetLocatedFileInfoRequest) (proto.Message, error) {
	s, p, err := c.status(q.GetSrc())
	if missing(err) {
		return &hadoop.StatusResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	f := fileStatus(s)
	if !s.Dir {
		f.Locations, err = c.locate(c.who, p, 0, everything, q.GetNeedBlockToken())
	}
	return &hadoop.StatusResponse{Fs: f}, err
}

func (c *call) isFileClosed(q *hadoop.PathRequest) (proto.Message, error) {
	s, p, err := c.status(q.GetPath())
	if err == nil && s.Dir {
		err = namespace.Refuse(namespace.FileNotFound, "Path is not a file: %s", p)
	}
	return &hadoop.BoolResponse{Result: proto.Bool(!s.Open)}, err
}

func (c *call) listing(q *hadoop.GetListingRequest) (proto.Message, error) {
	all, more, err := c.list(q, c.o.ListLimit)
	if missing(err) {
		return &hadoop.GetListingResponse{}, nil
	}
	return &hadoop.GetListingResponse{DirList: &hadoop.DirectoryListing{PartialListing: all,
		RemainingEntries: proto.Uint32(uint32(more))}}, err
}

// list returns at most limit entries of a directory, and says whether there are more.
func (c *call) list(q *hadoop.GetListingRequest, limit int) ([]*hadoop.FileStatus, int64, error) {
	p, err := path(q.GetSrc())
	if err != nil {
		return nil, 0, err
	}
	list, more, err := c.names.List(c.who, p, string(q.GetStartAfter()), limit)
	if err != nil {
		return nil, 0, err
	}
	all := make([]*hadoop.FileStatus, len(list))
	for i, s := range list {
		all[i] = fileStatus(s)
		if !q.GetNeedLocation() || s.Dir {
			continue
		}
		// Who may list a directory may know where its files are, but needs more to read them: so there are no tickets.
		file := p
		if s.Name != "" {
			file = strings.TrimSuffix(p, "/") + "/" + s.Name
		}
		all[i].Locations, err = c.locate(namespace.Caller{Super: true}, file, 0, everything, false)
		if err != nil && !missing(err) { // else it went away meanwhile
			return nil, 0, err
		}
	}
	return all, more, nil
}

// maxBatch is of how many paths listings are told at once, as at a NameNode.
const maxBatch = 100

// batchedListing lists several paths. Where the next request goes on is the index of a path, and the name that was told
// last: "17/part-00003".
func (c *call) batchedListing(q *hadoop.GetBatchedListingRequest) (proto.Message, error) {
	if len(q.GetPaths()) > maxBatch {
		return nil, namespace.Refuse(namespace.IllegalArgument, "Too many source paths (%d > %d)", len(q.GetPaths()),
			maxBatch)
	}
	index, after, _ := strings.Cut(string(q.GetStartAfter()), "/")
	first, err := strconv.Atoi(cmp.Or(index, "0"))
	if err != nil || first < 0 || first > len(q.GetPaths()) {
		return nil, namespace.Refuse(namespace.IllegalArgument, "Not where a listing goes on: %q", q.GetStartAfter())
	}
	r := &hadoop.GetBatchedListingResponse{HasMore: proto.Bool(false), StartAfter: []byte{}}
	room := c.o.ListLimit
	for i, p := range q.GetPaths()[first:] {
		if room <= 0 {
			r.HasMore, r.StartAfter = proto.Bool(true), fmt.Appendf(nil, "%d/", first+i)
			return r, nil
		}
		one := &hadoop.BatchedDirectoryListing{ParentIndex: proto.Uint32(uint32(first + i))}
		r.Listings = append(r.Listings, one)
		request := &hadoop.GetListingRequest{Src: &p, StartAfter: []byte(after), NeedLocation: q.NeedLocation}
		var more int64
		if one.PartialListing, more, err = c.list(request, room); err != nil {
			e := namespace.AsError(err)
			one.Exception = &hadoop.RemoteException{ClassName: proto.String(e.Class.JavaName()), Message: &e.Message}
		}
		if more > 0 {
			last := one.PartialListing[len(one.PartialListing)-1].GetPath()
			r.HasMore, r.StartAfter = proto.Bool(true), fmt.Appendf(nil, "%d/%s", first+i, last)
			return r, nil
		}
		after = ""
		room -= len(one.PartialListing)
	}
	return r, nil
}

// everything is the length of a range that no file fills.
const everything = 1 << 62

func (c *call) blockLocations(q *hadoop.GetBlockLocationsRequest) (proto.Message, error) {
	p, err := path(q.GetSrc())
	if err != nil {
		return nil, err
	}
	if q.GetOffset() > everything {
		return nil, namespace.Refuse(namespace.HadoopIllegalArgument, "Negative offset is not supported. File: %s", p)
	}
	length := int64(min(q.GetLength(), everything))
	located, err := c.locate(c.who, p, int64(q.GetOffset()), length, true)
	return &hadoop.GetBlockLocationsResponse{Locations: located}, err
}

// Every block is said to be in the same pool and of the same generation: it never changes.
const (
	pool       = "BP-objects"
	generation = 1001
)

// maxPlaces bounds how often the one place of a block is told.
const maxPlaces = 16

// locate tells where the blocks of a range of a file are, with tickets to read them if tickets is set.
func (c *call) locate(who namespace.Caller, file string, offset, length int64, tickets bool) (*hadoop.LocatedBlocks,
	error) {
	s, blocks, err := c.names.Blocks(who, file)
	if err != nil {
		return nil, err
	}
	located := &hadoop.LocatedBlocks{FileLength: proto.Uint64(uint64(s.Length)), UnderConstruction: &s.Open,
		IsLastBlockComplete: proto.Bool(true)}
	at := int64(0)
	for i, b := range blocks {
		wanted := at+b.Length > offset && at-offset < length
		if wanted || i == len(blocks)-1 {
			l := c.located(b.ID, generation, b.Length, at)
			c.spread(l, s.Replication)
			if tickets {
				l.Token = c.data.Issue(ticketFor(b))
			}
			located.LastBlock = l
			if wanted {
				located.Blocks = append(located.Blocks, l)
			}
		}
		at += b.Length
	}
	return located, nil
}

// located describes a block in its one place, without a ticket.
func (c *call) located(id, stamp uint64, length, offset int64) *hadoop.LocatedBlock {
	l := &hadoop.LocatedBlock{
		Block: &hadoop.ExtendedBlock{PoolId: proto.String(pool), BlockId: &id, GenerationStamp: &stamp,
			NumBytes: proto.Uint64(uint64(length))},
		Offset: proto.Uint64(uint64(offset)), Corrupt: proto.Bool(false),
		Token: &hadoop.Token{Identifier: []byte{}, Password: []byte{}, Kind: proto.String(""),
			Service: proto.String("")},
	}
	place(l, c.node)
	return l
}

// place adds a data node to those that have a block.
func place(l *hadoop.LocatedBlock, node *hadoop.DatanodeInfo) {
	l.Locations = append(l.Locations, node)
	l.StorageTypes = append(l.StorageTypes, hadoop.StorageType_DISK)
	l.StorageIds = append(l.StorageIds, pool)
}

// spread tells the one place of a block as n, so that who waits for as many sees them, and who has lost his connection
// to one goes on with another.
func (c *call) spread(l *hadoop.LocatedBlock, n int16) {
	for i := range min(n, maxPlaces) - 1 {
		place(l, c.dataNode(int(i)+1))
	}
}

func (c *call) usage(text string) (namespace.Usage, error) {
	p, err := path(text)
	if err != nil {
		return namespace.Usage{}, err
	}
	return c.names.Usage(c.who, p)
}

func (c *call) contentSummary(q *hadoop.PathRequest) (proto.Message, error) {
	u, err := c.usage(q.GetPath())
	none := proto.Uint64(0)
	return &hadoop.GetContentSummaryResponse{Summary: &hadoop.ContentSummary{
		Length: proto.Uint64(uint64(u.Length)), FileCount: proto.Uint64(uint64(u.Files)),
		DirectoryCount: proto.Uint64(uint64(u.Dirs)), Quota: proto.Uint64(uint64(u.NameQuota)),
		SpaceConsumed: proto.Uint64(uint64(u.Space)), SpaceQuota: proto.Uint64(uint64(u.SpaceQuota)),
		SnapshotLength: none, SnapshotFileCount: none, SnapshotDirectoryCount: none, SnapshotSpaceConsumed: none,
	}}, err
}

func (c *call) quotaUsage(q *hadoop.PathRequest) (proto.Message, error) {
	u, err := c.usage(q.GetPath())
	return &hadoop.GetQuotaUsageResponse{Usage: &hadoop.QuotaUsage{
		FileAndDirectoryCount: proto.Uint64(uint64(u.Files + u.Dirs)), Quota: proto.Uint64(uint64(u.NameQuota)),
		SpaceConsumed: proto.Uint64(uint64(u.Space)), SpaceQuota: proto.Uint64(uint64(u.SpaceQuota)),
	}}, err
}

func (c *call) preferredBlockSize(q *hadoop.PathRequest) (proto.Message, error) {
	s, _, err := c.status(q.GetPath())
	return &hadoop.GetPreferredBlockSizeResponse{BlockSize: proto.Uint64(uint64(s.BlockSize))}, err
}

func (c *call) checkAccess(q *hadoop.CheckAccessRequest) (proto.Message, error) {
	p, err := path(q.GetPath())
	if err == nil {
		err = c.names.CheckAccess(c.who, p, namespace.Access(q.GetMode()&7))
	}
	return &hadoop.Empty{}, err
}

func (c *call) aclStatus(q *hadoop.PathRequest) (proto.Message, error) {
	p, err := path(q.GetPath())
	if err != nil {
		return nil, err
	}
	s, acl, err := c.names.ACL(c.who, p)
	entries := make([]*hadoop.AclEntry, len(acl))
	for i, e := range acl {
		entries[i] = &hadoop.AclEntry{Type: proto.Uint32(uint32(e.Kind)), Scope: proto.Uint32(0),
			Permissions: proto.Uint32(uint32(e.Access))}
		if e.Default {
			entries[i].Scope = proto.Uint32(1)
		}
		if e.Name != "" {
			entries[i].Name = &acl[i].Name
		}
	}
	return &hadoop.GetAclStatusResponse{Result: &hadoop.AclStatus{Owner: &s.Owner, Group: &s.Group,
		Sticky: proto.Bool(s.Perm&0o1000 != 0), Entries: entries,
		Permission: &hadoop.FsPermission{Perm: proto.Uint32(uint32(s.Perm))}}}, err
}

// xattrSpaces are the name spaces of attributes, by Hadoop's numbers.
var xattrSpaces = [...]string{"user.", "trusted.", "security.", "system.", "raw."}

// xattrName puts the name space in front of an attribute's name.
func xattrName(x *hadoop.XAttr) string {
	return xattrSpaces[min(int(x.GetNamespace()), len(xattrSpaces)-1)] + x.GetName()
}

func (c *call) xattrs(text string, names []string) (*hadoop.XAttrsResponse, error) {
	p, err := path(text)
	if err != nil {
		return nil, err
	}
	list, err := c.names.XAttrs(c.who, p, names)
	all := make([]*hadoop.XAttr, len(list))
	for i, x := range list {
		for number, space := range xattrSpaces {
			if name, ok := strings.CutPrefix(x.Name, space); ok {
				all[i] = &hadoop.XAttr{Namespace: proto.Uint32(uint32(number)), Name: &name, Value: []byte(x.Value)}
			}
		}
	}
	return &hadoop.XAttrsResponse{XAttrs: all}, err
}

func (c *call) getXAttrs(q *hadoop.XAttrsRequest) (proto.Message, error) {
	var names []string
	for _, x := range q.GetXAttrs() {
		names = append(names, xattrName(x))
	}
	return c.xattrs(q.GetSrc(), names)
}

// listXAttrs tells values, too, as a NameNode does.
func (c *call) listXAttrs(q *hadoop.PathRequest) (proto.Message, error) {
	return c.xattrs(q.GetPath(), nil)
}

func (c *call) linkTarget(q *hadoop.PathRequest) (proto.Message, error) {
	_, p, err := c.status(q.GetPath())
	if err == nil {
		err = namespace.Refuse(namespace.IOException, "Path %s is not a symbolic link", p)
	}
	return nil, err
}

func (c *call) serverDefaults(*hadoop.Empty) (proto.Message, error) {
	return &hadoop.GetServerDefaultsResponse{ServerDefaults: &hadoop.FsServerDefaults{
		BlockSize: proto.Uint64(uint64(c.o.BlockSize)), BytesPerChecksum: proto.Uint32(block.ChunkSize),
		WritePacketSize: proto.Uint32(64 << 10), Replication: proto.Uint32(uint32(c.o.Replication)),
		FileBufferSize: proto.Uint32(4096), EncryptDataTransfer: proto.Bool(false),
		TrashInterval: proto.Uint64(uint64(c.o.Trash / time.Minute)),
		ChecksumType:  hadoop.ChecksumType_CHECKSUM_CRC32C.Enum(), KeyProviderUri: proto.String(""),
		PolicyId: proto.Uint32(namespace.DefaultPolicy)}}, nil
}

func (c *call) fsStats(*hadoop.Empty) (proto.Message, error) {
	u, err := c.names.Usage(namespace.Caller{Super: true}, "/")
	none := proto.Uint64(0)
	return &hadoop.GetFsStatsResponse{Capacity: proto.Uint64(uint64(namespace.Capacity)),
		Used: proto.Uint64(uint64(u.Space)), Remaining: proto.Uint64(uint64(namespace.Capacity - u.Space)),
		UnderReplicated: none, CorruptBlocks: none, MissingBlocks: none}, err
}

func (c *call) datanodeReport(q *hadoop.GetDatanodeReportRequest) (proto.Message, error) {
	return &hadoop.GetDatanodeReportResponse{Nodes: c.nodes(q)}, nil
}

// nodes are the data nodes that a report is about: this one, which lives.
func (c *call) nodes(q *hadoop.GetDatanodeReportRequest) []*hadoop.DatanodeInfo {
	const all, live = 1, 2
	if t := q.GetType(); t != all && t != live {
		return nil
	}
	return []*hadoop.DatanodeInfo{c.node}
}

func policyMessage(p namespace.Policy) *hadoop.BlockStoragePolicy {
	types := func(names []string) *hadoop.StorageTypes {
		list := &hadoop.StorageTypes{}
		for _, name := range names {
			list.Types = append(list.Types, hadoop.StorageType(hadoop.StorageType_value[name]))
		}
		return list
	}
	return &hadoop.BlockStoragePolicy{PolicyId: proto.Uint32(uint32(p.ID)), Name: &p.Name,
		CreationPolicy: types(p.StorageTypes), CreationFallback: types(p.CreationFallbacks),
		ReplicationFallback: types(p.ReplicaFallbacks)}
}

func (c *call) storagePolicy(q *hadoop.PathRequest) (proto.Message, error) {
	p, err := path(q.GetPath())
	if err != nil {
		return nil, err
	}
	policy, err := c.names.PolicyOf(c.who, p)
	return &hadoop.GetStoragePolicyResponse{Policy: policyMessage(policy)}, err
}

func (c *call) storagePolicies(*hadoop.Empty) (proto.Message, error) {
	r := &hadoop.GetStoragePoliciesResponse{}
	for _, p := range namespace.Policies() {
		r.Policies = append(r.Policies, policyMessage(p))
	}
	return r, nil
}
