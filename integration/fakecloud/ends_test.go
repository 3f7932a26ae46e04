package fakecloud

import (
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/scaling"
)

// status is what the program says about the fleet.
type status struct {
	Bucket   string
	Expires  time.Time `json:"expires_at"`
	Trouble  string
	Machines []struct {
		ID, Role, State string
		Spot            bool
	}
	Health struct {
		Servers, Workers int
		Reports          []nodeinit.Report
	}
	Scalings []scaling.Event
}

func (u *user) status() (s status) {
	u.Helper()
	u.answer(&s, "status", "--cluster", name)
	return s
}

// awaitWorkers waits until so many workers take work, and none of them is the one that was lost.
func (u *user) awaitWorkers(n int, lost string) {
	u.Helper()
	await(u.T, u.cloud, "workers", func() bool {
		running := u.cloud.Running("worker")
		if len(running) != n || slices.Contains(running, lost) || u.status().Health.Workers != n {
			return false
		}
		list, err := u.control().Nodes(u.Context())
		ready := 0
		for _, node := range list.Nodes {
			if slices.Contains(running, u.cloud.At(node.Address)) && node.State == "ready" {
				ready++
			}
		}
		return err == nil && ready == n
	})
}

// breathes lets the fleet choose its size: none for no job, some for one. There are no spot machines, so it takes
// others, and says so. Those that it ends have time to drain.
func (u *user) breathes() {
	before := u.cloud.Running("worker")
	u.run("scale", name, "--min", "0", "--max", "2", "--cooldown", "1s")
	u.hurries()
	u.awaitWorkers(0, "")
	for _, id := range before {
		d, gone := u.cloud.Departure(id)
		if !gone || !d.Ready || !strings.Contains(d.Said, "the fleet is made smaller") {
			u.Errorf("%s goes so: %+v", id, d)
		}
	}
	u.does(u.cloud.Shortage(u.Context()))
	j := u.begins() // it may not end before its machines are owed for long enough
	j.arrival()
	await(u.T, u.cloud, "word that there are no spot machines", func() bool {
		return slices.ContainsFunc(u.status().Scalings, func(e scaling.Event) bool {
			return strings.Contains(e.Why, "the cloud has no spot machines")
		})
	})
	j.ends()
	u.does(u.cloud.Plenty(u.Context()))
	u.awaitWorkers(0, "")
}

// hurries lets the fleet wait no longer than a few seconds for spot machines, for which there is no flag.
func (u *user) hurries() {
	u.Helper()
	st, err := s3.Open(u.Context(), s3.Config{Bucket: u.status().Bucket, PathStyle: true, NoProbe: true})
	u.does(err)
	book := scaling.Book{Depot: nodeinit.Depot{Store: st, Base: "_runner"}}
	settings, err := book.Settings(u.Context())
	u.does(err)
	settings.SpotPatience = 5 * time.Second
	u.does(book.Set(u.Context(), settings))
}

// timeComes lets the dead-man switch fire while no client runs. Then no machine is there, nor anything else that is
// paid for by the hour, and people are told.
func (u *user) timeComes() {
	u.run("scale", name, "--workers", "1")
	u.awaitWorkers(1, "")
	for _, at := range []struct {
		time  time.Time
		fires int
	}{{u.status().Expires.Add(-time.Minute), 0}, {u.status().Expires, 2}} {
		if fired, err := u.cloud.Fire(u.Context(), at.time); err != nil || fired != at.fires {
			u.Fatalf("at %v %d switches fire, %v; want %d", at.time, fired, err, at.fires)
		}
	}
	u.awaitNobody()
	if s := u.status(); len(s.Machines) > 0 || s.Health.Servers > 0 || s.Trouble == "" {
		u.Errorf("after its end its status is %+v", s)
	}
	if text := u.run("status", "--cluster", name); !strings.Contains(text, "No machine runs") {
		u.Errorf("people are told %q", text)
	}
	p, err := aws.New(u.Context(), fleettest.Region)
	u.does(err)
	left, err := p.Scan(u.Context(), name)
	u.does(err)
	if len(left) == 0 {
		u.Error("a scan finds nothing of a fleet that is not removed")
	}
	for _, r := range left {
		if slices.Contains([]string{"instance", "volume", "network-interface", "address", "nat-gateway"}, r.Kind) {
			u.Errorf("%v is paid for after the end", r)
		}
	}
	u.nothingToCollect() // what is left belongs to a fleet that is known
}

// awaitNobody waits until no machine runs.
func (u *user) awaitNobody() {
	u.Helper()
	await(u.T, u.cloud, "the end of all machines", func() bool {
		return len(u.cloud.Running("server"))+len(u.cloud.Running("worker")) == 0
	})
}

func (u *user) nothingToCollect() {
	u.Helper()
	var left []any
	if u.answer(&left, "gc", "--provider", "aws", "--region", fleettest.Region, "--dry-run"); len(left) > 0 {
		u.Errorf("something is left: %v", left)
	}
}
