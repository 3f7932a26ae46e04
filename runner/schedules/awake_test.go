package schedules

import (
	"context"
	"testing"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// lever is a dead-man switch.
type lever struct {
	at    time.Time
	moved int
}

func (l *lever) Deadline(context.Context, string) (time.Time, error) { return l.at, nil }

func (l *lever) Adjust(_ context.Context, _ string, c machines.Change) error {
	l.at = c.ExpiresAt
	l.moved++
	return nil
}

func TestMachinesStayAwakeForTheirSlot(t *testing.T) {
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	book := cron.Book{Store: mem.New()}
	for name, wake := range map[string]time.Duration{"nightly": 2 * time.Hour, "short": time.Hour, "other": 0} {
		s := cron.Schedule{
			Name: name, Cron: "0 2 * * *", Overlap: cron.Skip, CatchUp: 1, Since: day, Wake: wake, Work: []byte(`{}`),
		}
		if err := book.Add(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	l := &lever{at: day.Add(-time.Hour)} // it has fired long ago
	var told time.Time
	a := Awake{Book: book, Switch: l, Cluster: "demo", Moved: func(_ context.Context, at time.Time) error {
		told = at
		return nil
	}}
	look := func(hour float64, moved int) {
		t.Helper()
		if err := a.look(t.Context(), day.Add(time.Duration(hour*float64(time.Hour)))); err != nil {
			t.Fatal(err)
		}
		if l.moved != moved {
			t.Errorf("at %v the switch was moved %d times, want %d", hour, l.moved, moved)
		}
	}
	look(1, 0) // somebody else has started them
	look(2.05, 1)
	if want := day.Add(4*time.Hour + cron.BootTime); !l.at.Equal(want) || !told.Equal(want) {
		t.Errorf("they end at %v, and %v was told, want %v", l.at, told, want)
	}
	look(2.1, 1)
	look(4.1, 1) // they were started anew: their time is the same
	look(5, 1)   // it is over
	l.at = day.Add(48 * time.Hour)
	look(26.1, 1) // somebody has wanted more
}
