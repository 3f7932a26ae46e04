package fleet

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// foreign is a cloud with a fleet that was deployed elsewhere. Its state may be read, and nothing else be done to it.
type foreign struct {
	cloud
	state  string
	locked bool
	read   func() // called when the state is read
}

func (f *foreign) ReadState(context.Context, Setup) ([]byte, bool, error) {
	f.read()
	return []byte(f.state), f.locked, nil
}

func (f *foreign) KeepState(context.Context, Setup) (func(context.Context) error, error) {
	return nil, errs.Errorf("", errs.Permission, nil, "a place for states was made")
}

func (f *foreign) ForgetState(context.Context, Setup) error { return nil }

// TestForeignLeftovers looks for what a fleet has left that somebody else has deployed, who goes on meanwhile.
func TestForeignLeftovers(t *testing.T) {
	c := &foreign{state: `{"version": 4, "resources": [{"mode": "managed", "instances": [
		{"attributes": {"id": "vpc-known", "cidr_block": "10.0.0.0/8"}}, {"attributes": {"id": 7, "arn": "vpc-arn"}}]}]}`}
	c.read = sync.OnceFunc(func() { c.put("vpc-just-made") })
	c.put("vpc-known", "vpc-arn", "vpc-lost")
	f, err := Open(t.TempDir(), "demo", modules, c, Options{Terraform: "none, since it would take the lock"})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := f.Leftovers(t.Context()); err != nil || len(left) != 1 || left[0].ID != "vpc-lost" {
		t.Errorf("left are %v, %v", left, err)
	}
	c.locked = true
	left, err := f.Leftovers(t.Context())
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleLocked {
		t.Errorf("while somebody is at work: %v, %v", left, err)
	}
	c.locked, c.state = false, ""
	if left, err := f.Leftovers(t.Context()); err != nil || len(left) != 4 {
		t.Errorf("without a state there is left %v, %v", left, err)
	}
	c.state = "{"
	if _, err := f.Leftovers(t.Context()); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("of half a state: %v", err)
	}
}

// readFirst is called when Terraform's configuration is read, which is before Terraform runs.
type readFirst struct {
	fs.FS
	called func()
}

func (r readFirst) Open(name string) (fs.File, error) {
	r.called()
	return r.FS.Open(name)
}

// TestWhatOthersMakeIsNoLeftover lets somebody else make something while a plan is on its way, which may be in a state
// only after that was read.
func TestWhatOthersMakeIsNoLeftover(t *testing.T) {
	c := &cloud{}
	others := func() {
		if left, _ := c.Scan(t.Context(), ""); len(left) == 0 { // it can't fail
			c.put("vpc-of-others")
		}
	}
	f, err := Open(t.TempDir(), "demo", readFirst{modules, others}, c, Options{Terraform: fleettest.Program(t)})
	if err != nil {
		t.Fatal(err)
	}
	if p := mustPlan(t, f, plain()); len(p.Leftovers) > 0 {
		t.Errorf("the plan would remove %v", p.Leftovers)
	}
	if left, _ := c.Scan(t.Context(), ""); len(left) != 1 {
		t.Errorf("there is %v", left)
	}
}
