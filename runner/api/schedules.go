package api

import (
	_ "embed"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

//go:embed schedules.json
var schedulesDoc []byte

// clock is the answers about the schedules of a book.
type clock struct {
	book cron.Book
}

// SchedulesPart answers everything about the schedules of a book.
func SchedulesPart(book cron.Book) Part {
	c := clock{book: book}
	return Part{Doc: schedulesDoc, Routes: []Route{
		{"GET /v1/schedules", access.Read, c.list},
		{"GET /v1/schedules/{name}", access.Read, c.get},
		{"DELETE /v1/schedules/{name}", access.Submit, c.remove},
		{"POST /v1/schedules/{name}/pause", access.Submit, c.setPaused(true)},
		{"POST /v1/schedules/{name}/resume", access.Submit, c.setPaused(false)},
		{"POST /v1/schedules/{name}/trigger", access.Submit, c.trigger},
	}}
}

// scheduleList is every schedule; there are few.
type scheduleList struct {
	Schedules []schedules.View `json:"schedules"`
}

func (c clock) list(w http.ResponseWriter, r *http.Request) error {
	all, err := schedules.All(r.Context(), c.book, time.Now())
	if err != nil {
		return err
	}
	return writeJSON(w, scheduleList{all})
}

func (c clock) get(w http.ResponseWriter, r *http.Request) error {
	v, err := schedules.Get(r.Context(), c.book, r.PathValue("name"), time.Now())
	if err != nil {
		return absent(r, err)
	}
	return writeJSON(w, v)
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
	t, err := c.book.Trigger(r.Context(), r.PathValue("name"), time.Now())
	if err != nil {
		return absent(r, err)
	}
	return writeJSON(w, t)
}

func (c clock) remove(w http.ResponseWriter, r *http.Request) error {
	v, err := schedules.Get(r.Context(), c.book, r.PathValue("name"), time.Now())
	if err != nil {
		return absent(r, err)
	}
	if err := c.book.Remove(r.Context(), v.Name); err != nil {
		return err
	}
	return writeJSON(w, v)
}
