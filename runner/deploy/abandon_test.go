package deploy

import (
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/fleet"
)

// TestAbandonForgetsWhoIsGone has a teardown cut off when the fleet is gone, and nobody has forgotten yet how jobs
// reached it. How they reach one of its name that somebody else has stays known.
func TestAbandonForgetsWhoIsGone(t *testing.T) {
	for what, test := range map[string]struct {
		phase machines.Phase
		ca    string // of the fleet that is known to be reached
		stays bool
	}{
		"gone":                        {machines.Gone, "its own", false},
		"gone, and there is another":  {machines.Gone, "another's", true},
		"there, or about to be there": {machines.Applying, "its own", true},
	} {
		home := t.TempDir()
		rec := machines.Record{Request: machines.Request{Name: "night"}, Phase: test.phase,
			Outputs: &machines.Outputs{CA: "its own"}}
		record(t, home, rec)
		if err := (fleet.Cluster{Name: "night", CA: test.ca}).Save(home); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), home, "night", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Abandon(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.Load(home, "night"); (errs.KindOf(err) == errs.NotFound) == test.stays {
			t.Errorf("%s: how it is reached is known: %v", what, err)
		}
	}
}
