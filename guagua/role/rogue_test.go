package role

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// rogue is a worker that sends what it should, and besides that whatever must not count.
type rogue struct {
	link link.Link
	me   superstep.Member
	w    *descentWorker
}

// TestLateTwiceAndWrong: results for another turn, another epoch, or a second time change nothing; and who does not
// leave when it is told keeps the master for as long as Config.Linger and no longer.
func TestLateTwiceAndWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, total, size = 2, 8, 3
		d := &descent{size: size, kind: guagua.Vectors}
		y := newYard(t, d.app(), workers, total)
		y.start(t.Context(), guagua.MasterIndex)
		y.start(t.Context(), 0)
		me := superstep.Member{Index: 1}
		r := rogue{me: me, w: &descentWorker{d: d, env: &guagua.Env{Worker: me.Index}, out: make([]float64, size)}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		follow(ctx, y.job.Coord, Key(y.job.ID), func(n notice) {
			l, err := y.links.Dial(ctx, n.Address, y.job.secret(n.Epoch))
			if err != nil {
				t.Error(err)
			} else if r.link = l; true {
				r.run(t, n.Epoch)
			}
			cancel()
		})
		begun := time.Now()
		if y.finished() != reference(size, workers, total) {
			t.Error("the outcome differs")
		}
		if waited := time.Since(begun); waited != y.job.Config.Linger {
			t.Errorf("the master waited for %v at the end", waited)
		}
		if want := 4*total + total - 1; y.summary.Late < want { // the last turn's may come when all is done
			t.Errorf("%d pieces were dropped, want %d", y.summary.Late, want)
		}
		r.link.Close()
	})
}

// run obeys until it is dismissed.
func (r *rogue) run(t *testing.T, epoch uint64) {
	h, body := wire.JoinMessage(superstep.Join{Epoch: epoch, From: r.me, Serial: 1})
	if err := r.link.Send(t.Context(), h, wire.NewMessage(body)); err != nil {
		t.Error(err)
	}
	for {
		h, err := r.link.Read()
		if err != nil || h.Kind == wire.Dismiss {
			if err != nil {
				t.Error(err)
			}
			return
		}
		master := make([]byte, h.Length)
		if err := r.link.Body(master); err != nil {
			t.Error(err)
		}
		if h.Kind == wire.Announce {
			r.answer(t, h, master)
		}
	}
}

func (r *rogue) answer(t *testing.T, h wire.Header, master []byte) {
	var last []float64
	if h.Iteration > 0 {
		var err error
		if last, err = (guagua.Floats{}).Decode(master); err != nil {
			t.Error(err)
		}
	}
	right, err := r.w.Compute(t.Context(), &guagua.Step{Iteration: h.Iteration + 1}, last)
	if err != nil {
		t.Error(err)
	}
	wrong := make([]float64, len(right))
	send := func(p superstep.Position, v []float64) {
		out := wire.Header{Kind: wire.Result, Position: p, Member: r.me, Iteration: h.Iteration + 1}
		err := r.link.Send(t.Context(), out, wire.NewMessage(guagua.FloatBytes(v)))
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	at := h.Position
	send(superstep.Position{Epoch: at.Epoch, Turn: at.Turn - 1}, wrong) // late
	send(superstep.Position{Epoch: at.Epoch, Turn: at.Turn + 1}, wrong) // early
	send(superstep.Position{Epoch: at.Epoch - 1, Turn: at.Turn}, wrong) // for a master that is gone
	send(superstep.Position{Epoch: at.Epoch + 1, Turn: at.Turn}, wrong) // for one that will come
	send(at, right)
	send(at, wrong) // twice
}
