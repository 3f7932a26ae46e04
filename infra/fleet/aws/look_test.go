package aws

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// TestReadState reads a state that is not there, is, and that somebody has locked.
func TestReadState(t *testing.T) {
	fleettest.Start(t)
	s := states{t, newProvider(t)}
	of := s.of("read")
	check := func(when, want string, wantLocked bool) {
		t.Helper()
		state, locked, err := s.provider.ReadState(t.Context(), of)
		if err != nil || string(state) != want || locked != wantLocked {
			t.Errorf("%s it is %q, locked %v, %v", when, state, locked, err)
		}
	}
	check("without a bucket", "", false)
	s.check("nothing was made", of, false)
	leave := s.keep(of)
	check("without a state", "", false)
	bucket, key := of.Backend["bucket"].(string), of.Backend["key"].(string)
	for _, name := range []string{key, key + ".tflock"} {
		_, err := s.provider.s3().PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: &name, Body: strings.NewReader("{}"),
		})
		s.does(err)
		check("with "+name, "{}", name != key)
	}
	s.does(leave(t.Context()))
}
