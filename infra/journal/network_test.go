package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// weather says how bad a network is: the probability of each mishap for each call.
type weather struct {
	slow      float64 // a request travels for up to a minute
	lost      float64 // a request never arrives
	lostReply float64 // it arrives, and its caller never hears of it
	duplicate float64 // it arrives again, up to ten minutes later
	pause     float64 // the process stands still for up to five minutes before it sends
}

// network is one process's way to a store, in the time of a synctest bubble. What happens to a call depends on the
// seed, the process, and which call on which object it is, so a run can be repeated.
type network struct {
	to      store.Store
	seed    uint64
	process string
	weather weather
	dead    chan struct{} // closed by kill

	mu    sync.Mutex
	calls map[string]int
}

func newNetwork(to store.Store, seed uint64, process string, w weather) *network {
	return &network{
		to: to, seed: seed, process: process, weather: w, dead: make(chan struct{}), calls: map[string]int{},
	}
}

// kill stops the process: it sends nothing any more. What is on its way arrives.
func (n *network) kill() { close(n.dead) }

// chance returns the random numbers of the next call of op on name.
func (n *network) chance(op string, name store.Name) *rand.Rand {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := fmt.Sprintf("%s %s %s", n.process, op, name)
	n.calls[id]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", id, n.calls[id])
	return rand.New(rand.NewPCG(n.seed, h.Sum64()))
}

func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// send makes a call across the network.
func (n *network) send(ctx context.Context, op string, name store.Name, do func() error) error {
	r := n.chance(op, name)
	happens := func(p float64) bool { return r.Float64() < p }
	there, back := upTo(r, 20*time.Millisecond), upTo(r, 20*time.Millisecond)
	if happens(n.weather.slow) {
		there = upTo(r, time.Minute)
	}
	lost, lostReply, duplicate := happens(n.weather.lost), happens(n.weather.lostReply), happens(n.weather.duplicate)
	again := upTo(r, 10*time.Minute)
	if happens(n.weather.pause) {
		time.Sleep(upTo(r, 5*time.Minute)) // whatever ctx says: nothing runs in this process
	}
	answer := make(chan error, 1)
	select {
	case <-n.dead:
		lost = true
	default:
	}
	if !lost {
		go func() {
			time.Sleep(there)
			err := do()
			time.Sleep(back)
			if !lostReply {
				answer <- err
			}
			if duplicate {
				time.Sleep(again)
				_ = do() // nobody hears the answer
			}
		}()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errs.E("network."+op, errs.Unavailable, name, ctx.Err())
	}
}

func (n *network) Create(_ context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	return &netWriter{n: n, name: name, opts: opts}, nil
}

// netWriter sends the whole object when it commits, as a PUT does.
type netWriter struct {
	bytes.Buffer
	n    *network
	name store.Name
	opts []store.CreateOption
}

func (w *netWriter) Commit(ctx context.Context) error {
	data := bytes.Clone(w.Bytes())
	return w.n.send(ctx, "put", w.name, func() error {
		return store.Put(context.Background(), w.n.to, w.name, data, w.opts...)
	})
}

func (w *netWriter) Abort(context.Context) error { return nil }

// Open answers from what was there when the request arrived; a duplicate of the request changes nothing.
func (n *network) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	got := make(chan []byte, 2)
	err := n.send(ctx, "get", name, func() error {
		rd, err := n.to.Open(context.Background(), name, r)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(rd)
		got <- data
		return err
	})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(<-got)), nil
}

func (n *network) Stat(context.Context, store.Name) (store.Info, error) {
	return store.Info{}, errors.ErrUnsupported // a journal has no use for it
}

func (n *network) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		got := make(chan []store.Info, 2)
		err := n.send(ctx, "list", store.Name(prefix), func() error {
			var all []store.Info
			for info, err := range n.to.List(context.Background(), prefix) {
				if err != nil {
					return err
				}
				all = append(all, info)
			}
			got <- all
			return nil
		})
		if err != nil {
			yield(store.Info{}, err)
			return
		}
		for _, info := range <-got {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (n *network) Delete(ctx context.Context, name store.Name) error {
	return n.send(ctx, "delete", name, func() error { return n.to.Delete(context.Background(), name) })
}

// CreateLog and OpenLog are calls of this machine's kernel, which no network delays; but a process may stand still.
func (n *network) CreateLog(ctx context.Context, name store.Name) (store.Log, error) {
	n.standStill(n.chance("make log", name))
	logs, _ := store.LogsOf(n.to)
	l, err := logs.CreateLog(ctx, name)
	return &netLog{n, name, l}, err
}

func (n *network) OpenLog(ctx context.Context, name store.Name) (store.Log, error) {
	n.standStill(n.chance("open log", name))
	logs, _ := store.LogsOf(n.to)
	l, err := logs.OpenLog(ctx, name)
	return &netLog{n, name, l}, err
}

func (n *network) standStill(r *rand.Rand) {
	if r.Float64() < n.weather.pause {
		time.Sleep(upTo(r, 5*time.Minute))
	}
}

type netLog struct {
	n    *network
	name store.Name
	store.Log
}

// Append may be the last thing that a process does, in which case all of it, or a beginning, is there; or fail
// likewise, as when a disk is full.
func (l *netLog) Append(p []byte) (int64, error) {
	r := l.n.chance("append", l.name)
	l.n.standStill(r)
	broken := errs.E("network.append", errs.Exhausted, l.name, nil)
	dead := r.Float64() < l.n.weather.lost/20
	select {
	case <-l.n.dead:
		dead = true
	default:
	}
	if dead {
		_, err := l.Log.Append(p[:r.IntN(len(p)+1)])
		return 0, errors.Join(broken, err)
	}
	at, err := l.Log.Append(p)
	time.Sleep(upTo(r, 20*time.Millisecond))
	l.n.standStill(r)
	return at, err
}
