package aws

import (
	"net/url"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// TestPool lets a group of machines grow and shrink as a scaler does, one by one, and not after its end.
func TestPool(t *testing.T) {
	fleettest.Start(t)
	p := newProvider(t)
	const name = "pool"
	makeGroup(t, p, name)
	if _, err := p.Workers(t.Context(), name); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a group that may have no machine: %v", err)
	}
	adjust := func(n, most, onDemand int) fleet.Workers {
		t.Helper()
		if err := p.Adjust(t.Context(), name, fleet.Change{Workers: &n, Most: &most, OnDemand: &onDemand}); err != nil {
			t.Fatal(err)
		}
		w, err := p.Workers(t.Context(), name)
		if err != nil || w.Size != n || len(w.Machines) != n || w.OnDemand != onDemand {
			t.Fatalf("after a change to %d, %d of them on demand: %+v, %v", n, onDemand, w, err)
		}
		return w
	}
	adjust(0, 3, 1)
	w := adjust(2, 3, 1)
	for range 2 { // again is success
		if err := p.EndWorker(t.Context(), name, w.Machines[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	stays := w.Machines[1].ID
	if w, err := p.Workers(t.Context(), name); err != nil || w.Size != 1 || len(w.Machines) != 1 ||
		w.Machines[0].ID != stays {
		t.Errorf("without the first: %+v, %v", w, err)
	}
	adjust(3, 3, 3)
	if _, err := p.Workers(t.Context(), "other"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a group that is not there: %v", err)
	}
}

// makeGroup makes an empty group of workers.
func makeGroup(t *testing.T, p *Provider, cluster string) {
	t.Helper()
	name := workerGroup(cluster)
	const spec = "LaunchTemplateData.TagSpecification.1."
	calls := []struct {
		service service
		action  string
		params  url.Values
	}{
		{ec2, "CreateLaunchTemplate", url.Values{
			"LaunchTemplateName": {name}, "LaunchTemplateData.ImageId": {"ami-12c6146b"},
			"LaunchTemplateData.InstanceType": {"m6i.xlarge"}, spec + "ResourceType": {"instance"},
			spec + "Tag.1.Key": {clusterTag}, spec + "Tag.1.Value": {cluster},
			spec + "Tag.2.Key": {"runner:role"}, spec + "Tag.2.Value": {"worker"},
		}},
		{autoscaling, "CreateAutoScalingGroup", url.Values{
			"AutoScalingGroupName": {name}, "MinSize": {"0"}, "MaxSize": {"0"}, "DesiredCapacity": {"0"},
			"AvailabilityZones.member.1": {fleettest.Region + "a"},
			"MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName": {name},
			"MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version":            {"$Latest"},
			"MixedInstancesPolicy.InstancesDistribution.OnDemandBaseCapacity":                    {"0"},
		}},
	}
	for _, c := range calls {
		if err := p.call.query(t.Context(), c.service, c.action, c.params, nil); err != nil {
			t.Fatal(err)
		}
	}
}
