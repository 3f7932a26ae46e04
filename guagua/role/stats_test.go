package role

import (
	"encoding/json"
	"testing"

	"github.com/seed3322913c/runner/scheduler"
)

// TestSummaryOfMany: the result of an attempt has a limit, the number of workers has not.
func TestSummaryOfMany(t *testing.T) {
	const workers = 100_000
	s := newStats(workers)
	for i := range s.workers {
		s.workers[i] = Worker{Compute: 1234.5678901, Broadcast: 1.0 / 3, Transfer: 2.0 / 3, Wait: 9999.87654321, Missing: 77}
	}
	s.workers[workers-1].Late = 1.25
	latest := s.latest()
	if len(latest) != maxSummed || latest[0].Index != 0 || latest[maxSummed-1].Index != workers-1 ||
		latest[maxSummed-1].Late != 1.25 {
		t.Errorf("%d workers, the first %+v, the last %+v", len(latest), latest[0], latest[len(latest)-1])
	}
	data, err := json.Marshal(Summary{Members: workers, Workers: latest})
	if err != nil || len(data) > scheduler.MaxOutput/2 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
