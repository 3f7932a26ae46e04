package queues

import "testing"

// TestFleet: a full fleet keeps busy, gives the queues what they are guaranteed, and treats equals alike.
func TestFleet(t *testing.T) {
	for seed := range uint64(3) {
		r, err := Run(Options{Nodes: 300, Tasks: 6000, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", r)
		if r.Busy < 0.9 || r.Guarantee < 0.9 || r.Worst < 0.7 || r.Fair < 0.8 {
			t.Errorf("seed %d: %+v", seed, r)
		}
	}
}
