package fakecloud

import (
	"slices"
	"strings"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/below"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// isWoken lets a slot come while no machine of the fleet runs. The cloud starts the servers; control fires the slot,
// once, and gets the worker that its job needs. Then there is no job for the time that was agreed, and the servers end
// the fleet, without any client, and long before the switch would fire.
func (u *user) isWoken() {
	again := slices.Clone(deploy)
	fixed := slices.Index(again, "--workers")
	again = append(slices.Delete(again, fixed, fixed+2), "--min", "0", "--max", "2", "--cooldown", "1s", "--yes")
	slot := time.Now().UTC().Add(-5 * time.Minute).Truncate(time.Minute)
	u.run(append(slices.Clone(again), "--idle", "30m")...) // or it might sleep before it has the schedule
	u.run(
		"schedule", "add", "nightly", "--cluster", name, "--cron", slot.Format("4 15 * * *"), "--wake", "1h", "--replace",
		"--", "run", "wordcount", "--input", at("in"), "--output", at("woken-{{.FireTime}}"),
	)
	u.run(append(again, "--idle", "1m", "--no-wait")...) // of machines that boot from now on
	u.sleeps()

	book := cron.Book{Store: u.kept()}
	u.passDay(book)
	if fired, err := u.cloud.Wake(u.Context()); err != nil || fired != 2 {
		u.Fatalf("the cloud wakes %d groups, %v", fired, err)
	}
	var past cron.Past
	var servers []string
	await(u.T, u.cloud, "the firing", func() bool {
		servers = u.cloud.Running("server")
		history, err := book.History(u.Context())
		u.does(err)
		past = history.Of("nightly")
		return len(past.Firings) > 0 && past.Firings[0].State.Final()
	})
	if f := past.Firings; len(f) != 1 || !f[0].Slot.Equal(slot) || f[0].State != cron.Succeeded {
		u.Errorf("of slot %v has become %+v", slot, f)
	}
	p, err := aws.New(u.Context(), fleettest.Region)
	u.does(err)
	var ends time.Time
	await(u.T, u.cloud, "the time of the slot", func() bool {
		ends, err = p.Deadline(u.Context(), name)
		u.does(err)
		return !ends.Before(slot.Add(time.Hour + cron.BootTime))
	})
	u.awaitNobody()
	if time.Now().After(ends) {
		u.Errorf("nobody ran any more at %v, when the switch had fired at %v", time.Now(), ends)
	}
	if !slices.ContainsFunc(servers, func(id string) bool {
		d, _ := u.cloud.Departure(id)
		return strings.Contains(d.Said, "no job has run; the fleet ends")
	}) {
		u.Errorf("none of %v has ended the fleet because there was no job", servers)
	}
}

// sleeps has the fleet end all its machines, as its idle timer does.
func (u *user) sleeps() {
	p, err := aws.New(u.Context(), fleettest.Region)
	u.does(err)
	u.does(p.Stop(u.Context(), name))
	u.awaitNobody()
}

// kept is what the fleet keeps of its jobs, also while it sleeps.
func (u *user) kept() store.Store {
	u.Helper()
	rec, err := machines.Load(u.home, name)
	u.does(err)
	bucket, err := s3.Open(u.Context(), s3.Config{Bucket: rec.Bucket})
	u.does(err)
	st, err := below.New(bucket, ".runner")
	u.does(err)
	return st
}

// passDay has the schedule be a day older than it is, so that its slot has come.
func (u *user) passDay(book cron.Book) {
	u.Helper()
	s, err := book.Get(u.Context(), "nightly")
	u.does(err)
	s.Since = s.Since.AddDate(0, 0, -1)
	u.does(book.Replace(u.Context(), s))
}
