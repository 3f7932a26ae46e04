package webhdfs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// file finds a file for a redirect. What is missing is worded as where a NameNode chooses a data node; what is a
// directory the data node's part refuses.
func (c *call) file(access string) (namespace.Status, error) {
	s, err := c.tree.Status(c.who, c.path)
	if isMissing(err) {
		return s, namespace.Refuse(namespace.FileNotFound, "File %s not found.", c.path)
	}
	if err == nil && access != "" && !s.Dir {
		a, _ := namespace.ParseAccess(access)
		err = c.tree.CheckAccess(c.who, c.path, a)
	}
	return s, err
}

func (c *call) open() error {
	offset, err := c.p.long("offset", 0, 0)
	if err != nil {
		return err
	}
	length, err := c.p.long("length", -1, 0)
	if err != nil {
		return err
	}
	if !c.data {
		s, err := c.file("r--")
		if err != nil {
			return err
		}
		if s.Length > 0 && offset >= s.Length {
			return namespace.Refuse(namespace.IOException, "Offset=%d out of the range [0, %d); OPEN, path=%s", offset,
				s.Length, c.path)
		}
		return c.redirect(append(c.given("length"), "offset", strconv.FormatInt(offset, 10))...)
	}
	s, blocks, err := c.tree.Blocks(c.who, c.path)
	if err != nil {
		return err
	}
	rest := max(s.Length-offset, 0)
	if length < 0 || length > rest {
		length = rest
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	c.w.Header().Set("ETag", strconv.Quote(version(s)))
	if c.r.Method == http.MethodHead {
		return nil
	}
	if err := block.Write(c.r.Context(), c.o.Blocks, c.w, blocks, offset, length); err != nil {
		panic(http.ErrAbortHandler) // the headers are out: only a broken connection tells the client
	}
	return nil
}

// checksum tells Hadoop's MD5 of MD5s, or with the parameter combine, which only our client knows, what Hadoop's
// clients of hdfs:// find out with dfs.checksum.combine.mode: a checksum that does not depend on blocks.
func (c *call) checksum() error {
	mode := strings.ToUpper(c.p.get("combine"))
	if mode != "" && mode != CompositeCRC && mode != "MD5MD5CRC" {
		return invalid("combine", "%s is neither MD5MD5CRC nor %s", mode, CompositeCRC)
	}
	if !c.data {
		if _, err := c.file("r--"); err != nil {
			return err
		}
		return c.redirect(c.given("combine")...)
	}
	s, blocks, err := c.tree.Blocks(c.who, c.path)
	if err != nil {
		return err
	}
	sum, tail := block.Sum{}, ""
	if mode == CompositeCRC {
		sum, err = block.Composite(c.r.Context(), c.store, blocks)
	} else {
		sum, err = block.Checksum(c.r.Context(), c.store, blocks, s.BlockSize)
		tail = "00000000" // Hadoop writes four bytes more than it says
	}
	if err != nil {
		return err
	}
	return c.ok(object{"FileChecksum": object{"algorithm": sum.Algorithm, "length": len(sum.Bytes),
		"bytes": hex.EncodeToString(sum.Bytes) + tail}})
}

// CompositeCRC is the value of the parameter combine.
const CompositeCRC = "COMPOSITE_CRC"

func (c *call) create() error {
	r, err := c.createRequest()
	if err != nil {
		return err
	}
	if !c.data {
		extra := append(c.given("blocksize"), "createflag", c.p.get("createflag"), "createparent",
			strconv.FormatBool(!r.NoParents), "overwrite", strconv.FormatBool(r.Overwrite))
		extra = append(append(extra, c.given("permission")...), c.given("replication")...)
		extra = append(extra, c.given("unmaskedpermission")...)
		return c.redirect(extra...)
	}
	if err := c.upload(r, r.BlockSize); err != nil {
		return err
	}
	host, port := c.hostPort()
	c.w.Header().Set("Location", "hdfs://"+host+":"+port+unescapeLetters(escape(c.path)))
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// unescapeLetters puts back what is not ASCII, as Java's URI.toString leaves it.
func unescapeLetters(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] == '%' && escaped[i+1] >= '8' {
			plain, err := hex.DecodeString(escaped[i+1 : i+3])
			if err == nil {
				b.Write(plain)
				i += 2
				continue
			}
		}
		b.WriteByte(escaped[i])
	}
	return b.String()
}

func (c *call) createRequest() (r namespace.Request, err error) {
	r.Op = namespace.OpCreate
	if r.Overwrite, err = c.p.flag("overwrite", false); err != nil {
		return r, err
	}
	parents, err := c.p.flag("createparent", true)
	if err != nil {
		return r, err
	}
	r.NoParents = !parents
	if r.Perm, err = c.p.permission("permission", filePerm); err != nil {
		return r, err
	}
	if r.Unmasked, err = c.p.permission("unmaskedpermission", 0); err != nil {
		return r, err
	}
	if r.Replication, err = c.replication(); err != nil {
		return r, err
	}
	r.BlockSize, err = c.p.long("blocksize", c.o.BlockSize, 1)
	return r, err
}

func (c *call) append() error {
	if !c.data {
		if _, err := c.file(""); err != nil {
			return err
		}
		return c.redirect()
	}
	size := c.o.BlockSize
	if s, err := c.tree.Status(c.who, c.path); err == nil && !s.Dir {
		size = s.BlockSize
	}
	if err := c.upload(namespace.Request{Op: namespace.OpAppend}, size); err != nil {
		return err
	}
	c.w.Header().Set("Content-Length", "0")
	return nil
}

// smallBody is what is read before anything is made: a file that fits costs one journal entry, and none if its client
// dies.
const smallBody = 256 << 10

// upload makes or extends a file with the request's body.
func (c *call) upload(r namespace.Request, blockSize int64) error {
	head, err := io.ReadAll(io.LimitReader(c.r.Body, smallBody))
	if err != nil {
		return namespace.Refuse(namespace.IOException, "The request's body broke off: %v", err)
	}
	if len(head) < smallBody {
		r.Close = true
		_, err := c.give(r, head, blockSize)
		return err
	}
	r.Holder = "webhdfs_" + rand.Text()
	r.ID = r.Holder // never asked for again: its outcome is of no use without the lease
	if _, err := c.change(r); err != nil {
		return err
	}
	return c.stream(r, io.MultiReader(bytes.NewReader(head), c.r.Body), blockSize)
}

// give executes an operation that gives a file these bytes, once if the request names the operation.
func (c *call) give(r namespace.Request, data []byte, blockSize int64) (namespace.Result, error) {
	if r.ID = c.operationID(); r.ID != "" {
		if result, err, known := c.tree.Outcome(r.ID); known {
			return result, err
		}
	}
	var result namespace.Result
	blocks, err := c.write(data, blockSize)
	if err == nil {
		r.Blocks = blocks
		result, err = c.change(r)
	}
	if err != nil {
		err = c.undo(blocks, err)
	}
	return result, err
}

// write makes blocks of a short body.
func (c *call) write(data []byte, blockSize int64) ([]namespace.Block, error) {
	if n := int64(len(data)); n == 0 || n > min(blockSize, block.PackLimit) {
		return block.Copy(c.r.Context(), c.store, bytes.NewReader(data), blockSize, c.names.NewBlock)
	}
	b, err := c.small.Put(c.r.Context(), data)
	if err != nil {
		return nil, err
	}
	return []namespace.Block{b}, nil
}

// stream adds a long body to a file that is open. Whatever goes wrong, the file is closed with what is durable.
func (c *call) stream(r namespace.Request, body io.Reader, blockSize int64) error {
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	go c.renew(ctx, r.Holder)
	blocks, copyErr := block.Copy(ctx, c.store, body, blockSize, c.names.NewBlock)
	finish := namespace.Request{Op: namespace.OpAddBlocks, Caller: c.who, Path: c.path, Holder: r.Holder, Blocks: blocks,
		Close: true}
	// Without the client's cancellation: it may have died, and the file is to be closed.
	if _, err := c.names.Do(context.WithoutCancel(ctx), finish); err != nil {
		return c.undo(blocks, err)
	}
	return copyErr
}

// renew keeps a writer's lease while its bytes arrive.
func (c *call) renew(ctx context.Context, holder string) {
	tick := time.NewTicker(namespace.SoftLimit / 3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := namespace.Request{Op: namespace.OpRenewLease, Caller: c.who, Holder: holder}
		if _, err := c.names.Do(ctx, r); err != nil {
			return // the end of the upload will tell why
		}
	}
}

// undo deletes blocks that no file got. Where nobody knows whether a file got them they stay, for fsck to find.
func (c *call) undo(blocks []namespace.Block, cause error) error {
	if !namespace.Refused(cause) {
		return cause
	}
	for _, b := range blocks {
		// A failure leaves an orphan, which fsck finds; the client is told the first cause.
		_ = block.Delete(context.WithoutCancel(c.r.Context()), c.store, b.ID)
	}
	return cause
}
