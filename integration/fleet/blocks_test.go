package fleet_test

import (
	"testing"

	"github.com/seed3322913c/runner/runner/blocks"
)

// TestBlocksAreKept counts the same words again and again: soon the input is on the machines that have read it, and the
// maps go there. Not always the second time, since an executor that is still ending keeps its blocks from the next one.
func TestBlocksAreKept(t *testing.T) {
	tr := newTrial(t)
	fetched := func(args ...string) int64 {
		t.Helper()
		e := tr.start(append([]string{"run", "crash.yaml", "--set", "pace=1ms"}, args...)...).end()
		tr.check()
		tr.nothingLeft(e.Job)
		disk, far := e.Counters.Get(blocks.CounterGroup, blocks.FromDisk),
			e.Counters.Get(blocks.CounterGroup, blocks.FromStore)
		t.Logf("%d bytes were on the machines, %d were not", disk, far)
		if disk+far < 2<<20 { // the size of the texts
			t.Errorf("only %d bytes are accounted for", disk+far)
		}
		return far
	}
	if fetched() == 0 {
		t.Error("nothing came from the store at first")
	}
	const tries = 6
	for range tries {
		if fetched("--overwrite") == 0 {
			return
		}
	}
	t.Errorf("after %d jobs some input still came from the store", tries)
}
