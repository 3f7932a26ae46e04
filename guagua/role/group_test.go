package role

import (
	"runtime"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// TestTurnsOfGroupsEndInTheMiddle begins turns while results of the turn before are still being added up: nobody waits
// for anybody for ever.
func TestTurnsOfGroupsEndInTheMiddle(t *testing.T) {
	d := &descent{size: 1, kind: guagua.Vectors}
	job := Job{Program: d.app(), Group: 2, Config: superstep.Defaults(2, 1), Largest: 16 << 20, Memory: 16 << 20}
	var work sync.WaitGroup
	g := newGroup(job, superstep.Member{}, &work)
	for turn := range uint64(1000) {
		g.begin(wire.Header{Position: superstep.Position{Epoch: 1, Turn: turn + 1}}, nil)
		now := g.turn.Load()
		var reading sync.WaitGroup
		goOn := make(chan struct{})
		reading.Add(2)
		for i := range 2 {
			work.Go(func() {
				h := wire.Header{Member: superstep.Member{Index: i}, Total: wire.Chunk + 8, Length: wire.Chunk}
				for _, read := range []func([]byte) error{
					func([]byte) error { reading.Done(); <-goOn; return nil }, func([]byte) error { return nil },
				} {
					if err := g.take(now, h, 0, false, read); err != nil {
						t.Error(err)
					}
					h.Offset, h.Length = wire.Chunk, 8
				}
			})
		}
		reading.Wait()
		close(goOn)
		for range turn % 200 { // somewhere in the middle
			runtime.Gosched()
		}
		if turn%3 == 0 {
			work.Wait()
			if !now.whole {
				t.Fatal("there is no sum of a turn that nobody has ended")
			}
		}
	}
	g.close()
	work.Wait()
}
