package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

const (
	maxStreams = 64                     // of events, at once
	look       = 500 * time.Millisecond // how often a job is looked at for a stream
	idle       = 15 * time.Second       // after which a stream shows that it lives
	slow       = 30 * time.Second       // how long a client may take to accept an event
)

// told is how a job stands, or why nobody knows.
type told struct {
	status embedded.Status
	err    error
}

// over reports whether nothing more will be told.
func (t told) over() bool { return t.err == nil && (t.status.State.Final() || t.status.Interrupted) }

// events sends how a job stands, now and at each change, until the job is over.
func (s *server) events(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return say.Errorf(errs.Exhausted, "%d streams of events are open already", maxStreams)
	}
	job, err := s.of(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	news := make(chan told)
	go func() {
		defer close(news)
		s.watch(ctx, job, news)
	}()
	out := stream{w: w, control: http.NewResponseController(w)}
	alive := time.NewTicker(idle)
	defer alive.Stop()
	var last []byte
	for {
		select {
		case t, ok := <-news:
			if !ok {
				return nil // the client has left, or this process knows no more
			}
			if t.err != nil && last == nil {
				return t.err // nothing was sent yet: it can still be told properly
			}
			if last, err = out.tell(t, last); err != nil {
				return gone(err)
			}
			if t.over() {
				return gone(out.send("event: end\ndata: {}\n\n"))
			}
		case <-alive.C:
			if out.send(": still here\n\n") != nil {
				return nil
			}
		}
	}
}

// watch tells how a job stands until it is over, or ctx ends.
func (s *server) watch(ctx context.Context, job scheduler.Job, news chan<- told) {
	for status, err := range s.changes(ctx, job) {
		t := told{shorten(status), err}
		select {
		case news <- t:
		case <-ctx.Done():
			return
		}
		if t.over() {
			return
		}
	}
}

// changes yields how a job stands, again and again, until ctx ends.
func (s *server) changes(ctx context.Context, job scheduler.Job) iter.Seq2[embedded.Status, error] {
	if w, ok := s.jobs.(Watcher); ok {
		return w.Watch(ctx, job)
	}
	return func(yield func(embedded.Status, error) bool) {
		ticker := time.NewTicker(look)
		defer ticker.Stop()
		for yield(s.brief(ctx, job)) {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}
}

// tell sends how a job stands, unless that is what was sent last. It returns what is the last now.
func (s *stream) tell(t told, last []byte) ([]byte, error) {
	if t.err != nil {
		return last, nil // it may be known again soon
	}
	text, err := json.Marshal(t.status)
	if err != nil {
		return last, errs.E("api.Events", errs.Internal, t.status.Job, err)
	}
	if bytes.Equal(text, last) {
		return last, nil
	}
	return text, s.send(fmt.Sprintf("event: job\ndata: %s\n\n", text))
}

// stream writes events, each at once.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (s *stream) send(text string) error {
	if !s.begun {
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.Header().Set("Cache-Control", "no-store")
		s.begun = true
	}
	// A connection that knows no deadlines has a client that is trusted, as in tests.
	_ = s.control.SetWriteDeadline(time.Now().Add(slow))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
