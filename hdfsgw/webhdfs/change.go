package webhdfs

import (
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// Permissions of what is made without saying which.
const (
	filePerm = 0o644
	dirPerm  = 0o755
)

func (c *call) mkdirs() error {
	perm, err := c.p.permission("permission", dirPerm)
	if err != nil {
		return err
	}
	unmasked, err := c.p.permission("unmaskedpermission", 0)
	if err != nil {
		return err
	}
	return c.changed(namespace.Request{Op: namespace.OpMkdirs, Perm: perm, Unmasked: unmasked})
}

func (c *call) rename() error {
	to, err := c.p.absolute("destination", c.op)
	if err != nil {
		return err
	}
	if !c.p.has("renameoptions") {
		return c.changed(namespace.Request{Op: namespace.OpRename, Dest: to})
	}
	overwrite := strings.Contains(strings.ToUpper(c.p.get("renameoptions")), "OVERWRITE")
	return c.done(namespace.Request{Op: namespace.OpRename2, Dest: to, Overwrite: overwrite})
}

func (c *call) delete() error {
	recursive, err := c.p.flag("recursive", false)
	if err != nil {
		return err
	}
	return c.changed(namespace.Request{Op: namespace.OpDelete, Recursive: recursive})
}

func (c *call) concat() error {
	if !c.p.has("sources") {
		return missing("sources", c.op)
	}
	var sources []string
	for path := range strings.SplitSeq(c.p.get("sources"), ",") {
		sources = append(sources, clean(path))
	}
	return c.done(namespace.Request{Op: namespace.OpConcat, Sources: sources})
}

func (c *call) truncate() error {
	if !c.p.has("newlength") {
		return missing("newlength", c.op)
	}
	n, err := c.p.long("newlength", 0, 0)
	if err != nil {
		return err
	}
	return c.changed(namespace.Request{Op: namespace.OpTruncate, Length: n})
}

func (c *call) setPermission() error {
	perm, err := c.p.permission("permission", dirPerm)
	if err != nil {
		return err
	}
	return c.done(namespace.Request{Op: namespace.OpSetPermission, Perm: perm})
}

func (c *call) setOwner() error {
	owner, group := c.p.get("owner"), c.p.get("group")
	if owner == "" && group == "" {
		return namespace.Refuse(namespace.IllegalArgument, "Both owner and group are empty.")
	}
	return c.done(namespace.Request{Op: namespace.OpSetOwner, Owner: owner, Group: group})
}

func (c *call) setTimes() error {
	modified, err := c.p.long("modificationtime", -1, -1)
	if err != nil {
		return err
	}
	accessed, err := c.p.long("accesstime", -1, -1)
	if err != nil {
		return err
	}
	return c.done(namespace.Request{Op: namespace.OpSetTimes, ModTime: modified, AccessTime: accessed})
}

func (c *call) replication() (int16, error) {
	n, err := c.p.number("replication", int64(c.o.Replication), 1, "short", 16)
	return int16(n), err
}

func (c *call) setReplication() error {
	n, err := c.replication()
	if err != nil {
		return err
	}
	return c.changed(namespace.Request{Op: namespace.OpSetReplication, Replication: n})
}

func (c *call) setXAttr() error {
	flags := strings.ToUpper(c.p.get("flag"))
	switch {
	case !c.p.has("xattr.name"):
		return missing("xattr.name", c.op)
	case flags == "":
		return missing("flag", c.op)
	}
	value, err := decodeXAttr(c.p.get("xattr.value"))
	if err != nil {
		return err
	}
	return c.done(namespace.Request{Op: namespace.OpSetXAttr, Name: c.p.get("xattr.name"), Value: value,
		Create: strings.Contains(flags, "CREATE"), Replace: strings.Contains(flags, "REPLACE")})
}

func (c *call) removeXAttr() error {
	if !c.p.has("xattr.name") {
		return missing("xattr.name", c.op)
	}
	return c.done(namespace.Request{Op: namespace.OpRemoveXAttr, Name: c.p.get("xattr.name")})
}

func (c *call) setQuota() error {
	names, err := c.p.long("namespacequota", namespace.QuotaKeep, -1)
	if err != nil {
		return err
	}
	space, err := c.p.long("storagespacequota", namespace.QuotaKeep, -1)
	if err != nil {
		return err
	}
	return c.done(namespace.Request{Op: namespace.OpSetQuota, NameQuota: names, SpaceQuota: space})
}

func (c *call) setPolicy() error {
	if !c.p.has("storagepolicy") {
		return missing("storagepolicy", c.op)
	}
	return c.done(namespace.Request{Op: namespace.OpSetPolicy, Policy: c.p.get("storagepolicy")})
}

func (c *call) createSnapshot() error {
	name := c.p.get("snapshotname")
	if name == "" {
		name = namespace.SnapshotName(c.names.Now())
	}
	result, err := c.change(namespace.Request{Op: namespace.OpCreateSnapshot, Name: name})
	if err != nil {
		return err
	}
	return c.ok(object{"Path": result.Path})
}

func (c *call) renameSnapshot() error {
	from, to := c.p.get("oldsnapshotname"), c.p.get("snapshotname")
	if from == "" || to == "" {
		return missing("oldsnapshotname", c.op)
	}
	return c.done(namespace.Request{Op: namespace.OpRenameSnapshot, OldName: from, Name: to})
}

func (c *call) deleteSnapshot() error {
	if !c.p.has("snapshotname") {
		return missing("snapshotname", c.op)
	}
	return c.done(namespace.Request{Op: namespace.OpDeleteSnapshot, Name: c.p.get("snapshotname")})
}
