package aws_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// rig is a cloud and a home folder.
type rig struct {
	*testing.T
	cloud     *fleettest.Cloud
	home      string
	terraform string
	provider  *aws.Provider
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, terraform: fleettest.Terraform(t), cloud: fleettest.Start(t), home: t.TempDir()}
	var err error
	if r.provider, err = aws.New(t.Context(), fleettest.Region); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) fleet(name string) *fleet.Fleet {
	r.Helper()
	f, err := fleet.Open(r.home, name, os.DirFS("../../../terraform"), r.provider, fleet.Options{Terraform: r.terraform})
	if err != nil {
		r.Fatal(err)
	}
	_, err = f.Secrets(func() (map[string]string, error) {
		return map[string]string{"server/ca-key": "the key of the CA", "node/gossip": "the key of the gossip"}, nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return f
}

func (r *rig) request() fleet.Request {
	r.Helper()
	program := filepath.Join(r.home, "runner")
	if err := os.WriteFile(program, []byte("a program"), 0o700); err != nil {
		r.Fatal(err)
	}
	return fleet.Request{Provider: "aws", Region: fleettest.Region, Owner: "ann@example.com", Workers: 4, Spot: 0.7,
		TTL: time.Hour, AllowFrom: []string{"203.0.113.7/32"}, Binaries: map[string]string{"runner": program}, CA: "a certificate"}
}

func (r *rig) plan(f *fleet.Fleet) fleet.Plan {
	r.Helper()
	p, err := f.Plan(r.Context(), r.request(), fleet.Limits{})
	if err != nil {
		r.Fatal(err)
	}
	return p
}

func TestFleetComesAndGoes(t *testing.T) {
	r := newRig(t)
	f := r.fleet("demo")
	p := r.plan(f)
	t.Logf("%+v", p)
	begun := time.Now()
	if err := f.Apply(t.Context(), p, func(e fleet.Event) { t.Log(time.Since(begun).Round(time.Millisecond), e) }); err != nil {
		t.Fatal(err)
	}
	t.Log("apply", time.Since(begun))
	out, err := f.Outputs(t.Context())
	t.Logf("%+v %v", out, err)
	p = r.plan(f)
	t.Logf("second: %+v", p)
	begun = time.Now()
	if err := f.Destroy(t.Context(), false, func(e fleet.Event) { t.Log(time.Since(begun).Round(time.Millisecond), e) }); err != nil {
		t.Fatal(err)
	}
	found, err := r.provider.Scan(t.Context(), "")
	t.Log(found, err)
}
