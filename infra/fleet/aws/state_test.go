package aws

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

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
	cloud := fleettest.Start(t)
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
	t.Run("one that was made half", func(t *testing.T) {
		s := states{t, s.provider}
		bucket := one.Backend["bucket"].(string)
		_, err := s.provider.s3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
		s.does(err)
		leave := s.keep(one)
		versions, err := s.provider.s3().GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: &bucket})
		s.does(err)
		if versions.Status != types.BucketVersioningStatusEnabled {
			t.Errorf("what is overwritten is lost: %+v", versions)
		}
		s.does(leave(t.Context()))
		s.does(s.provider.ForgetState(t.Context(), one))
		s.check("it was left", one, false)
	})
	t.Run("a removal that is not over", func(t *testing.T) {
		s := states{t, s.provider}
		cloud.Refuse(fleettest.Refusal{Action: "PUT", Holds: ".claim-", Code: "OperationAborted", Once: true})
		leave := s.keep(one)
		s.check("it was waited for", one, true)
		s.does(s.provider.ForgetState(t.Context(), one))
		s.does(leave(t.Context()))
	})
}
