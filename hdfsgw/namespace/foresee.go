package namespace

// foresee answers a request that would change nothing, from the tree as it is: one that is refused because of what is
// or is not at its path, or asks for a directory that is there. Others it leaves alone. So what is cheap to refuse
// costs no entry in the journal.
//
// It is for requests without an id of the caller's: a repetition must wait for the outcome of the first, which may be
// under way.
func (t *Tree) foresee(r *Request) (result Result, err error, known bool) {
	switch r.Op {
	case OpRenewLease, OpExpireLeases, OpReclaimed, OpBatchCommit, OpGrant, OpRenewGrant, OpCancelGrant:
		return Result{}, nil, false
	case OpAddBlocks: // whose file may have been moved away from its path
		return Result{}, nil, false
	}
	if CheckPath(r.Path) != nil {
		result, err = t.execute(r) // which refuses it at once
		return result, err, true
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.changeable(&r.Caller, r.Path)
	missing := err != nil || p.slot == none
	switch r.Op {
	case OpMkdirs:
		known = err != nil || p.slot != none || p.file != none
	case OpCreate:
		if _, open := t.open[p.slot]; err != nil || open { // which may have to be taken over
			return Result{}, nil, false
		}
		if err = t.creatable(&p, r); err != nil {
			return Result{}, err, true
		}
	default:
		known = missing
	}
	if !known {
		return Result{}, nil, false
	}
	result, err = t.execute(r)
	return result, err, true
}
