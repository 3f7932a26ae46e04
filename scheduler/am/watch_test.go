package am

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
)

// listener is the stream of somebody who watches.
type listener struct {
	grpc.ServerStream
	ctx  context.Context // which a stream has
	hear func()          // called when something was sent
	said []scheduler.JobState
}

func (l *listener) Context() context.Context { return l.ctx }

func (l *listener) Send(reply *amrpc.StatusReply) error {
	r, err := parseReportReply(reply)
	l.said = append(l.said, r.State)
	l.hear()
	return err
}

// TestLastReportIsSent: who is still being sent a report when the job ends, and the application master with it, hears of
// the end.
func TestLastReportIsSent(t *testing.T) {
	a, stop := newMaster(Config{Job: scheduler.Job{ID: "abcd-ended"}, Options: Options{}.withDefaults()}), make(chan struct{})
	out := &listener{ctx: t.Context()}
	out.hear = func() {
		if len(out.said) == 1 {
			a.mu.machine.state = scheduler.JobSucceeded
			close(stop)
		}
	}
	if err := (&clientServer{master: a, stop: stop}).Watch(nil, out); err != nil {
		t.Error(err)
	}
	if len(out.said) != 2 || out.said[1] != scheduler.JobSucceeded {
		t.Errorf("it has heard %v", out.said)
	}
}
