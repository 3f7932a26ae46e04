package consul

import (
	"testing"

	"github.com/hashicorp/consul/api"
)

// TestNextIndex begins anew when the servers were restored from an older backup, and never asks without waiting for
// ever.
func TestNextIndex(t *testing.T) {
	for _, c := range []struct{ before, answered, want uint64 }{
		{0, 7, 7}, {7, 9, 9}, {7, 7, 7}, {9, 3, 0}, {0, 0, 1},
	} {
		if got := nextIndex(c.before, &api.QueryMeta{LastIndex: c.answered}); got != c.want {
			t.Errorf("%d answered with %d: got %d, want %d", c.before, c.answered, got, c.want)
		}
	}
}
