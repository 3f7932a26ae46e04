package webhdfs

import (
	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// operations by method and name.
func operations() map[string]operation {
	return map[string]operation{
		"GET GETFILESTATUS": (*call).fileStatus, "GET GETFILELINKSTATUS": (*call).fileStatus,
		"GET LISTSTATUS": (*call).listStatus, "GET LISTSTATUS_BATCH": (*call).listBatch,
		"GET GETCONTENTSUMMARY": (*call).contentSummary, "GET GETQUOTAUSAGE": (*call).quotaUsage,
		"GET GETHOMEDIRECTORY": (*call).home, "GET CHECKACCESS": (*call).checkAccess,
		"GET GETACLSTATUS": (*call).aclStatus, "GET GETXATTRS": (*call).getXAttrs, "GET LISTXATTRS": (*call).listXAttrs,
		"GET GETFILEBLOCKLOCATIONS": (*call).blockLocations, "GET GET_BLOCK_LOCATIONS": (*call).locatedBlocks,
		"GET GETTRASHROOT": (*call).trashRoot, "GET GETTRASHROOTS": (*call).trashRoots,
		"GET GETSERVERDEFAULTS": (*call).serverDefaults, "GET GETSTATUS": (*call).fsStatus,
		"GET GETALLSTORAGEPOLICY": (*call).policies, "GET GETSTORAGEPOLICY": (*call).policy,
		"GET GETECPOLICIES": (*call).ecPolicies, "GET GETECCODECS": (*call).ecCodecs,
		"GET GETECPOLICY": (*call).ecPolicy, "GET GETLINKTARGET": (*call).linkTarget,
		"GET GETDELEGATIONTOKEN": (*call).getDelegationToken,
		"GET GETSNAPSHOTDIFF":    (*call).snapshotDiff, "GET GETSNAPSHOTLIST": (*call).snapshotList,
		"GET GETSNAPSHOTDIFFLISTING":        (*call).snapshotDiffList,
		"GET GETSNAPSHOTTABLEDIRECTORYLIST": (*call).snapshotDirs,
		"GET OPEN":                          (*call).open, "GET GETFILECHECKSUM": (*call).checksum,

		"GET LOCATEOBJECTS": (*call).locate, "POST COMMITJOB": (*call).commitJob,
		"POST ALLOTBLOCKS": (*call).allot, "PUT CREATEOFBLOCKS": (*call).createOfBlocks, "GET FSCK": (*call).fsck,

		"PUT CREATE": (*call).create, "POST APPEND": (*call).append, "PUT MKDIRS": (*call).mkdirs,
		"PUT RENAME": (*call).rename, "DELETE DELETE": (*call).delete, "POST CONCAT": (*call).concat,
		"POST TRUNCATE": (*call).truncate, "PUT SETPERMISSION": (*call).setPermission, "PUT SETOWNER": (*call).setOwner,
		"PUT RENEWDELEGATIONTOKEN":  (*call).renewDelegationToken,
		"PUT CANCELDELEGATIONTOKEN": (*call).cancelDelegationToken,
		"PUT SETTIMES":              (*call).setTimes, "PUT SETREPLICATION": (*call).setReplication,
		"PUT SETXATTR": (*call).setXAttr, "PUT REMOVEXATTR": (*call).removeXAttr,
		"PUT MODIFYACLENTRIES": changeACL(namespace.OpModifyACL), "PUT SETACL": changeACL(namespace.OpSetACL),
		"PUT REMOVEACLENTRIES": changeACL(namespace.OpRemoveACLEntries),
		"PUT REMOVEACL":        plain(namespace.OpRemoveACL), "PUT REMOVEDEFAULTACL": plain(namespace.OpRemoveDefaultACL),
		"PUT SETQUOTA": (*call).setQuota, "PUT SETSTORAGEPOLICY": (*call).setPolicy,
		"POST UNSETSTORAGEPOLICY": plain(namespace.OpUnsetPolicy),
		"PUT ALLOWSNAPSHOT":       plain(namespace.OpAllowSnapshot),
		"PUT DISALLOWSNAPSHOT":    plain(namespace.OpDisallowSnapshot),
		"PUT CREATESNAPSHOT":      (*call).createSnapshot, "PUT RENAMESNAPSHOT": (*call).renameSnapshot,
		"DELETE DELETESNAPSHOT": (*call).deleteSnapshot,
		"PUT CREATESYMLINK":     unsupported("Symlinks not supported"),
		"PUT SETECPOLICY":       lacking("ecpolicy", namespace.SetECPolicy),
		"POST UNSETECPOLICY":    func(c *call) error { return c.tree.UnsetECPolicy(c.who, c.path) },
		"PUT ENABLEECPOLICY":    lacking("ecpolicy", namespace.TurnECPolicy),
		"PUT DISABLEECPOLICY":   lacking("ecpolicy", namespace.TurnECPolicy),
		"PUT SETQUOTABYSTORAGETYPE": lacking("storagetype",
			func(string) error { return namespace.SetTypeQuota() }),
		"PUT SATISFYSTORAGEPOLICY": func(*call) error { return namespace.SatisfyPolicy() },
	}
}

// lacking is an operation that needs a parameter, and is refused.
func lacking(param string, refusal func(string) error) operation {
	return func(c *call) error {
		if !c.p.has(param) {
			return missing(param, c.op)
		}
		return refusal(c.p.get(param))
	}
}

// plain is an operation without parameters and without an answer.
func plain(op namespace.Op) operation {
	return func(c *call) error { return c.done(namespace.Request{Op: op}) }
}

func unsupported(message string) operation {
	return func(*call) error { return namespace.Refuse(namespace.UnsupportedOperation, "%s", message) }
}

func changeACL(op namespace.Op) operation {
	return func(c *call) error {
		entries, err := c.p.acl(c.op)
		if err != nil {
			return err
		}
		return c.done(namespace.Request{Op: op, ACL: entries})
	}
}
