package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// ScheduleList is a page of schedules, in order of their names.
type ScheduleList struct {
	Schedules []schedules.View `json:"schedules"`
	Next      string           `json:"next,omitempty"` // what to say as after for the next page
}

// FiringList is a page of what became of a schedule's slots, the latest first.
type FiringList struct {
	Firings []schedules.Firing `json:"firings"`
	Next    string             `json:"next,omitempty"` // what to say as after for the next page
}

// ScheduleRequest asks for a schedule. Exactly one of Spec and Work is set.
type ScheduleRequest struct {
	Cron    string       `json:"cron"`
	Zone    string       `json:"zone,omitempty"`
	Overlap cron.Overlap `json:"overlap,omitempty"`       // skip by default
	CatchUp *int         `json:"catchUp,omitempty"`       // 1 by default
	Jitter  float64      `json:"jitterSeconds,omitempty"` // 0 by default
	Wake    float64      `json:"wakeSeconds,omitempty"`   // 0 by default
	// Spec is a job's specification, an object, with absolute paths.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Work was compiled already, and what it has on one machine was shipped.
	Work *schedules.Work `json:"work,omitempty"`
	User string          `json:"user,omitempty"` // whose it is, if an administrator asks for others
	New  bool            `json:"new,omitempty"`  // fail if there is one of its name
}

// Schedules returns all schedules, in order of their names.
func (c *Client) Schedules(ctx context.Context) ([]schedules.View, error) {
	of := func(page ScheduleList) ([]schedules.View, string) { return page.Schedules, page.Next }
	return collect(ctx, c, "/v1/schedules", of)
}

// Schedule returns one schedule, with all firings that are remembered.
func (c *Client) Schedule(ctx context.Context, name string) (v schedules.View, err error) {
	if err = c.ask(ctx, http.MethodGet, schedulePath(name), nil, &v); err != nil || len(v.Firings) < schedules.Latest {
		return v, err
	}
	of := func(page FiringList) ([]schedules.Firing, string) { return page.Firings, page.Next }
	v.Firings, err = collect(ctx, c, schedulePath(name)+"/firings", of)
	return v, err
}

// PutSchedule makes a schedule, in place of an earlier one of its name unless it is to be new.
func (c *Client) PutSchedule(ctx context.Context, name string, r ScheduleRequest) (v schedules.View, err error) {
	err = c.ask(ctx, http.MethodPut, schedulePath(name), r, &v)
	return v, err
}

// SetSchedulePaused stops a schedule from firing, or lets it fire again.
func (c *Client) SetSchedulePaused(ctx context.Context, name string, paused bool) (v schedules.View, err error) {
	verb := map[bool]string{true: "/pause", false: "/resume"}[paused]
	err = c.ask(ctx, http.MethodPost, schedulePath(name)+verb, nil, &v)
	return v, err
}

// TriggerSchedule asks that a schedule runs now. Unlike the others it is not to be repeated: each call asks once more.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (t cron.Trigger, err error) {
	said := map[string]string{"id": strings.ToLower(rand.Text())} // once, however often it has to be said
	err = c.ask(ctx, http.MethodPost, schedulePath(name)+"/trigger", said, &t)
	return t, err
}

// RemoveSchedule removes a schedule and its history.
func (c *Client) RemoveSchedule(ctx context.Context, name string) error {
	return c.ask(ctx, http.MethodDelete, schedulePath(name), nil, nil)
}

func schedulePath(name string) string { return "/v1/schedules/" + url.PathEscape(name) }
