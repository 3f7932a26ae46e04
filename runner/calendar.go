package main

import (
	"context"
	"math"
	"time"

	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// calendar is the schedules of a place: this machine's book, or a fleet's control, which is asked.
type calendar interface {
	Schedules(ctx context.Context) ([]schedules.View, error)
	Schedule(ctx context.Context, name string) (schedules.View, error)
	SetSchedulePaused(ctx context.Context, name string, paused bool) (schedules.View, error)
	TriggerSchedule(ctx context.Context, name string) (cron.Trigger, error)
	RemoveSchedule(ctx context.Context, name string) error
}

func calendarOf(at place) (calendar, error) {
	if f, ok := at.(*fleet.Fleet); ok {
		return f.Control()
	}
	return homeCalendar{bookOf(at)}, nil
}

var _ calendar = (*client.Client)(nil)

// homeCalendar is the schedules of a home.
type homeCalendar struct{ cron.Book }

func (h homeCalendar) Schedules(ctx context.Context) ([]schedules.View, error) {
	return schedules.All(ctx, h.Book, time.Now())
}

func (h homeCalendar) Schedule(ctx context.Context, name string) (schedules.View, error) {
	return schedules.Get(ctx, h.Book, name, time.Now(), math.MaxInt)
}

func (h homeCalendar) SetSchedulePaused(ctx context.Context, name string, paused bool) (schedules.View, error) {
	if err := schedules.SetPaused(ctx, h.Book, name, paused, time.Now()); err != nil {
		return schedules.View{}, err
	}
	return h.Schedule(ctx, name)
}

func (h homeCalendar) TriggerSchedule(ctx context.Context, name string) (cron.Trigger, error) {
	return h.Trigger(ctx, name, "", time.Now())
}

func (h homeCalendar) RemoveSchedule(ctx context.Context, name string) error {
	if _, err := h.Get(ctx, name); err != nil {
		return err
	}
	return h.Remove(ctx, name)
}
