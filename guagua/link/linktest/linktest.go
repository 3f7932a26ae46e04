// Package linktest is the suite that every driver of package link passes.
package linktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

var secret = wire.Secret{Secret: "s3cret", Job: "7k2f-sum", Epoch: 4}

// Run tests a transport. largest is the longest body that it must carry.
func Run(t *testing.T, largest int, open func(t *testing.T) link.Transport) {
	tests := map[string]func(*testing.T, link.Transport, int){
		"messages go both ways": bothWays, "strangers stay outside": strangers, "a closed link is broken": closing,
		"many workers": many, "a worker comes again": again,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t), largest) })
	}
}

func listen(t *testing.T, tr link.Transport) link.Listener {
	t.Helper()
	l, err := tr.Listen(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair makes a link of a worker and says its join, which every worker does first.
func pair(t *testing.T, tr link.Transport, door link.Listener, who superstep.Member, serial uint64) (w, m link.Link) {
	t.Helper()
	w, err := tr.Dial(t.Context(), door.Address(), secret)
	if err != nil {
		t.Fatal(err)
	}
	h, body := wire.JoinMessage(superstep.Join{Epoch: secret.Epoch, From: who, Serial: serial})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { send(t, w, h, body) })
	if m, err = door.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); m.Close() })
	h, got := receive(t, m)
	if j, err := wire.ParseJoin(h, got); err != nil || j.From != who || j.Serial != serial {
		t.Fatalf("joined as %+v, %v", j, err)
	}
	return w, m
}

func send(t *testing.T, l link.Link, h wire.Header, body []byte) {
	t.Helper()
	if err := l.Send(t.Context(), h, wire.NewMessage(body)); err != nil {
		t.Error(err)
	}
}

func receive(t *testing.T, l link.Link) (wire.Header, []byte) {
	t.Helper()
	var all []byte
	for {
		h, err := l.Read()
		if err != nil {
			t.Error(err)
			return h, nil
		}
		piece := make([]byte, h.Length)
		if err := l.Body(piece); err != nil {
			t.Error(err)
			return h, nil
		}
		if h.Offset != int64(len(all)) {
			t.Errorf("piece at %d after %d bytes", h.Offset, len(all))
		}
		if all = append(all, piece...); h.Last() {
			return h, all
		}
	}
}

func bothWays(t *testing.T, tr link.Transport, largest int) {
	w, m := pair(t, tr, listen(t, tr), superstep.Member{Index: 3, Attempt: 1}, 1)
	for turn, n := range []int{0, 1, wire.Chunk, largest} {
		body := bytes.Repeat([]byte{byte(turn), 1, 2}, n/3+1)[:n]
		for _, way := range []struct {
			from, to link.Link
			kind     wire.Kind
		}{{m, w, wire.Announce}, {w, m, wire.Result}} {
			h := wire.Header{Kind: way.kind, Iteration: turn, Member: superstep.Member{Index: 3, Attempt: 1}}
			h.Position = superstep.Position{Epoch: secret.Epoch, Turn: uint64(turn) + 1}
			var wg sync.WaitGroup
			wg.Go(func() { send(t, way.from, h, body) })
			got, data := receive(t, way.to)
			wg.Wait()
			if got.Kind != h.Kind || got.Position != h.Position || got.Iteration != turn || !bytes.Equal(data, body) {
				t.Errorf("%v of %d bytes: got %v %v of %d", h.Kind, n, got.Kind, got.Position, len(data))
			}
		}
	}
}

func strangers(t *testing.T, tr link.Transport, _ int) {
	door := listen(t, tr)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer door.Close()
	wg.Go(func() {
		if l, err := door.Accept(); err == nil {
			t.Error("a stranger was let in")
			l.Close()
		}
	})
	wrong, old := secret, secret
	wrong.Secret, old.Epoch = "x", 3
	for _, s := range []wire.Secret{{}, wrong, old} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if l, err := tr.Dial(ctx, door.Address(), s); err == nil {
			t.Errorf("%+v: connected", s)
			l.Close()
		} else if !errors.Is(err, errs.Permission) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func closing(t *testing.T, tr link.Transport, _ int) {
	door := listen(t, tr)
	for _, worker := range []bool{true, false} {
		w, m := pair(t, tr, door, superstep.Member{}, uint64(time.Now().UnixNano()))
		one, other := w, m
		if !worker {
			one, other = m, w
		}
		if err := errors.Join(one.Close(), one.Close()); err != nil {
			t.Error(err)
		}
		for name, l := range map[string]link.Link{"own": one, "other": other} {
			if _, err := l.Read(); !errors.Is(err, errs.Unavailable) {
				t.Errorf("%s end after Close (by worker: %v): %v", name, worker, err)
			}
		}
	}
	door.Close()
	if _, err := door.Accept(); !errors.Is(err, errs.Canceled) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func many(t *testing.T, tr link.Transport, _ int) {
	const workers, turns = 8, 20
	door := listen(t, tr)
	var wg sync.WaitGroup
	for i := range workers {
		me := superstep.Member{Index: i}
		w, m := pair(t, tr, door, me, 1)
		wg.Go(func() { // the worker answers every announce
			for range turns {
				h, body := receive(t, w)
				send(t, w, wire.Header{Kind: wire.Result, Position: h.Position, Member: me}, append(body, byte(i)))
			}
		})
		wg.Go(func() {
			for turn := range turns {
				at := superstep.Position{Epoch: secret.Epoch, Turn: uint64(turn) + 1}
				send(t, m, wire.Header{Kind: wire.Announce, Position: at, Member: me}, []byte{byte(turn)})
				h, body := receive(t, m)
				if h.Position != at || !bytes.Equal(body, []byte{byte(turn), byte(i)}) {
					t.Errorf("worker %d, turn %d: %v %v", i, turn, h.Position, body)
				}
			}
		})
	}
	wg.Wait()
}

// again: a worker that joins a second time, or whose successor joins, gets a link of its own.
func again(t *testing.T, tr link.Transport, _ int) {
	door := listen(t, tr)
	for attempt := range 2 {
		for serial := range uint64(2) {
			me := superstep.Member{Index: 1, Attempt: attempt}
			w, m := pair(t, tr, door, me, serial+1)
			body := fmt.Appendf(nil, "%v %d", me, serial)
			var wg sync.WaitGroup
			wg.Go(func() { send(t, m, wire.Header{Kind: wire.Announce, Member: me}, body) })
			if _, got := receive(t, w); !bytes.Equal(got, body) {
				t.Errorf("got %q, want %q", got, body)
			}
			wg.Wait()
		}
	}
}
