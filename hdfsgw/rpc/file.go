package rpc

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/datatransfer"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// Writing a file is a conversation:
//
//	create or append       the file is open, under a lease in the client's name
//	addBlock               a ticket for a block; the bytes go to package datatransfer
//	addBlock, with the block before, and so on; fsync after a flush
//	complete               with the last block: all that was written is durable, and the file is closed
//
// A client whose connection broke in the midst of a block asks for another ticket (updateBlockForPipeline) and goes on
// with the next of the data nodes that it was told of, which all are this one.
//
// A block that is being written has its file's id, and the number of the file's bytes in front of it as its generation
// stamp. A client hands both back with the block's length, so whichever gateway is asked knows which file it is, and
// whether the namespace has all that the client believes to have written.

func ticketFor(b namespace.Block) datatransfer.Ticket {
	return datatransfer.Ticket{Block: b.ID, Length: b.Length, MD5: b.MD5[:], CRC: b.CRC}
}

// stamp is the generation stamp of a block that begins at an offset. Small numbers are stamps of blocks that are not
// being written.
func stamp(offset int64) uint64 { return uint64(offset) + generation + 1 }

// begin is where a block that is being written begins in its file.
func begin(b *hadoop.ExtendedBlock) int64 { return int64(b.GetGenerationStamp() - generation - 1) }

// end is where a block ends in its file, as its writer has it; 0 for none.
func end(b *hadoop.ExtendedBlock) int64 {
	if b == nil {
		return 0
	}
	return begin(b) + int64(b.GetNumBytes())
}

func (c *call) create(q *hadoop.CreateRequest) (proto.Message, error) {
	const overwrite = 2
	r := namespace.Request{Op: namespace.OpCreate, Path: q.GetSrc(), Holder: q.GetClientName(),
		Perm: uint16(q.GetMasked().GetPerm()), Unmasked: uint16(q.GetUnmasked().GetPerm()),
		Replication: int16(min(q.GetReplication(), 1<<15-1)),
		BlockSize:   int64(min(q.GetBlockSize(), 1<<50)), NoParents: !q.GetCreateParent(),
		Overwrite: q.GetCreateFlag()&overwrite != 0}
	result, err := c.change(r)
	if err != nil {
		return nil, err
	}
	return &hadoop.StatusResponse{Fs: c.opened(q.GetSrc(), result, r)}, nil
}

// opened describes a file that was opened; if somebody has taken it away since, as it was.
func (c *call) opened(text string, result namespace.Result, r namespace.Request) *hadoop.FileStatus {
	s, _, err := c.status(text)
	if err != nil || s.ID != result.FileID {
		s = namespace.Status{ID: result.FileID, Length: result.Length, Perm: r.Perm, Owner: c.who.User,
			Replication: r.Replication, BlockSize: r.BlockSize, Modified: c.names.Now()}
	}
	return fileStatus(s)
}

func (c *call) append(q *hadoop.AppendRequest) (proto.Message, error) {
	r := namespace.Request{Op: namespace.OpAppend, Path: q.GetSrc(), Holder: q.GetClientName(), BlockSize: c.o.BlockSize}
	result, err := c.change(r)
	if err != nil {
		return nil, err
	}
	// No block is told, as if the last one was full: the client begins a new one.
	return &hadoop.AppendResponse{Stat: c.opened(q.GetSrc(), result, r)}, nil
}

// writing returns the file that a call is about, which the client must have open. id is 0 or the file's.
func (c *call) writing(text, holder string, id uint64) (string, namespace.Status, error) {
	p, err := path(text)
	if err != nil {
		return p, namespace.Status{}, err
	}
	s, err := c.names.OpenFor(c.who, p, holder, id)
	return p, s, err
}

func (c *call) addBlock(q *hadoop.AddBlockRequest) (proto.Message, error) {
	p, s, err := c.writing(q.GetSrc(), q.GetClientName(), q.GetFileId())
	if err != nil {
		return nil, err
	}
	w := datatransfer.Writer{File: s.ID, Holder: q.GetClientName()}
	offset := s.Length
	if q.GetPrevious() != nil {
		offset = end(q.GetPrevious())
		if err := c.catchUp(p, w, offset); err != nil {
			return nil, err
		}
	}
	l := c.written(p, s, w.Holder, offset)
	c.spread(l, max(s.Replication, 2))
	return &hadoop.LocatedBlockResponse{Block: l}, nil
}

// written describes a block of a file that begins at an offset, with a ticket to write it.
func (c *call) written(p string, s namespace.Status, holder string, offset int64) *hadoop.LocatedBlock {
	l := c.located(s.ID, stamp(offset), 0, offset)
	l.Token = c.data.Issue(datatransfer.Ticket{Block: s.ID, Path: p, File: s.ID, Holder: holder, Caller: c.who,
		Start: offset, Limit: s.BlockSize})
	return l
}

// catchUp enters what is durable of a file by now, so that a crash costs no more than the last blocks. It refuses if
// that and what is not durable yet is not all that the client has written, as when another gateway had the rest.
func (c *call) catchUp(p string, w datatransfer.Writer, written int64) error {
	return c.data.Settle(c.ctx, w, false, func(blocks []namespace.Block, more int64) error {
		if len(blocks) > 0 {
			_, err := c.names.Do(c.ctx, c.addBlocks(p, w, blocks, written-more))
			return err
		}
		s, err := c.names.OpenFor(c.who, p, w.Holder, w.File)
		if err == nil && s.Length+more != written {
			err = namespace.Lost(p, s.Length+more, written)
		}
		return err
	})
}

// addBlocks adds blocks to a file, after which it must have so many bytes.
func (c *call) addBlocks(p string, w datatransfer.Writer, blocks []namespace.Block, length int64) namespace.Request {
	for _, b := range blocks {
		length -= b.Length
	}
	return namespace.Request{Op: namespace.OpAddBlocks, Caller: c.who, Path: p, Holder: w.Holder, File: w.File,
		Placed: true, At: length, Blocks: blocks}
}

// complete closes a file. Its client believes that it ends where the last block does.
func (c *call) complete(q *hadoop.CompleteRequest) (proto.Message, error) {
	done := &hadoop.BoolResponse{Result: proto.Bool(true)}
	if _, err, known := c.names.Outcome(c.operation()); known {
		return done, err
	}
	p, s, err := c.writing(q.GetSrc(), q.GetClientName(), q.GetFileId())
	if err != nil {
		return nil, err
	}
	w := datatransfer.Writer{File: s.ID, Holder: q.GetClientName()}
	err = c.data.Settle(c.ctx, w, true, func(blocks []namespace.Block, _ int64) error {
		r := c.addBlocks(p, w, blocks, end(q.GetLast()))
		r.Placed, r.Close = q.GetLast() != nil, true
		_, err := c.change(r)
		return err
	})
	return done, err
}

// fsync enters in the namespace what was written.
func (c *call) fsync(q *hadoop.FsyncRequest) (proto.Message, error) {
	_, s, err := c.writing(q.GetSrc(), q.GetClient(), q.GetFileId())
	if err == nil {
		err = c.data.Flush(c.ctx, s.ID)
	}
	return &hadoop.Empty{}, err
}

// abandonBlock is called for a block that no data node took, so there is nothing to undo.
func (c *call) abandonBlock(q *hadoop.AbandonBlockRequest) (proto.Message, error) {
	_, _, err := c.writing(q.GetSrc(), q.GetHolder(), q.GetFileId())
	return &hadoop.Empty{}, err
}

// blockForPipeline is asked for when a connection broke, and by some clients when a block is done. There is no other
// generation of a block, but another ticket, which this gateway has signed.
func (c *call) blockForPipeline(q *hadoop.BlockForPipelineRequest) (proto.Message, error) {
	l, err := c.again(q.GetBlock(), q.GetClientName())
	return &hadoop.LocatedBlockResponse{Block: l}, err
}

// again describes a block that a client has begun to write.
func (c *call) again(b *hadoop.ExtendedBlock, holder string) (*hadoop.LocatedBlock, error) {
	p, s, err := c.names.OpenBy(holder, b.GetBlockId())
	if err != nil {
		return nil, err
	}
	l := c.written(p, s, holder, begin(b))
	l.Block.NumBytes = b.NumBytes
	return l, nil
}

// additionalNode is asked for by a client that has lost a data node and wants another one, or more than it has: it gets
// one that it has not had.
func (c *call) additionalNode(q *hadoop.GetAdditionalDatanodeRequest) (proto.Message, error) {
	l, err := c.again(q.GetBlock(), q.GetClientName())
	if err != nil {
		return nil, err
	}
	had := map[string]bool{}
	for _, node := range slices.Concat(q.GetExisting(), q.GetExcluded()) {
		had[node.GetId().GetUuid()] = true
	}
	n := 0
	for had[nodeID(n)] {
		n++
	}
	l.Locations, l.StorageTypes, l.StorageIds = nil, nil, nil
	for _, node := range append(q.GetExisting(), c.dataNode(n)) {
		place(l, node)
	}
	return &hadoop.LocatedBlockResponse{Block: l}, nil
}

// renewAfter is how old a lease must be to be renewed, in ms: some clients ask each second, and it costs an entry in
// the journal.
const renewAfter = namespace.SoftLimit / 6

func (c *call) renewLease(q *hadoop.RenewLeaseRequest) (proto.Message, error) {
	at, known := c.names.Heard(q.GetClientName())
	if !known || c.names.Now()-at < renewAfter {
		return &hadoop.Empty{}, nil
	}
	return c.done(namespace.Request{Op: namespace.OpRenewLease, Holder: q.GetClientName()})
}

// recoverLease closes a file that somebody else may have open, with all that has arrived of it.
func (c *call) recoverLease(q *hadoop.RecoverLeaseRequest) (proto.Message, error) {
	s, _, err := c.status(q.GetSrc())
	if err == nil {
		err = c.data.Flush(c.ctx, s.ID)
	}
	if err != nil {
		return nil, err
	}
	return c.changed(namespace.Request{Op: namespace.OpRecoverLease, Path: q.GetSrc()})
}
