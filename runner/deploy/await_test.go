package deploy

import (
	"testing"

	"github.com/seed3322913c/runner/runner/nodeinit"
)

// TestHopeless says when waiting for a fleet changes nothing any more.
func TestHopeless(t *testing.T) {
	reports := func(states ...nodeinit.State) (all []nodeinit.Report) {
		for _, s := range states {
			all = append(all, nodeinit.Report{State: s})
		}
		return all
	}
	for what, test := range map[string]struct {
		health Health
		want   bool
	}{
		"nobody has said anything": {Health{OfServers: 1, OfWorkers: 1}, false},
		"one tries again":          {Health{Servers: 1, OfServers: 1, OfWorkers: 1, Reports: reports(nodeinit.Failed)}, false},
		"one has given up, another still boots": {
			Health{Servers: 1, OfServers: 1, OfWorkers: 2, Reports: reports(nodeinit.Broken, nodeinit.Starting)}, false,
		},
		"all are there but who has given up": {
			Health{Servers: 1, OfServers: 1, Workers: 1, OfWorkers: 2, Reports: reports(nodeinit.Broken, nodeinit.Ready)}, true,
		},
		"all have given up": {Health{OfServers: 1, OfWorkers: 1, Reports: reports(nodeinit.Broken, nodeinit.Broken)}, true},
		"all are there":     {Health{Servers: 1, OfServers: 1, Workers: 1, OfWorkers: 1}, false},
	} {
		if got := test.health.hopeless(); got != test.want {
			t.Errorf("%s: %v, want %v", what, got, test.want)
		}
	}
}
