package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/below"
)

// versionOf is what a gateway gives as the version of a file.
func versionOf(s namespace.Status) string { return fmt.Sprintf("%d-%d-%d", s.ID, s.Modified, s.Length) }

// openDirect reads the objects of a file from the store that has them. It returns nil, and no error, if the way leads
// through the gateway.
func (c *Client) openDirect(ctx context.Context, path string, offset, length int64) (*Reader, error) {
	if c.o.Resolve == nil || c.plain.Load() {
		return nil, nil
	}
	r := request{method: http.MethodGet, op: "LOCATEOBJECTS", path: path}
	var doc struct{ Located webhdfs.Located }
	if err := c.do(ctx, r, &doc); err != nil {
		if class, ok := classOf(err); ok && class == namespace.IllegalArgument {
			c.plain.Store(true) // a NameNode
			return nil, nil
		}
		return nil, err
	}
	l := doc.Located
	st := c.storeOf(ctx, l.Store, l.Cluster)
	if st == nil {
		return nil, nil
	}
	blocks := make([]namespace.Block, len(l.Objects))
	for i, o := range l.Objects {
		if string(block.ObjectName(o.Block)) != o.Name || len(o.MD5) != len(blocks[i].MD5) {
			return nil, c.told(r, errs.Errorf("client.Open", errs.Corrupt, o.Name, "not an object of a block"))
		}
		blocks[i] = namespace.Block{ID: o.Block, Length: o.Length, MD5: [16]byte(o.MD5), CRC: o.CRC}
	}
	if rest := max(l.Length-offset, 0); length < 0 || length > rest {
		length = rest
	}
	body, to := io.Pipe()
	go func() { to.CloseWithError(block.Write(ctx, st, to, blocks, offset, length)) }() // ends with the reader, too
	return &Reader{body: body, rest: length, at: offset, Size: l.Length, Version: l.Version}, nil
}

// storeOf opens the store of a gateway if this process can reach it, and it is the same one: another machine may have
// another folder of that name.
func (c *Client) storeOf(ctx context.Context, uri, cluster string) store.Store {
	if uri == "" || cluster == "" {
		return nil
	}
	c.direct.Lock()
	defer c.direct.Unlock()
	if st, known := c.direct.stores[uri]; known {
		return st
	}
	st, name, err := c.o.Resolve(ctx, uri)
	if err == nil && name != "" {
		st, err = below.New(st, name)
	}
	if err == nil {
		var found []byte
		if found, err = store.Get(ctx, st, webhdfs.ClusterName, 1<<10); err == nil && string(found) != cluster {
			err = errs.Errorf("client.Open", errs.NotFound, uri, "another store than the gateway's")
		}
	}
	if errs.KindOf(err) == errs.Canceled {
		return nil // which says nothing about the store
	}
	if err != nil {
		st = nil
	}
	c.direct.stores[uri] = st
	return st
}
