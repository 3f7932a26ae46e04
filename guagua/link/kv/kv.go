// Package kv links masters and workers through the keys of a coordinator: for small results, and where nothing but the
// coordinator can be reached by all.
//
//	job/<id>/guagua/<epoch>/door         the master takes workers in
//	job/<id>/guagua/<epoch>/up-<w>       the last message of worker w; pieces 1, 2 of it are in up-<w>.1, up-<w>.2
//	job/<id>/guagua/<epoch>/down-<w>     the last message to worker w
//
// A key holds one message, which the next one replaces. The protocol allows that: whoever speaks again has been
// answered, or what was said before is of no use any more. A value is
//
//	HMAC of the rest under the job's secret   32
//	link, message                             8 each: a number by chance, and a count
//	length of the message                     8: 0 if the link is closed
//	the message, frames of package wire, or a piece of it
//
// Later pieces are written first, so that whoever finds the first one finds them all, or parts of a newer message.
// Synchronous transports ask for the keys again and again, asynchronous ones watch them. A peer that dies leaves its
// keys behind; its successor's link has another number.
package kv

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

const op = "guagua.kv"

// Options describe a transport.
type Options struct {
	Job     string
	Workers int
	Poll    time.Duration // how often keys are asked for; 0: they are watched
}

// Transport is the link.Transport over a coordinator.
type Transport struct {
	coord coord.Coordinator
	o     Options
}

// New returns a transport.
func New(c coord.Coordinator, o Options) *Transport { return &Transport{c, o} }

func (t *Transport) folder(epoch uint64) string {
	return fmt.Sprintf("job/%s/guagua/%d", t.o.Job, epoch)
}

func door(folder string) coord.Key { return coord.Key(folder + "/door") }

// key is where a direction's messages to or from a worker are: "up" or "down".
func key(folder, direction string, worker int) coord.Key {
	return coord.Key(fmt.Sprintf("%s/%s-%d", folder, direction, worker))
}

// piece is where the i-th piece of a message is.
func piece(k coord.Key, i int) coord.Key {
	if i == 0 {
		return k
	}
	return coord.Key(fmt.Sprintf("%s.%d", k, i))
}

// Listen implements link.Transport.
func (t *Transport) Listen(ctx context.Context, s wire.Secret) (link.Listener, error) {
	d := &listener{
		transport: t, secret: s, folder: t.folder(s.Epoch), ready: make(chan *conn), links: map[int]*conn{},
	}
	if err := t.put(ctx, door(d.folder), s.Sign([]byte("door"))); err != nil {
		return nil, err
	}
	ctx, d.end = context.WithCancel(context.WithoutCancel(ctx)) // it lives until Close
	d.done = ctx.Done()
	d.work.Go(func() { d.run(ctx) })
	return d, nil
}

// Dial implements link.Transport. The address is the folder of the master's keys.
func (t *Transport) Dial(ctx context.Context, address string, s wire.Secret) (link.Link, error) {
	v, err := t.coord.Get(ctx, door(address))
	if err != nil {
		return nil, errs.E(op, errs.Other, address, err)
	}
	if v.Version == 0 {
		return nil, errs.Errorf(op, errs.Unavailable, address, "no master takes workers in there")
	}
	if !hmac.Equal(v.Data, s.Sign([]byte("door"))) {
		return nil, errs.Errorf(op, errs.Permission, address, "the other end does not know the secret of this job and epoch")
	}
	c := newConn(ctx, t, s, rand.Uint64())
	c.folder, c.direction = address, "up"
	return c, nil // what to listen to is known with the first words: the join says which worker this is
}

// put replaces a key's value, whatever it was.
func (t *Transport) put(ctx context.Context, k coord.Key, data []byte) error {
	for {
		v, err := t.coord.Get(ctx, k)
		if err == nil && (v.Version != 0 || data != nil) {
			_, err = t.coord.Swap(ctx, k, v.Version, data)
		}
		if errs.KindOf(err) == errs.Exist { // somebody else has just written
			continue
		}
		if err != nil {
			return errs.E(op, errs.Other, k, err)
		}
		return nil
	}
}

// letter is a value taken apart.
type letter struct {
	link, count uint64
	total       uint64
	data        []byte
}

const (
	letterHead = wire.SignLen + 24
	largest    = 192 << 10 // data of one value
)

func seal(s wire.Secret, l letter) []byte {
	b := make([]byte, wire.SignLen, letterHead+len(l.data))
	b = binary.LittleEndian.AppendUint64(b, l.link)
	b = binary.LittleEndian.AppendUint64(b, l.count)
	b = binary.LittleEndian.AppendUint64(b, l.total)
	b = append(b, l.data...)
	copy(b, s.Sign(b[wire.SignLen:]))
	return b
}

// open takes a value apart; ok is false if it is not from somebody who knows the secret.
func open(s wire.Secret, b []byte) (l letter, ok bool) {
	if len(b) < letterHead || !hmac.Equal(b[:wire.SignLen], s.Sign(b[wire.SignLen:])) {
		return l, false
	}
	b = b[wire.SignLen:]
	le := binary.LittleEndian
	return letter{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), b[24:]}, true
}

// follow calls each with the values of keys as they change, until ctx ends: those that are there first.
func (t *Transport) follow(ctx context.Context, prefix string, keys []coord.Key, each func(coord.Key, coord.Value)) {
	seen := map[coord.Key]coord.Version{}
	for ctx.Err() == nil {
		if t.o.Poll == 0 {
			for ev, err := range t.coord.Watch(ctx, prefix) {
				if err != nil {
					break // watch again
				}
				each(ev.Key, ev.Value)
			}
		}
		for _, k := range keys {
			if v, err := t.coord.Get(ctx, k); err == nil && v.Version != seen[k] {
				seen[k] = v.Version
				each(k, v)
			}
		}
		pause(ctx, max(t.o.Poll, time.Millisecond))
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
