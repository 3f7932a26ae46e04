package fleet_test

import (
	"testing"

	"github.com/seed3322913c/runner/runner/blocks"
)

// TestBlocksAreKept counts the same words twice: the second time the input is on the machines that have read it, and the
// maps go there.
func TestBlocksAreKept(t *testing.T) {
	tr := newTrial(t)
	fetched := func(args ...string) int64 {
		t.Helper()
		e := tr.start(append([]string{"run", "crash.yaml", "--set", "pace=1ms"}, args...)...).end()
		tr.check()
		tr.nothingLeft(e.Job)
		disk, far := e.Counters.Get(blocks.CounterGroup, blocks.FromDisk), e.Counters.Get(blocks.CounterGroup, blocks.FromStore)
		t.Logf("%d bytes were on the machines, %d were not", disk, far)
		if disk+far < 2<<20 { // the size of the texts
			t.Errorf("only %d bytes are accounted for", disk+far)
		}
		return far
	}
	first, again := fetched(), fetched("--overwrite")
	if first == 0 || again >= first {
		t.Errorf("%d bytes came from the store at first, then %d", first, again)
	}
}
