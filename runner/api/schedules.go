package api

import (
	"cmp"
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

//go:embed schedules.json
var schedulesDoc []byte

// clock is the answers about the schedules of a book.
type clock struct {
	book    cron.Book
	compile Compiler
}

// Compiler gives a schedule that has everything else its work. Its errors are told.
type Compiler struct {
	// Spec makes it of a specification in JSON.
	Spec func(ctx context.Context, s cron.Schedule, spec []byte) (cron.Schedule, error)
	// Work takes one that was compiled elsewhere; nil: specifications alone are taken.
	Work func(ctx context.Context, s cron.Schedule, w schedules.Work) (cron.Schedule, error)
}

// SchedulesPart answers everything about the schedules of a book.
func SchedulesPart(book cron.Book, compile Compiler) Part {
	c := clock{book: book, compile: compile}
	return Part{Doc: schedulesDoc, Routes: []Route{
		{"GET /v1/schedules", access.Read, c.list},
		{"GET /v1/schedules/{name}", access.Read, c.get},
		{"GET /v1/schedules/{name}/firings", access.Read, c.firings},
		{"PUT /v1/schedules/{name}", access.Submit, c.put},
		{"DELETE /v1/schedules/{name}", access.Submit, c.remove},
		{"POST /v1/schedules/{name}/pause", access.Submit, c.setPaused(true)},
		{"POST /v1/schedules/{name}/resume", access.Submit, c.setPaused(false)},
		{"POST /v1/schedules/{name}/trigger", access.Submit, c.trigger},
	}}
}

func (c clock) list(w http.ResponseWriter, r *http.Request) error {
	all, err := schedules.All(r.Context(), c.book, time.Now())
	if err != nil {
		return err
	}
	var list client.ScheduleList
	list.Schedules, list.Next, err = page(r, all, func(v schedules.View) string { return v.Name })
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

func (c clock) get(w http.ResponseWriter, r *http.Request) error {
	v, err := schedules.Get(r.Context(), c.book, r.PathValue("name"), time.Now(), schedules.Latest)
	if err != nil {
		return absent(r, err)
	}
	return writeJSON(w, v)
}

// firingsPage is short by default: the jobs of each chain are looked up.
var firingsPage = pageSize{schedules.Latest, 1000}

func (c clock) firings(w http.ResponseWriter, r *http.Request) error {
	s, all, err := schedules.Past(r.Context(), c.book, r.PathValue("name"))
	if err != nil {
		return absent(r, err)
	}
	var list client.FiringList
	all, list.Next, err = pageInOrder(r, firingsPage, all, func(f cron.Firing) string {
		return f.Slot.UTC().Format(time.RFC3339Nano) + f.Trigger
	})
	if err != nil {
		return err
	}
	if list.Firings, err = schedules.WithJobs(r.Context(), c.book, s, all); err != nil {
		return err
	}
	return writeJSON(w, list)
}

// put writes a schedule down, in place of an earlier one of its name unless it shall be new.
func (c clock) put(w http.ResponseWriter, r *http.Request) error {
	var ask client.ScheduleRequest
	if err := readJSON(w, r, &ask, maxSubmission); err != nil {
		return err
	}
	if ask.Jitter < 0 || ask.Jitter > cron.MaxJitter.Seconds() {
		return say.Errorf(errs.Invalid, "jitterSeconds is 0 to %.0f", cron.MaxJitter.Seconds())
	}
	if ask.Wake < 0 || ask.Wake > cron.MaxWake.Seconds() {
		return say.Errorf(errs.Invalid, "wakeSeconds is 0 to %.0f", cron.MaxWake.Seconds())
	}
	s := cron.Schedule{
		Name: r.PathValue("name"), Cron: ask.Cron, Zone: ask.Zone, Overlap: cmp.Or(ask.Overlap, cron.Skip), CatchUp: 1,
		Jitter: time.Duration(ask.Jitter * float64(time.Second)), Wake: time.Duration(ask.Wake * float64(time.Second)),
		Since: time.Now().UTC(),
	}
	if ask.CatchUp != nil {
		s.CatchUp = *ask.CatchUp
	}
	if err := s.Check(s.Since); err != nil {
		return err
	}
	s.User = ask.User
	// Who may do everything may ask for others.
	if by := CallerOf(r.Context()); by.Name != "" && (by.Role < access.Admin || s.User == "") {
		s.User = by.Name
	}
	s, err := c.compiled(r.Context(), s, ask)
	if err != nil {
		return err
	}
	write := c.book.Replace
	if ask.New {
		write = c.book.Add
	}
	err = write(r.Context(), s)
	if errs.KindOf(err) == errs.Exist {
		return say.Errorf(errs.Exist, "there is a schedule %s already. Choose another name or say --replace", s.Name)
	}
	if err != nil {
		return err
	}
	return c.get(w, r)
}

// compiled gives a schedule its work.
func (c clock) compiled(ctx context.Context, s cron.Schedule, ask client.ScheduleRequest) (cron.Schedule, error) {
	switch {
	case ask.Work == nil:
		return c.compile.Spec(ctx, s, ask.Spec)
	case c.compile.Work == nil || len(ask.Spec) > 0:
		return s, say.Errorf(errs.Invalid, "say what to run as spec")
	}
	return c.compile.Work(ctx, s, *ask.Work)
}

// absent says of an error that there is no such schedule, if that is what it says.
func absent(r *http.Request, err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return say.Errorf(errs.NotFound, "there is no schedule %q", r.PathValue("name"))
	}
	return err
}

func (c clock) setPaused(paused bool) Answer {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := schedules.SetPaused(r.Context(), c.book, r.PathValue("name"), paused, time.Now()); err != nil {
			return absent(r, err)
		}
		return c.get(w, r)
	}
}

func (c clock) trigger(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		ID string `json:"id"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	t, err := c.book.Trigger(r.Context(), r.PathValue("name"), ask.ID, time.Now())
	if err != nil {
		return absent(r, err)
	}
	return writeJSON(w, t)
}

func (c clock) remove(w http.ResponseWriter, r *http.Request) error {
	v, err := schedules.Get(r.Context(), c.book, r.PathValue("name"), time.Now(), schedules.Latest)
	if err != nil {
		return absent(r, err)
	}
	if err := c.book.Remove(r.Context(), v.Name); err != nil {
		return err
	}
	return writeJSON(w, v)
}
