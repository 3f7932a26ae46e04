package fakecloud

import (
	"slices"
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
// once, and gets the worker that its job needs; then nothing runs again, long before the switch would fire.
func (u *user) isWoken() {
	again := slices.Clone(deploy)
	fixed := slices.Index(again, "--workers")
	again = append(slices.Delete(again, fixed, fixed+2), "--min", "0", "--max", "2", "--cooldown", "1s", "--idle", "1m", "--yes")
	slot := time.Now().UTC().Add(-5 * time.Minute).Truncate(time.Minute)
	add := []string{
		"schedule", "add", "nightly", "--cluster", name, "--cron", slot.Format("4 15 * * *"), "--wake", "1h", "--replace",
		"--", "run", "wordcount", "--input", at("in"), "--output", at("woken-{{.FireTime}}"),
	}
	for tries := 1; ; tries++ { // it may be asleep already
		u.run(again...)
		cmd, _, stderr := u.command(add...)
		if cmd.Run() == nil {
			break
		}
		if u.Logf("add: %s", tailOf(stderr.String())); tries == 3 {
			u.Fatal("a schedule can't be added")
		}
	}
	u.sleeps()

	book := cron.Book{Store: u.kept()}
	u.passDay(book)
	if fired, err := u.cloud.Wake(u.Context()); err != nil || fired != 2 {
		u.Fatalf("the cloud wakes %d groups, %v", fired, err)
	}
	var past cron.Past
	await(u.T, u.cloud, "the firing", func() bool {
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
