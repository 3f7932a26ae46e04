package api

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// compileDay takes every specification that is one.
func compileDay(_ context.Context, s cron.Schedule, text []byte) (cron.Schedule, error) {
	if !bytes.HasPrefix(text, []byte("{")) {
		return s, errs.Errorf("", errs.Invalid, nil, "no specification")
	}
	work, err := schedules.Work{Line: "run day.yaml", Job: &scheduler.Job{Kind: "mapreduce", Name: "day"}}.Encode()
	s.Work = work
	return s, err
}

func TestSchedules(t *testing.T) {
	book := cron.Book{Store: mem.New()}
	c := newClientOf(t, SchedulesPart(book, Compiler{Spec: compileDay}))
	none := parse[client.ScheduleList](t, c.ask("GET", "/v1/schedules", "", 200, "ScheduleList"))
	if none.Schedules == nil || len(none.Schedules) != 0 {
		t.Errorf("none are told as %v", none)
	}
	work, err := schedules.Work{Line: "run day.yaml", Job: &scheduler.Job{Kind: "mapreduce", Name: "day"}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := cron.Schedule{Name: "nightly", Cron: "0 2 * * *", Overlap: cron.Queue, Since: time.Now(), Work: work}
	if err := book.Add(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	one := parse[schedules.View](t, c.ask("GET", "/v1/schedules/nightly", "", 200, "Schedule"))
	if one.Runs != "run day.yaml" || one.Zone != "UTC" || len(one.Next) != schedules.Upcoming {
		t.Errorf("it is told as %+v", one)
	}
	paused := parse[schedules.View](t, c.ask("POST", "/v1/schedules/nightly/pause", "", 200, "Schedule"))
	if !paused.Paused || len(paused.Next) > 0 {
		t.Errorf("paused, it is %+v", paused)
	}
	c.ask("POST", "/v1/schedules/nightly/pause", "", 200, "Schedule") // again
	if resumed := parse[schedules.View](t, c.ask("POST", "/v1/schedules/nightly/resume", "", 200,
		"Schedule")); resumed.Paused ||
		!resumed.Since.After(s.Since) {
		t.Errorf("resumed, it is %+v", resumed)
	}
	trigger := parse[cron.Trigger](t, c.ask("POST", "/v1/schedules/nightly/trigger", "", 200, "Trigger"))
	if trigger.ID == "" {
		t.Errorf("the trigger is %+v", trigger)
	}
	for _, path := range []string{"", "/pause", "/resume", "/trigger"} {
		method := map[bool]string{true: "GET", false: "POST"}[path == ""]
		problem := c.ask(method, "/v1/schedules/nobody"+path, "", 404, "Problem")
		if detail := parse[map[string]any](t, problem)["detail"]; detail != `there is no schedule "nobody"` {
			t.Errorf("%s: %v", path, detail)
		}
	}
	made := `{"cron": "@daily", "zone": "Europe/Paris", "catchUp": 0, "jitterSeconds": 90, "spec": {"kind": "mapreduce"}}`
	for range 2 {
		v := parse[schedules.View](t, c.ask("PUT", "/v1/schedules/daily", made, 200, "Schedule"))
		if v.Name != "daily" || v.Overlap != cron.Skip || v.CatchUp != 0 || v.Jitter != 90 {
			t.Errorf("made, it is %+v", v)
		}
	}
	for _, wrong := range []string{
		`{"cron": "@daily"}`, `{"cron": "now", "spec": {}}`, `{"cron": "@daily", "jitterSeconds": -1, "spec": {}}`, `[`,
	} {
		c.ask("PUT", "/v1/schedules/daily", wrong, 400, "Problem")
	}
	c.ask("DELETE", "/v1/schedules/nightly", "", 200, "Schedule")
	c.ask("DELETE", "/v1/schedules/nightly", "", 404, "Problem")
}

// TestScheduleWithFirings: a View has all that the API promises, also of a schedule with everything.
func TestScheduleWithFirings(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	text, err := json.Marshal(schedules.View{
		Name: "s", Cron: "@daily", Zone: "Europe/Paris", Overlap: cron.Replace, Jitter: 60, User: "me", Runs: "run x.yaml",
		Since: now, Next: []time.Time{}, Firings: []schedules.Firing{
			{Firing: cron.Firing{Schedule: "s", Slot: now, State: cron.Missed, Decided: now, Ended: now, Message: "nobody"}},
			{Firing: cron.Firing{Schedule: "s", Slot: now, Trigger: "t", ID: "7k2f-s", State: cron.Running, Decided: now,
				Started: now, Replaced: true}, Jobs: []scheduler.JobID{"7k2fa-words"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	newClientOf(t, SchedulesPart(cron.Book{Store: mem.New()}, Compiler{})).check("a view", text, "Schedule")
}

// TestClientOfSchedules: what verbs ask about schedules, they find.
func TestClientOfSchedules(t *testing.T) {
	takeWork := func(_ context.Context, s cron.Schedule, w schedules.Work) (cron.Schedule, error) {
		var err error
		s.Work, err = w.Encode()
		return s, err
	}
	a := newClientOf(t, SchedulesPart(cron.Book{Store: mem.New()}, Compiler{Spec: compileDay, Work: takeWork}))
	ctx, c := t.Context(), client.New(client.Options{URL: a.http.URL})
	ask := client.ScheduleRequest{
		Cron: "@hourly", User: "ann", New: true,
		Work: &schedules.Work{Line: "run sum", Job: &scheduler.Job{Kind: "guagua", Name: "sum"}},
	}
	if v, err := c.PutSchedule(ctx, "hourly", ask); err != nil || v.Runs != "run sum" || v.User != "ann" ||
		len(v.Next) == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.PutSchedule(ctx, "hourly", ask); errs.KindOf(err) != errs.Exist {
		t.Errorf("a new one of the same name: %v", err)
	}
	ask.New = false
	if _, err := c.PutSchedule(ctx, "hourly", ask); err != nil {
		t.Error(err)
	}
	ask.Spec = json.RawMessage(`{}`)
	if _, err := c.PutSchedule(ctx, "hourly", ask); errs.KindOf(err) != errs.Invalid {
		t.Errorf("both a specification and a work: %v", err)
	}
	if v, err := c.SetSchedulePaused(ctx, "hourly", true); err != nil || !v.Paused {
		t.Errorf("paused: %+v, %v", v, err)
	}
	if v, err := c.SetSchedulePaused(ctx, "hourly", false); err != nil || v.Paused {
		t.Errorf("resumed: %+v, %v", v, err)
	}
	if trigger, err := c.TriggerSchedule(ctx, "hourly"); err != nil || trigger.ID == "" {
		t.Errorf("triggered: %+v, %v", trigger, err)
	}
	if all, err := c.Schedules(ctx); err != nil || len(all) != 1 || all[0].Name != "hourly" {
		t.Errorf("all are %+v, %v", all, err)
	}
	if err := c.RemoveSchedule(ctx, "hourly"); err != nil {
		t.Error(err)
	}
	if _, err := c.Schedule(ctx, "hourly"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("removed: %v", err)
	}
}

// shop is a cron.Runner whose work is done at once.
type shop struct{}

func (shop) Name(_ context.Context, name string) (string, error) { return "7k2f-" + name, nil }
func (shop) Kill(context.Context, cron.Firing, string) error     { return nil }
func (shop) Ensure(context.Context, cron.Schedule, cron.Firing) (cron.Outcome, error) {
	return cron.Outcome{State: cron.Succeeded}, nil
}

// fireAll serves a book until so many firings are over.
func fireAll(t *testing.T, book cron.Book, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- cron.Serve(ctx, book, coordmem.New(), shop{}, cron.Options{Poll: time.Millisecond}) }()
	for {
		_, firings, err := schedules.Past(ctx, book, "daily")
		if err != nil {
			t.Fatal(err)
		}
		if len(firings) == n && !slices.ContainsFunc(firings, func(f cron.Firing) bool { return !f.State.Final() }) {
			break
		}
	}
	stop()
	if err := <-served; errs.KindOf(err) != errs.Canceled {
		t.Error(err)
	}
}
