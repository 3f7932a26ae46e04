package deploy

import (
	"context"
	"slices"
	"testing"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/terraform"
)

// foreign is a cloud with a fleet that somebody else deploys.
type foreign struct {
	machines.Provider // what is not asked
	there             []machines.Resource
	state             string
}

func (f *foreign) Setup(context.Context, machines.Request) (machines.Setup, error) {
	return machines.Setup{}, nil
}

func (f *foreign) Scan(context.Context, string) ([]machines.Resource, error) {
	return slices.Clone(f.there), nil
}

func (f *foreign) ReadState(context.Context, machines.Setup) ([]byte, bool, error) {
	return []byte(f.state), false, nil
}

func (f *foreign) Remove(_ context.Context, r machines.Resource) error {
	f.there = slices.DeleteFunc(f.there, func(is machines.Resource) bool { return is == r })
	return nil
}

// TestRemoveLooksAgain has somebody deploy a fleet while the user is asked whether to remove what an earlier one of that
// name has left.
func TestRemoveLooksAgain(t *testing.T) {
	group := machines.Resource{Service: "autoscaling", Kind: "group", ID: "runner-demo-workers", Cluster: "demo"}
	role := machines.Resource{Service: "iam", Kind: "role", ID: "runner-demo-lost", Cluster: "demo"}
	cloud := &foreign{there: []machines.Resource{group, role}}
	f, err := machines.Open(t.TempDir(), "demo", terraform.Files, cloud, machines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := f.Leftovers(t.Context())
	if err != nil || len(found) != 2 {
		t.Fatalf("left are %v, %v", found, err)
	}
	s := &Site{Name: "demo", machines: f}
	cloud.state = `{"resources": [{"instances": [{"attributes": {"name": "runner-demo-workers"}}]}]}`
	err = Remove(t.Context(), []Leftover{{group, s}, {role, s}}, func(machines.Event) {})
	if err != nil || !slices.Equal(cloud.there, []machines.Resource{group}) {
		t.Errorf("there are %v, %v", cloud.there, err)
	}
}
