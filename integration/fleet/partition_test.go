package fleet_test

import "testing"

// TestPartition pulls the network cable of a machine until the job is over without it: of one with executors or, half
// of the time, of the one with the application master. What runs there goes on, and reaches nobody; when it does again
// it finds that it was replaced, and does no harm.
func TestPartition(t *testing.T) {
	cut := ""
	survive(t, func(tr *trial) {
		cut = tr.one([]string{"executor", "am"}[tr.chance.IntN(2)]).Machine
		tr.t.Log("cut off ", cut)
		tr.must(tr.cluster.Cut(cut))
	}, func() error { return site.cluster.Mend(cut) }).struck(t)
}
