package cron

import (
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestMachinesThatAreWokenEnd(t *testing.T) {
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	s := Schedule{Name: "nightly", Cron: "0 2 * * *", Overlap: Skip, CatchUp: 1, Since: day, Wake: 2 * time.Hour}
	end := day.Add(4*time.Hour + BootTime)
	for _, c := range []struct {
		hour        float64
		want, sleep time.Time
	}{
		{1.9, time.Time{}, end},
		{2, end, end.AddDate(0, 0, 1)},
		{3, end, end.AddDate(0, 0, 1)},
		{4.3, end, end.AddDate(0, 0, 1)}, // however often they are started, it is no later
		{4.4, time.Time{}, end.AddDate(0, 0, 1)},
	} {
		now := day.Add(time.Duration(c.hour * float64(time.Hour)))
		if got := s.AwakeUntil(now); !got.Equal(c.want) {
			t.Errorf("at %v they are awake until %v, want %v", c.hour, got, c.want)
		}
		if got := s.AsleepUntil(now); !got.Equal(c.sleep) {
			t.Errorf("at %v they will have to end at %v, want %v", c.hour, got, c.sleep)
		}
	}
	now := day.Add(3 * time.Hour)
	for name, change := range map[string]func(*Schedule){
		"is paused":         func(s *Schedule) { s.Paused = true },
		"wakes nobody":      func(s *Schedule) { s.Wake = 0 },
		"begins after that": func(s *Schedule) { s.Since = now },
	} {
		other := s
		if change(&other); !other.AwakeUntil(now).IsZero() {
			t.Errorf("a schedule that %s keeps machines awake", name)
		}
	}
	often := s
	often.Cron = "*/10 * * * *"
	if got, want := often.AwakeUntil(now.Add(5*time.Minute)), now.Add(2*time.Hour+BootTime); !got.Equal(want) {
		t.Errorf("one of many slots keeps them awake until %v, want %v", got, want)
	}
}

func TestWakesThatCanNotWorkAreRefused(t *testing.T) {
	s := Schedule{Name: "nightly", Cron: "0 2 * * *", Overlap: Skip, CatchUp: 1, Wake: time.Hour}
	if err := s.Check(time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Schedule){
		"is short":    func(s *Schedule) { s.Wake = time.Minute },
		"is long":     func(s *Schedule) { s.Wake = 25 * time.Hour },
		"is negative": func(s *Schedule) { s.Wake = -time.Hour },
		"is missed":   func(s *Schedule) { s.CatchUp = 0 },
		"is jittered": func(s *Schedule) { s.Jitter = time.Minute },
	} {
		other := s
		if change(&other); errs.KindOf(other.Check(time.Now())) != errs.Invalid {
			t.Errorf("a wake that %s is taken", name)
		}
	}
}
