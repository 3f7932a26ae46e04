package rpc

import (
	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// methods by name: what Hadoop's own client and those in other languages call. Whatever else there is in the protocol
// (changes to caches, reencryption, the work of a cluster's administrators) is answered as an unknown method.
func methods() map[string]method {
	return map[string]method{
		"getFileInfo": quick(on((*call).fileInfo)), "getFileLinkInfo": quick(on((*call).fileInfo)),
		"getLocatedFileInfo": quick(on((*call).locatedFileInfo)), "isFileClosed": quick(on((*call).isFileClosed)),
		"getListing": quick(on((*call).listing)), "getBlockLocations": quick(on((*call).blockLocations)),
		"getContentSummary": on((*call).contentSummary), "getQuotaUsage": on((*call).quotaUsage),
		"getPreferredBlockSize": quick(on((*call).preferredBlockSize)), "checkAccess": quick(on((*call).checkAccess)),
		"getAclStatus": quick(on((*call).aclStatus)), "getXAttrs": quick(on((*call).getXAttrs)),
		"listXAttrs": quick(on((*call).listXAttrs)), "getLinkTarget": quick(on((*call).linkTarget)),
		"getStoragePolicy":   quick(on((*call).storagePolicy)),
		"getStoragePolicies": quick(on((*call).storagePolicies)), "getServerDefaults": quick(on((*call).serverDefaults)),
		"getFsStats": on((*call).fsStats), "getDatanodeReport": quick(on((*call).datanodeReport)),
		"getSnapshottableDirListing": on((*call).snapshotDirs), "getSnapshotDiffReport": on((*call).snapshotDiff),
		"getSnapshotDiffReportListing": on((*call).snapshotDiffList), "getSnapshotListing": on((*call).snapshotList),
		"getBatchedListing": on((*call).batchedListing), "getEnclosingRoot": quick(on((*call).enclosingRoot)),
		"getDatanodeStorageReport": quick(on((*call).storageReport)),

		"create": on((*call).create), "append": on((*call).append), "addBlock": on((*call).addBlock),
		"complete": on((*call).complete), "fsync": on((*call).fsync), "abandonBlock": on((*call).abandonBlock),
		"updateBlockForPipeline": on((*call).blockForPipeline), "updatePipeline": nothing(),
		"renewLease": on((*call).renewLease), "recoverLease": on((*call).recoverLease),
		"getAdditionalDatanode": on((*call).additionalNode),

		"mkdirs": on((*call).mkdirs), "rename": on((*call).rename), "rename2": on((*call).rename2),
		"delete": on((*call).delete), "concat": on((*call).concat), "truncate": on((*call).truncate),
		"setPermission": on((*call).setPermission), "setOwner": on((*call).setOwner), "setTimes": on((*call).setTimes),
		"setReplication": on((*call).setReplication), "setQuota": on((*call).setQuota),
		"setStoragePolicy": on((*call).setStoragePolicy), "unsetStoragePolicy": plain(namespace.OpUnsetPolicy),
		"setXAttr": on((*call).setXAttr), "removeXAttr": on((*call).removeXAttr),
		"modifyAclEntries": changeACL(namespace.OpModifyACL), "setAcl": changeACL(namespace.OpSetACL),
		"removeAclEntries": changeACL(namespace.OpRemoveACLEntries), "removeAcl": plain(namespace.OpRemoveACL),
		"removeDefaultAcl": plain(namespace.OpRemoveDefaultACL),
		"allowSnapshot":    plain(namespace.OpAllowSnapshot), "disallowSnapshot": plain(namespace.OpDisallowSnapshot),
		"createSnapshot": on((*call).createSnapshot), "renameSnapshot": on((*call).renameSnapshot),
		"deleteSnapshot": on((*call).deleteSnapshot), "createSymlink": unsupported("Symlinks not supported"),
		"satisfyStoragePolicy":   on((*call).satisfyPolicy),
		"setErasureCodingPolicy": on((*call).setECPolicy), "unsetErasureCodingPolicy": on((*call).unsetECPolicy),
		"enableErasureCodingPolicy": on((*call).turnECPolicy), "disableErasureCodingPolicy": on((*call).turnECPolicy),
		"removeErasureCodingPolicy": on((*call).turnECPolicy), "createEncryptionZone": on((*call).createZone),

		// What a namespace without encryption, erasure coding, caches, safe mode or security has to say.
		"getEZForPath": nothing(), "getErasureCodingPolicy": nothing(),
		"getErasureCodingPolicies": nothing(), "getErasureCodingCodecs": nothing(), "getDataEncryptionKey": nothing(),
		"getSlowDatanodeReport": nothing(), "finalizeUpgrade": nothing(), "rollingUpgrade": nothing(),
		"upgradeStatus": quick(on(func(*call, *hadoop.Empty) (proto.Message, error) {
			return &hadoop.BoolResponse{Result: proto.Bool(true)}, nil
		})),
		"getFsReplicatedBlockStats": noBlocks(), "getFsECBlockGroupStats": noBlocks(),
		"listCorruptFileBlocks": quick(on((*call).corruptFiles)),
		"getDelegationToken":    quick(on((*call).getDelegationToken)), "msync": nothing(),
		"renewDelegationToken": on((*call).renewDelegationToken), "cancelDelegationToken": on((*call).cancelDelegationToken),
		"reportBadBlocks": nothing(), "listEncryptionZones": emptyList(),
		"listOpenFiles": emptyList(), "listCachePools": emptyList(),
		"listCacheDirectives": emptyList(), "setSafeMode": quick(on((*call).safeMode)),
		"getHAServiceState": quick(on((*call).serviceState)),
	}
}

// plain is a method that changes what is at a path, without more to say, and answers nothing.
func plain(op namespace.Op) method {
	return on(func(c *call, q *hadoop.PathRequest) (proto.Message, error) {
		return c.done(namespace.Request{Op: op, Path: q.GetPath()})
	})
}

// nothing answers with an empty message.
func nothing() method {
	return quick(on(func(*call, *hadoop.Empty) (proto.Message, error) { return &hadoop.Empty{}, nil }))
}

// emptyList answers a method that lists, page by page, what there is none of.
func emptyList() method {
	return quick(on(func(*call, *hadoop.Empty) (proto.Message, error) {
		return &hadoop.ListResponse{HasMore: proto.Bool(false)}, nil
	}))
}

// noBlocks counts blocks that want something of the cluster. What is wrong with blocks `runner fs fsck` tells.
func noBlocks() method {
	return quick(on(func(*call, *hadoop.Empty) (proto.Message, error) {
		none := proto.Uint64(0)
		return &hadoop.BlockStats{LowRedundancy: none, Corrupt: none, Missing: none, Fourth: none, Fifth: none,
			Sixth: none}, nil
	}))
}

func unsupported(message string) method {
	return method{answer: func(*call, []byte) (proto.Message, error) {
		return nil, namespace.Refuse(namespace.UnsupportedOperation, "%s", message)
	}}
}

func changeACL(op namespace.Op) method {
	return on(func(c *call, q *hadoop.AclRequest) (proto.Message, error) {
		entries := make([]namespace.ACLEntry, len(q.GetAclSpec()))
		for i, e := range q.GetAclSpec() {
			if e.GetType() > uint32(namespace.ACLOther) || e.GetPermissions() > 7 {
				return nil, namespace.Refuse(namespace.HadoopIllegalArgument, "Invalid ACL entry")
			}
			entries[i] = namespace.ACLEntry{Default: e.GetScope() == 1, Kind: namespace.ACLKind(e.GetType()),
				Name: e.GetName(), Access: namespace.Access(e.GetPermissions())}
		}
		return c.done(namespace.Request{Op: op, Path: q.GetSrc(), ACL: entries})
	})
}

// safeMode says that the namespace can be changed, which it can as long as it is led.
func (c *call) safeMode(q *hadoop.SetSafeModeRequest) (proto.Message, error) {
	const leave, get = 1, 3
	if a := q.GetAction(); a != get && a != leave {
		return nil, namespace.Refuse(namespace.UnsupportedOperation, "There is no safe mode here")
	}
	return &hadoop.BoolResponse{Result: proto.Bool(false)}, nil
}

func (c *call) serviceState(*hadoop.Empty) (proto.Message, error) {
	const active = 1
	return &hadoop.HAServiceStateResponse{State: proto.Uint32(active)}, nil
}
