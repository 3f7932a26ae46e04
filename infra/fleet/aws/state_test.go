package aws

import (
	"context"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// states is a cloud without a fleet.
type states struct {
	*testing.T
	provider *Provider
}

func (s states) of(name string) fleet.Setup {
	s.Helper()
	setup, err := s.provider.Setup(s.Context(), fleet.Request{Name: name, Region: fleettest.Region}.Defaults())
	if err != nil {
		s.Fatal(err)
	}
	return setup
}

func (s states) keep(of fleet.Setup) (leave func(context.Context) error) {
	s.Helper()
	leave, err := s.provider.KeepState(s.Context(), of)
	if err != nil {
		s.Fatal(err)
	}
	return leave
}

func (s states) does(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// check looks whether the bucket is there.
func (s states) check(when string, of fleet.Setup, want bool) {
	s.Helper()
	there, err := s.provider.bucketExists(s.Context(), of.Backend["bucket"].(string), of.Account)
	if err != nil || there != want {
		s.Errorf("%s: there is a bucket: %v, want %v (%v)", when, there, want, err)
	}
}

// TestStateBucketIsOfAllFleets removes fleets while others are only being planned.
func TestStateBucketIsOfAllFleets(t *testing.T) {
	fleettest.Start(t)
	s := states{t, newProvider(t)}
	one, other := s.of("one"), s.of("other")
	t.Run("one after the other", func(t *testing.T) {
		s := states{t, s.provider}
		leave, leaveOther := s.keep(one), s.keep(other)
		s.does(s.provider.ForgetState(t.Context(), other))
		s.does(leaveOther(t.Context()))
		s.check("one has begun, the other is removed", one, true)
		s.does(leave(t.Context()))
		s.check("one was planned", one, true)
		leave = s.keep(one)
		s.does(s.provider.ForgetState(t.Context(), one))
		s.check("both are removed", one, false)
		s.does(leave(t.Context()))
	})
	t.Run("at once", func(t *testing.T) {
		s := states{t, s.provider}
		var all sync.WaitGroup
		for _, of := range []fleet.Setup{one, other, s.of("third")} {
			all.Go(func() {
				for range 20 {
					leave, err := s.provider.KeepState(t.Context(), of)
					if err != nil {
						t.Error(err)
						return
					}
					s.check(of.Vars["cluster"].(string)+" has begun", of, true)
					if err := s.provider.ForgetState(t.Context(), of); err != nil {
						t.Error(err)
					}
					if err := leave(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		s.check("all are removed", one, false)
	})
}
