package webhdfs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/fsck"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// What follows no Hadoop has: it is for our own client, which finds out by asking whether it is there.
//
//	GET  LOCATEOBJECTS    which objects of which store a file consists of, for who may read the store itself
//	POST ALLOTBLOCKS      names objects that the client may write to the store itself
//	PUT  CREATEOFBLOCKS   makes a file of them; the body is a list of Written
//	POST COMMITJOB        publishes all files of a job in one step; the body is a JobCommit
//	GET  FSCK             compares files with the store: one FsckLine after the other, the last one with the report
//
// A request may have a header that names the operation, so that who got no answer asks again and nothing is done twice.

// OperationHeader names an operation of a user, a random text of at most 64 bytes.
const OperationHeader = "X-Runner-Operation"

const maxOperation = 64

// operationID returns the id of the operation that the request names, "" if it does not. Users can't meet each other's.
func (c *call) operationID() string {
	id := c.r.Header.Get(OperationHeader)
	if id == "" || len(id) > maxOperation {
		return ""
	}
	return c.who.User + "/" + c.op + "/" + id
}

// version tells versions of a file apart: every change of its bytes changes it.
func version(s namespace.Status) string {
	return fmt.Sprintf("%d-%d-%d", s.ID, s.Modified, s.Length)
}

// Located is where the bytes of a file are.
type Located struct {
	Cluster string   `json:"cluster"` // what the object ClusterName of the right store holds
	Store   string   `json:"store"`   // URI; "" if clients can't reach it
	Version string   `json:"version"` // as the ETag of OPEN
	Length  int64    `json:"length"`
	Objects []Object `json:"objects"`
}

// Object is a part of a file: Length bytes of an object.
type Object struct {
	Name   string `json:"name"`
	Block  uint64 `json:"block,string"` // which says where in the object they are
	Length int64  `json:"length"`
	MD5    []byte `json:"md5"` // namespace.Block's
	CRC    uint32 `json:"crc"` // namespace.Block's
}

// ClusterName is the object that tells the store of one namespace from those of others; SecretName has what proofs of
// tickets are made with.
const (
	ClusterName store.Name = "cluster"
	SecretName  store.Name = "secret"
)

func (c *call) locate() error {
	s, blocks, err := c.tree.Blocks(c.who, c.path)
	if err != nil {
		return err
	}
	l := Located{Cluster: c.o.Cluster, Store: c.o.StoreURI, Version: version(s), Length: s.Length,
		Objects: make([]Object, len(blocks))}
	for i, b := range blocks {
		l.Objects[i] = Object{string(block.ObjectName(b.ID)), b.ID, b.Length, b.MD5[:], b.CRC}
	}
	return c.ok(object{"Located": l})
}

// Allotted are objects for a client to write.
type Allotted struct {
	Cluster   string   `json:"cluster"`
	Store     string   `json:"store"`
	BlockSize int64    `json:"blockSize"`
	Tickets   []Ticket `json:"tickets"`
}

// Ticket names an object that one user may write, and give to a file, once.
type Ticket struct {
	Object string `json:"object"`
	Proof  []byte `json:"proof"`
}

// Written is a block that a client has written.
type Written struct {
	Ticket
	Length int64  `json:"length"`
	MD5    []byte `json:"md5"` // namespace.Block's
	CRC    uint32 `json:"crc"` // namespace.Block's
}

// MaxAllotted is how many blocks are allotted at once.
const MaxAllotted = 16

func (c *call) allot() error {
	if c.o.Secret == "" || c.o.StoreURI == "" {
		return namespace.Refuse(namespace.UnsupportedOperation, "Clients of this gateway do not write blocks themselves")
	}
	a := Allotted{Cluster: c.o.Cluster, Store: c.o.StoreURI, BlockSize: c.o.BlockSize}
	for range MaxAllotted {
		name := string(block.ObjectName(c.names.NewBlock()))
		a.Tickets = append(a.Tickets, Ticket{name, c.proof(name)})
	}
	return c.ok(object{"Allotted": a})
}

// proof shows that an object was allotted to the caller, also to a later leader.
func (c *call) proof(object string) []byte {
	h := hmac.New(sha256.New, []byte(c.o.Secret))
	io.WriteString(h, c.who.User+"\n"+object)
	return h.Sum(nil)
}

func (c *call) createOfBlocks() error {
	r, err := c.createRequest()
	if err != nil {
		return err
	}
	var all []Written
	if err := json.NewDecoder(io.LimitReader(c.r.Body, maxCommit)).Decode(&all); err != nil {
		return namespace.Refuse(namespace.IllegalArgument, "The body is not a list of blocks: %v", err)
	}
	if r.ID = c.operationID(); r.ID != "" {
		if _, err, known := c.tree.Outcome(r.ID); known {
			return err
		}
	}
	for _, w := range all {
		id, ok := block.ParseName(store.Name(w.Object))
		if !ok || len(w.MD5) != 16 || c.o.Secret == "" || !hmac.Equal(w.Proof, c.proof(w.Object)) {
			return namespace.Refuse(namespace.AccessControl, "%s was not allotted to %s", w.Object, c.who.User)
		}
		info, err := c.store.Stat(c.r.Context(), store.Name(w.Object))
		if err != nil {
			return err
		}
		b := namespace.Block{ID: id, Length: w.Length, MD5: [16]byte(w.MD5), CRC: w.CRC}
		if size := block.ObjectSize(b); info.Size != size {
			return namespace.Refuse(namespace.IllegalArgument, "%s has %d bytes, not %d", w.Object, info.Size, size)
		}
		r.Blocks = append(r.Blocks, b)
	}
	r.Close = true
	return c.done(r)
}

// JobCommit says how the output of a job is published; the path of the request is the output directory.
type JobCommit struct {
	Job       string `json:"job"`
	Epoch     uint64 `json:"epoch"`
	Moves     []Move `json:"moves"`
	Success   []byte `json:"success"`   // what _SUCCESS holds
	Overwrite bool   `json:"overwrite"` // of a directory that is there
}

// Move is one file of a job: from where its task wrote it to where it belongs.
type Move struct {
	Source string `json:"source"`
	Dest   string `json:"dest"`
}

// maxCommit bounds the body of a JobCommit, in bytes; a request of the namespace may have no more.
const maxCommit = 4 << 20

func (c *call) commitJob() error {
	var j JobCommit
	if err := json.NewDecoder(io.LimitReader(c.r.Body, maxCommit)).Decode(&j); err != nil {
		return namespace.Refuse(namespace.IllegalArgument, "The body is not the commit of a job: %v", err)
	}
	r := namespace.Request{Op: namespace.OpBatchCommit, Job: j.Job, Epoch: j.Epoch, Overwrite: j.Overwrite,
		BlockSize: c.o.BlockSize, Replication: c.o.Replication}
	for _, m := range j.Moves {
		r.Sources, r.Dests = append(r.Sources, m.Source), append(r.Dests, m.Dest)
	}
	if _, done := c.tree.Committed(j.Job); done {
		return c.ok(object{"boolean": true})
	}
	return c.short(r, j.Success)
}

// short executes an operation that gives a file these bytes, and answers with Hadoop's boolean.
func (c *call) short(r namespace.Request, data []byte) error {
	result, err := c.give(r, data, c.o.BlockSize)
	if err != nil {
		return err
	}
	return c.ok(object{"boolean": result.OK})
}

// FsckLine is a line of the answer to FSCK.
type FsckLine struct {
	Progress *fsck.Report `json:"progress,omitempty"`
	Report   *fsck.Report `json:"report,omitempty"` // the last line has it, or an error
	Error    string       `json:"error,omitempty"`
}

// fsck needs the superuser, as at a NameNode. Its parameters are verify, delete, and rate in bytes a second.
func (c *call) fsck() error {
	if !c.who.Super {
		return namespace.Refuse(namespace.AccessControl, "Access denied for user %s. Superuser privilege is required",
			c.who.User)
	}
	o := fsck.Options{Path: c.path}
	var err error
	if o.Verify, err = c.p.flag("verify", false); err != nil {
		return err
	}
	if o.Delete, err = c.p.flag("delete", false); err != nil {
		return err
	}
	if o.Rate, err = c.p.long("rate", 0, 0); err != nil {
		return err
	}
	if _, err := c.tree.Status(c.who, c.path); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(c.w)
	tell := func(l FsckLine) {
		_ = out.Encode(l) // whoever has gone ends the context, and with it the check
		_ = http.NewResponseController(c.w).Flush()
	}
	tell(FsckLine{Progress: &fsck.Report{}})
	last := time.Now()
	o.Progress = func(r fsck.Report) {
		if now := time.Now(); now.Sub(last) > time.Second {
			last = now
			r.Problems, r.Lost = nil, nil
			tell(FsckLine{Progress: &r})
		}
	}
	report, err := fsck.Check(c.r.Context(), c.store, c.tree, c.names.Epoch(), o)
	if err != nil {
		tell(FsckLine{Error: errs.Cause(err)})
		return nil
	}
	tell(FsckLine{Report: &report})
	return nil
}
