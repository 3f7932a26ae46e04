package webhdfs

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// fileStatus is a FileStatus. It is no object, since most of what is asked for are these.
type fileStatus struct {
	ACLBit           bool   `json:"aclBit,omitempty"`
	AccessTime       int64  `json:"accessTime"`
	BlockSize        int64  `json:"blockSize"`
	ChildrenNum      int64  `json:"childrenNum"`
	FileID           uint64 `json:"fileId"`
	Group            string `json:"group"`
	Length           int64  `json:"length"`
	ModificationTime int64  `json:"modificationTime"`
	Owner            string `json:"owner"`
	PathSuffix       string `json:"pathSuffix"`
	Permission       string `json:"permission"`
	Replication      int16  `json:"replication"`
	SnapshotEnabled  bool   `json:"snapshotEnabled,omitempty"`
	StoragePolicy    uint8  `json:"storagePolicy"`
	Type             string `json:"type"`
}

func statusJSON(s namespace.Status) fileStatus {
	kind := "FILE"
	if s.Dir {
		kind = "DIRECTORY"
	}
	return fileStatus{
		AccessTime: s.Accessed, BlockSize: s.BlockSize, ChildrenNum: s.Children, FileID: s.ID, Group: s.Group,
		Length: s.Length, ModificationTime: s.Modified, Owner: s.Owner, PathSuffix: s.Name,
		Permission: strconv.FormatUint(uint64(s.Perm), 8), Replication: s.Replication, StoragePolicy: s.Policy,
		Type: kind, ACLBit: s.HasACL, SnapshotEnabled: s.Snapshots,
	}
}

// fileStatuses is what a listing answers.
type fileStatuses struct {
	FileStatuses struct{ FileStatus []fileStatus }
}

func statusList(list []namespace.Status) (all fileStatuses) {
	all.FileStatuses.FileStatus = make([]fileStatus, len(list))
	for i, s := range list {
		all.FileStatuses.FileStatus[i] = statusJSON(s)
	}
	return all
}

func (c *call) fileStatus() error {
	s, err := c.tree.Status(c.who, c.path)
	if err != nil {
		return err
	}
	return c.ok(struct{ FileStatus fileStatus }{statusJSON(s)})
}

// listStatus writes a directory page by page, however large it is: a client that takes it slowly holds one page, and
// nobody who changes the namespace waits for more than one.
func (c *call) listStatus() error {
	list, more, err := c.tree.List(c.who, c.path, "", c.o.ListLimit)
	if err != nil {
		return err
	}
	if more == 0 {
		return c.ok(statusList(list))
	}
	c.w, _ = c.patient()
	c.w.Header().Set("Content-Type", c.jsonType())
	out := bufio.NewWriterSize(c.w, 32<<10)
	between := `{"FileStatuses":{"FileStatus":[`
	for len(list) > 0 && err == nil {
		for _, s := range list {
			text, _ := json.Marshal(statusJSON(s)) // it has nothing that can't be encoded
			out.WriteString(between)
			out.Write(text)
			between = ","
		}
		if more == 0 {
			break
		}
		list, more, err = c.tree.List(c.who, c.path, list[len(list)-1].Name, c.o.ListLimit)
	}
	out.WriteString("]}}\n")
	if err != nil || out.Flush() != nil {
		panic(http.ErrAbortHandler) // only a broken connection tells the client that there is more
	}
	return nil
}

func (c *call) listBatch() error {
	list, more, err := c.tree.List(c.who, c.path, c.p.get("startafter"), c.o.ListLimit)
	if err != nil {
		return err
	}
	return c.ok(object{"DirectoryListing": object{"partialListing": statusList(list), "remainingEntries": more}})
}

func (c *call) contentSummary() error {
	u, err := c.tree.Usage(c.who, c.path)
	if err != nil {
		return err
	}
	policy := "Replicated"
	if u.IsDir {
		policy = ""
	}
	return c.ok(object{"ContentSummary": object{
		"directoryCount": u.Dirs, "ecPolicy": policy, "fileCount": u.Files, "length": u.Length, "quota": u.NameQuota,
		"snapshotDirectoryCount": 0, "snapshotFileCount": 0, "snapshotLength": 0, "snapshotSpaceConsumed": 0,
		"spaceConsumed": u.Space, "spaceQuota": u.SpaceQuota, "typeQuota": object{},
	}})
}

func (c *call) quotaUsage() error {
	u, err := c.tree.Usage(c.who, c.path)
	if err != nil {
		return err
	}
	return c.ok(object{"QuotaUsage": object{"fileAndDirectoryCount": u.Files + u.Dirs, "quota": u.NameQuota,
		"spaceConsumed": u.Space, "spaceQuota": u.SpaceQuota, "typeQuota": object{}}})
}

func (c *call) home() error { return c.ok(object{"Path": "/user/" + c.who.User}) }

func (c *call) checkAccess() error {
	text := c.p.get("fsaction")
	a, ok := namespace.ParseAccess(text)
	if !ok {
		return invalid("fsaction", "Invalid value: \"%s\" does not belong to the domain [r-][w-][x-]", text)
	}
	if err := c.tree.CheckAccess(c.who, c.path, a); err != nil {
		return err
	}
	return c.empty()
}

func (c *call) aclStatus() error {
	s, acl, err := c.tree.ACL(c.who, c.path)
	if err != nil {
		return err
	}
	entries := make([]string, len(acl))
	for i, e := range acl {
		entries[i] = e.String()
	}
	return c.ok(object{"AclStatus": object{"entries": entries, "group": s.Group, "owner": s.Owner,
		"permission": strconv.FormatUint(uint64(s.Perm&0o777), 8), "stickyBit": s.Perm&0o1000 != 0}})
}

func (c *call) getXAttrs() error {
	encoding := c.p.get("encoding")
	if encoding == "" {
		return missing("encoding", c.op)
	}
	list, err := c.tree.XAttrs(c.who, c.path, c.p["xattr.name"])
	if err != nil {
		return err
	}
	all := make([]object, len(list))
	for i, x := range list {
		all[i] = object{"name": x.Name, "value": nil}
		if x.Value != "" {
			all[i]["value"] = encodeXAttr(x.Value, encoding)
		}
	}
	return c.ok(object{"XAttrs": all})
}

// encodeXAttr and decodeXAttr write values as Hadoop's XAttrCodec does.
func encodeXAttr(value, encoding string) string {
	switch strings.ToLower(encoding) {
	case "hex":
		return "0x" + hex.EncodeToString([]byte(value))
	case "base64":
		return "0s" + base64.StdEncoding.EncodeToString([]byte(value))
	}
	return "\"" + value + "\""
}

func decodeXAttr(text string) (string, error) {
	var raw []byte
	var err error
	switch {
	case len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"':
		return text[1 : len(text)-1], nil
	case strings.HasPrefix(text, "0x"), strings.HasPrefix(text, "0X"):
		raw, err = hex.DecodeString(text[2:])
	case strings.HasPrefix(text, "0s"), strings.HasPrefix(text, "0S"):
		raw, err = base64.StdEncoding.DecodeString(text[2:])
	default:
		return text, nil
	}
	if err != nil {
		return "", invalid("xattr.value", "Invalid value: \"%s\"", text)
	}
	return string(raw), nil
}

func (c *call) listXAttrs() error {
	list, err := c.tree.XAttrs(c.who, c.path, nil)
	if err != nil {
		return err
	}
	names := make([]string, len(list))
	for i, x := range list {
		names[i] = x.Name
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return c.ok(object{"XAttrNames": string(text)}) // JSON in a string: so Hadoop has it
}

// spans returns the blocks of a file that a range touches, and where they begin.
func (c *call) spans() (s namespace.Status, blocks []namespace.Block, starts []int64, err error) {
	offset, err := c.p.long("offset", 0, 0)
	if err != nil {
		return s, nil, nil, err
	}
	length, err := c.p.long("length", 1<<62, 0)
	if err != nil {
		return s, nil, nil, err
	}
	s, all, err := c.tree.Blocks(c.who, c.path)
	at := int64(0)
	for _, b := range all {
		if at+b.Length > offset && at-offset < length {
			blocks, starts = append(blocks, b), append(starts, at)
		}
		at += b.Length
	}
	return s, blocks, starts, err
}

// repeat fills a list as long as the replication, which some clients wait for.
func repeat[T any](v T, s namespace.Status) []T {
	list := make([]T, max(s.Replication, 1))
	for i := range list {
		list[i] = v
	}
	return list
}

func (c *call) blockLocations() error {
	s, blocks, starts, err := c.spans()
	if err != nil {
		return err
	}
	host, port := c.hostPort()
	address := net.JoinHostPort(host, port)
	all := make([]object, len(blocks))
	for i, b := range blocks {
		all[i] = object{"topologyPaths": repeat("/default-rack/"+address, s), "corrupt": false, "cachedHosts": []string{},
			"names": repeat(address, s), "offset": starts[i], "hosts": repeat(host, s), "length": b.Length,
			"storageTypes": repeat("DISK", s)}
	}
	return c.ok(object{"BlockLocations": object{"BlockLocation": all}})
}

func (c *call) locatedBlocks() error {
	s, blocks, starts, err := c.spans()
	if err != nil {
		return err
	}
	host, port := c.hostPort()
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	node := object{"adminState": "NORMAL", "blockPoolUsed": 0, "cacheCapacity": 0, "cacheUsed": 0,
		"capacity": namespace.Capacity,
		"dfsUsed":  0, "hostName": host, "infoPort": number, "infoSecurePort": 0, "ipAddr": host, "ipcPort": 0,
		"lastBlockReportMonotonic": 0, "lastBlockReportTime": 0, "lastUpdate": 0, "lastUpdateMonotonic": 0,
		"name": net.JoinHostPort(host, port), "networkLocation": "/default-rack", "remaining": namespace.Capacity,
		"storageID": "objects", "xceiverCount": 1, "xferPort": 0}
	all := make([]object, len(blocks))
	for i, b := range blocks {
		all[i] = object{"block": object{"blockId": b.ID, "blockPoolId": "BP-objects", "generationStamp": 1,
			"numBytes": b.Length},
			"blockToken": object{"urlString": "AAAAAA"}, "cachedLocations": []object{}, "isCorrupt": false,
			"locations": repeat(node, s), "startOffset": starts[i], "storageTypes": repeat("DISK", s)}
	}
	located := object{"fileLength": s.Length, "isLastBlockComplete": true, "isUnderConstruction": s.Open,
		"lastLocatedBlock": nil, "locatedBlocks": all}
	if len(all) > 0 {
		located["lastLocatedBlock"] = all[len(all)-1]
	}
	return c.ok(object{"LocatedBlocks": located})
}

func (c *call) trashRoot() error { return c.ok(object{"Path": "/user/" + c.who.User + "/.Trash"}) }

// maxHomes is of how many users the trash is told at most.
const maxHomes = 100_000

func (c *call) trashRoots() error {
	all, err := c.p.flag("allusers", false)
	if err != nil {
		return err
	}
	homes := []namespace.Status{{Name: c.who.User}}
	if all {
		if homes, _, err = c.tree.List(c.who, "/user", "", maxHomes); err != nil && !isMissing(err) {
			return err
		}
	}
	roots := []object{}
	for _, home := range homes {
		path := "/user/" + home.Name + "/.Trash"
		s, err := c.tree.Status(c.who, path)
		if err != nil || !s.Dir {
			continue // no trash there, or none that we may know of
		}
		roots = append(roots, object{"blocksize": s.BlockSize, "owner": s.Owner, "path": path, "length": s.Length,
			"permission": strconv.FormatUint(uint64(s.Perm), 8), "modification_time": s.Modified, "isdir": true,
			"block_replication": s.Replication, "access_time": s.Accessed, "group": s.Group})
	}
	return c.ok(object{"Paths": roots})
}

func isMissing(err error) bool {
	var e *namespace.Error
	return errors.As(err, &e) && e.Class == namespace.FileNotFound
}

func (c *call) serverDefaults() error {
	return c.ok(object{"FsServerDefaults": object{"replication": c.o.Replication, "encryptDataTransfer": false,
		"defaultStoragePolicyId": namespace.DefaultPolicy, "writePacketSize": 65536, "fileBufferSize": 4096,
		"checksumType": 2, "trashInterval": int64(c.o.Trash / time.Minute), "keyProviderUri": "", "blockSize": c.o.BlockSize,
		"bytesPerChecksum": block.ChunkSize}})
}

func (c *call) fsStatus() error {
	u, err := c.tree.Usage(namespace.Caller{Super: true}, "/")
	if err != nil {
		return err
	}
	return c.ok(object{"FsStatus": object{"used": u.Space, "remaining": namespace.Capacity - u.Space,
		"capacity": namespace.Capacity}})
}

func policyJSON(p namespace.Policy) object {
	return object{"copyOnCreateFile": p.CopyOnCreate, "creationFallbacks": p.CreationFallbacks, "id": p.ID, "name": p.Name,
		"replicationFallbacks": p.ReplicaFallbacks, "storageTypes": p.StorageTypes}
}

func (c *call) policies() error {
	var all []object
	for _, p := range namespace.Policies() {
		all = append(all, policyJSON(p))
	}
	return c.ok(object{"BlockStoragePolicies": object{"BlockStoragePolicy": all}})
}

func (c *call) policy() error {
	p, err := c.tree.PolicyOf(c.who, c.path)
	if err != nil {
		return err
	}
	return c.ok(object{"BlockStoragePolicy": policyJSON(p)})
}

func (c *call) ecPolicy() error {
	if _, err := c.tree.Status(c.who, c.path); err != nil {
		return err
	}
	return c.ok(nil)
}

// ecPolicies and ecCodecs list what there is none of: a block is one object of the store.
func (c *call) ecPolicies() error {
	return c.ok(object{"ErasureCodingPolicies": object{"ErasureCodingPolicyInfo": []object{}}})
}

func (c *call) ecCodecs() error { return c.ok(object{"ErasureCodingCodecs": object{}}) }

func (c *call) linkTarget() error {
	if _, err := c.tree.Status(c.who, c.path); err != nil {
		return err
	}
	return namespace.Refuse(namespace.IOException, "Path %s is not a symbolic link", c.path)
}
