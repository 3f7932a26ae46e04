package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
)

const (
	maxStreams = 64                     // of events, at once
	look       = 500 * time.Millisecond // how often a job is looked at for a stream
	idle       = 15 * time.Second       // after which a stream shows that it lives
	slow       = 30 * time.Second       // how long a client may take to accept an event
)

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
	out := stream{w: w, control: http.NewResponseController(w)}
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	var last []byte
	spoken := time.Now()
	for {
		status, err := s.brief(r.Context(), job)
		if err != nil && last == nil {
			return err // nothing was sent yet: it can still be told properly
		}
		if err == nil {
			text, err := json.Marshal(status)
			if err != nil {
				return errs.E("api.Events", errs.Internal, job.ID, err)
			}
			if !bytes.Equal(text, last) {
				last, spoken = text, time.Now()
				if out.send(fmt.Sprintf("event: job\ndata: %s\n\n", text)) != nil {
					return nil // the client has left
				}
			}
			if status.State.Final() || status.Interrupted {
				return gone(out.send("event: end\ndata: {}\n\n"))
			}
		}
		if time.Since(spoken) > idle {
			spoken = time.Now()
			if out.send(": still here\n\n") != nil {
				return nil
			}
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
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
