package invoke_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
)

// haunt gives a site a host whose store has faults.
func (s *site) haunt(rules ...fault.Rule) {
	s.t.Helper()
	s.close()
	haunted := fault.New(s.st, 1)
	s.st = haunted
	s.open()
	haunted.Add(rules...)
}

// TestRedrivenTwice at once, a dead letter is queued once.
func TestRedrivenTwice(t *testing.T) {
	s := newSite(t, "")
	inv := s.want(`{"Fail":"no"}`, invoke.Dead, "no")
	under, release := make(chan struct{}), make(chan struct{})
	s.haunt(fault.Rule{Op: around.Commit, Match: "journal/", Nth: 1, Effect: fault.Hold, Until: release,
		Hit: func() { close(under) }})
	first := make(chan error, 1)
	go func() {
		_, err := s.host.Redrive(t.Context(), "grant", inv.ID)
		first <- err
	}()
	<-under
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	second := make(chan error, 1)
	go func() {
		_, err := s.host.Redrive(soon, "grant", inv.ID)
		second <- err
	}()
	select {
	case err := <-second:
		if errs.KindOf(err) != errs.NotFound {
			t.Errorf("the second says %v", err)
		}
	case <-soon.Done():
		t.Error("the second queues it, too")
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got, err := s.host.Wait(t.Context(), inv.ID); err != nil || got.State != invoke.Dead || got.Attempts != 3 {
		t.Errorf("it is %+v, %v", got, err)
	}
}

// TestResultsThatCannotBeKept are as good as none: there is another attempt.
func TestResultsThatCannotBeKept(t *testing.T) {
	s := newSite(t, "")
	s.haunt(fault.Rule{Op: around.Commit, Match: "/result", Nth: 1})
	inv, err := s.ask(invoke.Request{Event: fmt.Appendf(nil, `{"Long":%d}`, 2*invoke.MaxInline)})
	if err != nil || inv.State != invoke.Succeeded || inv.Attempts != 2 || inv.Result.Object == "" {
		t.Errorf("it is %+v, %v", inv, err)
	}
}
