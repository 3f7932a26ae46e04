package namespace

import (
	"errors"
	"strings"
)

// handler executes one operation. It refuses before it changes anything.
type handler func(*Tree, *Request) (Result, error)

// handlers by operation; the ones without a Path are told apart in execute.
func handlers() [numOps]handler {
	return [numOps]handler{
		OpMkdirs: (*Tree).mkdirs, OpCreate: (*Tree).create, OpAppend: (*Tree).appendTo, OpAddBlocks: (*Tree).addBlocks,
		OpRenewLease: (*Tree).renewLease, OpRecoverLease: (*Tree).recoverLease, OpExpireLeases: (*Tree).expireLeases,
		OpRename: (*Tree).renameOld, OpRename2: (*Tree).rename, OpDelete: (*Tree).remove,
		OpConcat: (*Tree).concat, OpTruncate: (*Tree).truncate, OpSetPermission: (*Tree).setPermission,
		OpSetOwner: (*Tree).setOwner, OpSetTimes: (*Tree).setTimes, OpSetReplication: (*Tree).setReplication,
		OpSetXAttr: (*Tree).setXAttr, OpRemoveXAttr: (*Tree).removeXAttr, OpModifyACL: (*Tree).changeACL,
		OpRemoveACLEntries: (*Tree).changeACL, OpRemoveDefaultACL: (*Tree).changeACL, OpRemoveACL: (*Tree).changeACL,
		OpSetACL: (*Tree).changeACL, OpSetQuota: (*Tree).setQuota, OpSetPolicy: (*Tree).setPolicy,
		OpUnsetPolicy: (*Tree).setPolicy, OpAllowSnapshot: (*Tree).allowSnapshot,
		OpDisallowSnapshot: (*Tree).disallowSnapshot, OpCreateSnapshot: (*Tree).createSnapshot,
		OpRenameSnapshot: (*Tree).renameSnapshot, OpDeleteSnapshot: (*Tree).deleteSnapshot,
		OpBatchCommit: (*Tree).batchCommit, OpReclaimed: (*Tree).reclaimed, OpCompact: (*Tree).compact,
		OpGrant: (*Tree).grant, OpRenewGrant: (*Tree).renewGrant, OpCancelGrant: (*Tree).cancelGrant,
	}
}

// Apply implements journal.State: it executes the request and remembers the outcome.
func (t *Tree) Apply(record []byte) error {
	r, err := decode(record)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.history.find(r.ID); again && r.ID != "" {
		return nil
	}
	result, err := t.execute(r)
	o := outcome{id: r.ID, result: result}
	if err != nil {
		var refusal *Error
		if !errors.As(err, &refusal) {
			return err
		}
		o.refused, o.err = true, *refusal
	}
	t.history.add(o)
	return nil
}

// execute runs a request that may say anything: it may come from a log that was tampered with, so it is checked here
// once more.
func (t *Tree) execute(r *Request) (Result, error) {
	switch r.Op {
	case OpRenewLease, OpExpireLeases, OpReclaimed, OpGrant, OpRenewGrant, OpCancelGrant:
	default:
		if err := CheckPath(r.Path); err != nil {
			return Result{}, err
		}
	}
	if r.Op == OpRename || r.Op == OpRename2 {
		if err := CheckPath(r.Dest); err != nil {
			return Result{}, err
		}
	}
	for _, b := range r.Blocks {
		if b.Length <= 0 || b.Length > 1<<50 || b.ID == 0 {
			return Result{}, Refuse(HadoopIllegalArgument, "Invalid block")
		}
	}
	return t.handlers[r.Op](t, r)
}

// Outcome returns what the operation with this id answered, if it was executed and is still remembered.
func (t *Tree) Outcome(id string) (Result, error, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	o, ok := t.history.find(id)
	if !ok {
		return Result{}, nil, false
	}
	result, err := o.get()
	return result, err, true
}

// CheckPath refuses what is not an absolute path of clean components.
func CheckPath(path string) error {
	if path == "/" {
		return nil
	}
	bad := func() error { return Refuse(InvalidPath, "Invalid path name %s", path) }
	if path == "" || path[0] != '/' {
		return bad()
	}
	if len(path) > MaxPath {
		return Refuse(IOException, "Pathname too long.  Limit %d characters, 1000 levels.", MaxPath)
	}
	start, levels := 1, 0
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if path[i] == ':' || path[i] == 0 {
				return bad()
			}
			continue
		}
		switch part := path[start:i]; {
		case part == "" || part == "." || part == "..":
			return bad()
		case len(part) > MaxName:
			return Refuse(IOException, "The maximum path component name limit of %s in directory %s is exceeded: limit=%d"+
				" length=%d", part, path[:start], MaxName, len(part))
		}
		start = i + 1
		if levels++; levels > 1000 {
			return Refuse(IOException, "Pathname too long.  Limit %d characters, 1000 levels.", MaxPath)
		}
	}
	return nil
}

// Clean folds slashes that follow each other and drops the last one, as Hadoop does. What is wrong stays, to be
// refused; "" is the root.
func Clean(path string) string {
	clean := !strings.Contains(path, "//") && (!strings.HasSuffix(path, "/") || path == "/")
	if path != "" && (path[0] != '/' || clean) {
		return path
	}
	var b strings.Builder
	for part := range strings.SplitSeq(path, "/") {
		if part != "" {
			b.WriteByte('/')
			b.WriteString(part)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
