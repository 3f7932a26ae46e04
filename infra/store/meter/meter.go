// Package meter counts what a store does, and for whom: a call is added to the Count that its context carries.
//
//	var used meter.Count
//	st.Open(meter.With(ctx, &used), name, all)     // st is meter.New(...), wherever it was opened, and shared with others
//
// Unlike package metrics, which tells what a process does, it tells what one piece of work of many has used.
package meter

import (
	"context"
	"sync/atomic"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
)

// Count is what was asked of stores. A call that fails counts too; one that the driver makes again counts once.
type Count struct {
	Requests atomic.Int64 // calls that a cloud would charge for, or nearly: an object of several parts is one for each
	Puts     atomic.Int64 // those of them that write or list, for which clouds charge ten times as much
	Read     atomic.Int64 // bytes
	Written  atomic.Int64 // bytes
}

// key is where a context has its Count.
type key struct{}

// With returns a context whose calls are added to c.
func With(ctx context.Context, c *Count) context.Context { return context.WithValue(ctx, key{}, c) }

// New returns st with its calls counted.
func New(st store.Store) *around.Store {
	return around.New(st, func(ctx context.Context, call around.Call, do func([]byte) (int, error)) (int, error) {
		n, err := do(call.Data)
		c, ok := ctx.Value(key{}).(*Count)
		if !ok {
			return n, err
		}
		switch call.Op {
		case around.Commit, around.List, around.BeginUpload, around.UploadPart, around.CompleteUpload, around.Uploads:
			c.Puts.Add(1)
		}
		switch call.Op {
		case around.Read:
			c.Read.Add(int64(n))
		case around.Write:
			c.Written.Add(int64(n))
		case around.UploadPart:
			c.Written.Add(int64(n))
			c.Requests.Add(1)
		case around.Any, around.Create, around.Abort, around.Next: // nothing is sent, or not each time
		default:
			c.Requests.Add(1)
		}
		return n, err
	})
}
