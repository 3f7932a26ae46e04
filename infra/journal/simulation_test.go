package journal_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
)

var (
	seeds     = flag.Int("seeds", 100, "how many runs each simulation makes")
	firstSeed = flag.Uint64("seed", 1, "the first of them")
)

// TestSeveralLeadersOverABadNetwork lets processes lead without any lease, append, checkpoint, truncate, pause, die and
// come back, over networks that delay, lose and repeat everything, while others follow and read. Whatever happens, each
// acknowledged record is in the log once, at its place; what was denied is not; and nobody ever reads anything else.
func TestSeveralLeadersOverABadNetwork(t *testing.T) {
	runs := *seeds
	if testing.Short() {
		runs = min(runs, 30)
	}
	for i := range uint64(runs) {
		seed := *firstSeed + i
		r := rand.New(rand.NewPCG(seed, 0))
		some := func(most float64) float64 { return max(0, r.Float64()*2-1) * most } // nothing at all, half of the time
		w := weather{slow: some(0.3), lost: some(0.2), lostReply: some(0.3), duplicate: some(0.5), pause: some(0.1)}
		synctest.Test(t, func(t *testing.T) { simulate(t, seed, w) })
		if t.Failed() {
			t.Fatalf("seed %d, %+v: repeat it with -seed %d -seeds 1", seed, w, seed)
		}
	}
}

func simulate(t *testing.T, seed uint64, w weather) {
	truth, h := mem.New(), newHistory()
	ctx, stop := context.WithCancel(t.Context())
	var leaders, watchers sync.WaitGroup
	for p := range 3 {
		leaders.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(p)+1))
			for life := range 4 {
				name := fmt.Sprintf("%d.%d", p, life)
				(&process{name, r, newNetwork(truth, seed, name, w), h}).live(ctx)
				time.Sleep(upTo(r, time.Minute))
			}
		})
	}
	watchers.Go(func() { follow(ctx, t, newNetwork(truth, seed, "follower", w), h) })
	watchers.Go(func() { readOften(ctx, newNetwork(truth, seed, "reader", w), h) })
	leaders.Wait()
	stop()
	watchers.Wait()
	time.Sleep(time.Hour) // whatever is still on its way arrives
	final := read(t, truth)
	if wrong := h.check(final); len(wrong) > 0 {
		t.Errorf("%s\nthe log at the end: %v", strings.Join(wrong, "\n"), final)
	}
	if len(h.epochs) == 0 && w == (weather{}) {
		t.Error("nobody ever led")
	}
}

// process is one life of a process that tries to lead.
type process struct {
	name string
	r    *rand.Rand
	net  *network
	h    *history
}

func (p *process) options() journal.Options {
	return journal.Options{
		Writer: p.name, Try: time.Second, GiveUp: time.Minute, CheckpointEntries: []int{1, 2, 5, -1}[p.r.IntN(4)],
		Segments: p.r.IntN(3) > 0,
	}
}

func (p *process) live(ctx context.Context) {
	s := &values{}
	o := p.options()
	var l *journal.Leader
	var err error
	if p.r.IntN(2) == 0 {
		l, err = journal.Lead(ctx, p.net, "j", s, o)
	} else {
		l, err = p.standBy(ctx, s, o)
	}
	if err != nil {
		return // it gave up, as it may: the network is bad
	}
	p.h.lead(l.Epoch())
	var wg sync.WaitGroup
	for a := range 1 + p.r.IntN(3) {
		r := rand.New(rand.NewPCG(p.r.Uint64(), 0))
		wg.Go(func() { p.appendSome(ctx, fmt.Sprintf("%s.%d", p.name, a), r, l, s) })
	}
	if p.r.IntN(3) == 0 {
		time.Sleep(upTo(p.r, time.Minute))
		p.net.kill()
		_ = l.Close()
	}
	wg.Wait()
	if p.r.IntN(2) == 0 {
		_ = l.Checkpoint(ctx) // as a leader that was fenced long ago may
	}
	_ = l.Close()
}

// standBy follows for a while before it leads.
func (p *process) standBy(ctx context.Context, s *values, o journal.Options) (*journal.Leader, error) {
	f, err := journal.Follow(p.net, "j", s, o)
	if err != nil {
		return nil, err
	}
	for range p.r.IntN(20) {
		if err := f.CatchUp(ctx); err == nil {
			p.h.saw(s.get())
		}
		time.Sleep(upTo(p.r, 5*time.Second))
	}
	return f.Lead(ctx)
}

// appendSome appends records until it is told that the leadership is over.
func (p *process) appendSome(ctx context.Context, writer string, r *rand.Rand, l *journal.Leader, s *values) {
	for i := range 1 + r.IntN(12) {
		record := fmt.Sprintf("%s.%d", writer, i)
		ctx, cancel := context.WithTimeout(ctx, time.Second+upTo(r, 2*time.Minute))
		err := l.Append(ctx, []byte(record))
		cancel()
		switch {
		case err == nil:
			p.h.ack(writer, record, s.place(record))
		case errors.Is(err, errs.Canceled):
			p.h.deny(record)
		}
		if l.Err() != nil {
			return
		}
		time.Sleep(upTo(r, 10*time.Second))
		if r.IntN(8) == 0 {
			_ = l.Checkpoint(ctx)
		}
	}
}

// follow is a standby that never leads.
func follow(ctx context.Context, t *testing.T, net *network, h *history) {
	s := &values{}
	f, err := journal.Follow(net, "j", s, journal.Options{Try: time.Second, GiveUp: time.Minute})
	if err != nil {
		t.Error(err)
		return
	}
	for ctx.Err() == nil {
		if err := f.CatchUp(ctx); err == nil {
			h.saw(s.get())
		} else if !errors.Is(err, errs.Unavailable) && !errors.Is(err, errs.Canceled) {
			t.Errorf("the follower: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func readOften(ctx context.Context, net *network, h *history) {
	for ctx.Err() == nil {
		s := &values{}
		_, err := journal.Read(ctx, net, "j", s, journal.Options{Try: time.Second, GiveUp: time.Minute})
		if err == nil {
			h.saw(s.get())
		}
		time.Sleep(3 * time.Second)
	}
}
