package kv

import (
	"context"
	"sync"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// listener gives what workers write to their links, and makes a new link of every join with a number that is new.
type listener struct {
	transport *Transport
	secret    wire.Secret
	folder    string
	ready     chan *conn
	done      <-chan struct{} // closed with the listener
	end       func()
	work      sync.WaitGroup

	mu    sync.Mutex
	links map[int]*conn // the newest of each worker
}

func (l *listener) run(ctx context.Context) {
	var keys []coord.Key
	index := map[coord.Key]int{}
	for i := range l.transport.o.Workers {
		k := key(l.folder, "up", i)
		keys, index[k] = append(keys, k), i
	}
	l.transport.follow(ctx, l.folder+"/up-", keys, func(k coord.Key, v coord.Value) {
		if i, ok := index[k]; ok {
			l.hear(ctx, i, v)
		}
	})
}

// hear takes a worker's last message.
func (l *listener) hear(ctx context.Context, index int, v coord.Value) {
	said, ok := open(l.secret, v.Data)
	if !ok {
		return
	}
	l.mu.Lock()
	c := l.links[index]
	l.mu.Unlock()
	if c != nil && c.number == said.link {
		c.hear(said)
		return
	}
	h, _, _, err := wire.ParseFrame(said.data)
	if err != nil || h.Kind != wire.Join || h.Member.Index != index {
		return // the end of a link that is not known, or its middle: whoever it is will join again
	}
	c = newConn(ctx, l.transport, l.secret, said.link)
	c.folder, c.direction, c.worker = l.folder, "down", index
	c.hear(said)
	select {
	case l.ready <- c:
		l.mu.Lock()
		l.links[index] = c
		l.mu.Unlock()
	case <-l.done:
	}
}

// Accept implements link.Listener.
func (l *listener) Accept() (link.Link, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, errs.Errorf(op, errs.Canceled, l.folder, "the listener is closed")
	}
}

// Address implements link.Listener.
func (l *listener) Address() string { return l.folder }

// Close implements link.Listener. It takes the door away, and what workers have written; what was written to them stays
// until they have read it, or for good: a few small keys.
func (l *listener) Close() error {
	select {
	case <-l.done:
		return nil
	default:
	}
	l.end()
	l.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := l.transport.put(ctx, door(l.folder), nil)
	for i := range l.transport.o.Workers {
		if perr := l.transport.put(ctx, key(l.folder, "up", i), nil); err == nil {
			err = perr
		}
	}
	return err
}
