package namespace

import (
	"fmt"
	"slices"
)

// Op is what a Request asks for. The numbers are in the journal: new ones go to the end.
type Op uint8

// The operations. Beside each: the fields of Request that it reads, apart from Path.
const (
	opNone             Op = iota
	OpMkdirs              // Perm, Unmasked, NoParents
	OpCreate              // Perm, Unmasked, Replication, BlockSize, Overwrite, NoParents, Holder, Blocks, Close
	OpAppend              // Holder, Blocks, Close
	OpAddBlocks           // Holder, File, Placed, At, Blocks, Close: goes on with a file that OpCreate or OpAppend opened
	OpRenewLease          // Holder, "" for all; no Path
	OpRecoverLease        // closes an open file for whoever had it
	OpExpireLeases        // Limit: closes files whose holders were not heard of for so many ms; no Path
	OpRename              // Dest: the old rename, which answers false where the new one refuses
	OpRename2             // Dest, Overwrite
	OpDelete              // Recursive
	OpConcat              // Sources
	OpTruncate            // Length
	OpSetPermission       // Perm
	OpSetOwner            // Owner, Group; "" keeps
	OpSetTimes            // ModTime, AccessTime; -1 keeps
	OpSetReplication      // Replication
	OpSetXAttr            // Name, Value, Create, Replace
	OpRemoveXAttr         // Name
	OpModifyACL           // ACL
	OpRemoveACLEntries    // ACL, whose permissions don't matter
	OpRemoveDefaultACL    //
	OpRemoveACL           //
	OpSetACL              // ACL
	OpSetQuota            // NameQuota, SpaceQuota; QuotaKeep keeps, -1 clears
	OpSetPolicy           // Policy
	OpUnsetPolicy         //
	OpAllowSnapshot       //
	OpDisallowSnapshot    //
	OpCreateSnapshot      // Name
	OpRenameSnapshot      // OldName, Name
	OpDeleteSnapshot      // Name
	OpBatchCommit         // Job, Epoch, Sources, Dests, Blocks (of _SUCCESS): Path is the output directory
	OpReclaimed           // Length: so many of the oldest dropped blocks have been deleted; no Path
	OpCompact             // Blocks in place of those that Value names (BlockIDs)
	OpGrant               // Owner (who may renew it), Name (who really asked): a delegation token of the caller; no Path
	OpRenewGrant          // File (its number); no Path
	OpCancelGrant         // File; no Path
	numOps
)

// QuotaKeep leaves a quota as it is.
const QuotaKeep = 1<<63 - 1

// Caller is who asks, as authentication found out.
type Caller struct {
	User   string
	Groups []string
	Super  bool // may do everything
}

// Realm tells who may do what, and in whose name.
type Realm struct {
	Superuser string                     // may do everything, and act for others
	Groups    func(user string) []string // of a user; nil means that there are none
	// Proxies may act for the users beside them, or for everybody but the superuser if there are none beside them.
	Proxies map[string][]string
}

// mayActFor reports whether a user may act for another one.
func (r Realm) mayActFor(user, other string) bool {
	if user == r.Superuser {
		return true
	}
	others, ok := r.Proxies[user]
	return ok && (slices.Contains(others, other) || len(others) == 0 && other != r.Superuser)
}

// Caller returns a user who asks in his own name, or in the name of another one if that is not "".
func (r Realm) Caller(user, inNameOf string) (Caller, error) {
	if inNameOf != "" && inNameOf != user {
		if !r.mayActFor(user, inNameOf) {
			return Caller{}, Refuse(Authorization, "User: %s is not allowed to impersonate %s", user, inNameOf)
		}
		user = inNameOf
	}
	who := Caller{User: user, Super: user == r.Superuser}
	if r.Groups != nil {
		who.Groups = r.Groups(user)
	}
	return who, nil
}

func (w *Caller) code(c *coder) {
	c.string(&w.User)
	list(c, &w.Groups, (*coder).string)
	c.bool(&w.Super)
}

// Block is a part of a file: one immutable object of the store, or the beginning of one.
type Block struct {
	ID     uint64   // names the object; never used twice
	Length int64    // bytes of it that belong to the file
	MD5    [16]byte // of the CRC32Cs of its 512-byte chunks; zero means not known
	CRC    uint32   // CRC32C of its bytes; zero means not known
}

func (b *Block) code(c *coder) {
	c.uint64(&b.ID)
	num(c, &b.Length)
	c.fixed(b.MD5[:])
	if !c.noCRCs {
		num(c, &b.CRC)
	}
}

// Request is one operation as the journal keeps it. Executing it depends on nothing but the tree and these fields.
type Request struct {
	Op     Op
	ID     string // of the operation: a repetition gets the first outcome; "" is never recognised
	Time   int64  // milliseconds since 1970, by the leader's clock
	Caller Caller
	Path   string // absolute and clean
	Dest   string
	Holder string // of a lease: a writer's name
	Client string // where the caller is, for messages

	Perm        uint16
	Replication int16
	BlockSize   int64
	Length      int64
	Limit       int64
	ModTime     int64
	AccessTime  int64
	NameQuota   int64
	SpaceQuota  int64

	Overwrite, NoParents, Close, Recursive, Create, Replace bool

	Owner, Group, Name, OldName, Value, Policy, Job string

	Epoch   uint64
	Sources []string
	Dests   []string
	Blocks  []Block
	ACL     []ACLEntry
	File    uint64 // id of the file that Path was when it was opened, 0 if that is not known
	Placed  bool   // the file must have At bytes, or its writer's earlier blocks have got lost
	At      int64

	// Unmasked is the mode that was asked for before the caller's umask: below a default ACL that alone counts (POSIX).
	// 0 means that Perm is all that is known.
	Unmasked uint16
}

// Limits of a Request.
const (
	MaxPath    = 8000 // bytes, as at HDFS
	maxRequest = 4 << 20
	version    = 2
	noCRCs     = 1 // the version before it, in which blocks have no CRC
)

func (r *Request) code(c *coder) {
	num(c, &r.Op)
	c.string(&r.ID)
	num(c, &r.Time)
	r.Caller.code(c)
	for _, s := range []*string{&r.Path, &r.Dest, &r.Holder, &r.Client} {
		c.string(s)
	}
	num(c, &r.Perm)
	num(c, &r.Replication)
	for _, n := range []*int64{&r.BlockSize, &r.Length, &r.Limit, &r.ModTime, &r.AccessTime, &r.NameQuota, &r.SpaceQuota} {
		num(c, n)
	}
	for _, b := range []*bool{&r.Overwrite, &r.NoParents, &r.Close, &r.Recursive, &r.Create, &r.Replace} {
		c.bool(b)
	}
	for _, s := range []*string{&r.Owner, &r.Group, &r.Name, &r.OldName, &r.Value, &r.Policy, &r.Job} {
		c.string(s)
	}
	c.uint64(&r.Epoch)
	list(c, &r.Sources, (*coder).string)
	list(c, &r.Dests, (*coder).string)
	list(c, &r.Blocks, func(c *coder, b *Block) { b.code(c) })
	list(c, &r.ACL, func(c *coder, e *ACLEntry) { e.code(c) })
	c.uint64(&r.File)
	c.bool(&r.Placed)
	num(c, &r.At)
	num(c, &r.Unmasked)
}

// encode writes the record of a request.
func (r *Request) encode() []byte {
	const usual = 256 // bytes, for one allocation
	c := coder{buf: append(make([]byte, 0, usual), version)}
	r.code(&c)
	return c.buf
}

// decode reads a record. What it accepts the tree can execute, whatever it says.
func decode(record []byte) (*Request, error) {
	if len(record) == 0 || record[0] != version && record[0] != noCRCs || len(record) > maxRequest {
		return nil, fmt.Errorf("not a request of version %d", version)
	}
	c := coder{buf: record[1:], reading: true, noCRCs: record[0] == noCRCs}
	var r Request
	r.code(&c)
	c.buf = nil // what is left are fields of a later version, which had a leader for a while
	if err := c.end("request"); err != nil {
		return nil, err
	}
	if r.Op == opNone || r.Op >= numOps {
		return nil, fmt.Errorf("unknown operation %d", r.Op)
	}
	return &r, nil
}

// Result is what an operation that was not refused answers.
type Result struct {
	OK     bool   // the boolean that Hadoop answers
	Path   string // of a snapshot
	FileID uint64 // or the number of a delegation token
	Length int64  // of a file that was opened for appending; until when (ms) a delegation token was renewed
}

// outcome is a Result or an Error, kept for repetitions.
type outcome struct {
	id      string
	refused bool
	err     Error
	result  Result
}

func (o *outcome) code(c *coder) {
	c.string(&o.id)
	c.bool(&o.refused)
	num(c, &o.err.Class)
	c.string(&o.err.Message)
	c.bool(&o.result.OK)
	c.string(&o.result.Path)
	c.uint64(&o.result.FileID)
	num(c, &o.result.Length)
	if o.err.Class >= numClasses {
		c.fail("class")
	}
}

func (o *outcome) get() (Result, error) {
	if o.refused {
		return Result{}, &o.err
	}
	return o.result, nil
}

// history remembers the last outcomes by the id of their operation.
type history struct {
	ring []outcome
	next int
	byID map[string]int
}

// remembered is how many outcomes are kept: more than can be asked for at once (see maxInFlight).
const remembered = 16384

func (h *history) add(o outcome) {
	if o.id == "" {
		return
	}
	if h.byID == nil {
		h.byID = map[string]int{}
	}
	if len(h.ring) < remembered {
		h.ring = append(h.ring, outcome{})
	} else {
		delete(h.byID, h.ring[h.next].id)
	}
	h.ring[h.next] = o
	h.byID[o.id] = h.next
	h.next = (h.next + 1) % remembered
}

func (h *history) find(id string) (*outcome, bool) {
	i, ok := h.byID[id]
	if !ok {
		return nil, false
	}
	return &h.ring[i], true
}

// oldestFirst returns the outcomes in the order in which they came.
func (h *history) oldestFirst() []outcome {
	if len(h.ring) < remembered {
		return append([]outcome(nil), h.ring...)
	}
	return append(append([]outcome(nil), h.ring[h.next:]...), h.ring[:h.next]...)
}
