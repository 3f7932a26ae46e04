package aws

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// Adjust sets the sizes of groups, and the deadline of the switch.
func (p *Provider) Adjust(ctx context.Context, cluster string, c fleet.Change) error {
	if c.Servers != nil {
		if err := p.resize(ctx, serverGroup(cluster), *c.Servers, *c.Servers, nil); err != nil {
			return err
		}
	}
	if c.Workers != nil {
		if c.Most == nil {
			c.Most = c.Workers
		}
		if err := p.resize(ctx, workerGroup(cluster), *c.Workers, *c.Most, c.OnDemand); err != nil {
			return err
		}
	}
	if c.ExpiresAt.IsZero() {
		return nil
	}
	return p.postpone(ctx, cluster, c.ExpiresAt)
}

// group is an Auto Scaling group.
type group struct {
	Name    string    `xml:"AutoScalingGroupName"`
	Status  string    `xml:"Status"` // of one that is being deleted
	Created time.Time `xml:"CreatedTime"`
	Max     int       `xml:"MaxSize"`
	Desired int       `xml:"DesiredCapacity"`
	Members []struct {
		ID    string `xml:"InstanceId"`
		State string `xml:"LifecycleState"`
	} `xml:"Instances>member"`
	Tags []struct {
		Key   string `xml:"Key"`
		Value string `xml:"Value"`
	} `xml:"Tags>member"`
	Mixed *struct {
		OnDemand  int    `xml:"InstancesDistribution>OnDemandBaseCapacity"`
		Above     int    `xml:"InstancesDistribution>OnDemandPercentageAboveBaseCapacity"`
		Strategy  string `xml:"InstancesDistribution>SpotAllocationStrategy"`
		Template  string `xml:"LaunchTemplate>LaunchTemplateSpecification>LaunchTemplateId"`
		Version   string `xml:"LaunchTemplate>LaunchTemplateSpecification>Version"`
		Overrides []struct {
			Type string `xml:"InstanceType"`
		} `xml:"LaunchTemplate>Overrides>member"`
	} `xml:"MixedInstancesPolicy"`
}

// groups lists Auto Scaling groups.
func (p *Provider) groups(ctx context.Context, filter url.Values, take func(group)) error {
	for {
		var page struct {
			Groups []group `xml:"DescribeAutoScalingGroupsResult>AutoScalingGroups>member"`
			Next   string  `xml:"DescribeAutoScalingGroupsResult>NextToken"`
		}
		if err := p.call.query(ctx, autoscaling, "DescribeAutoScalingGroups", filter, &page); err != nil {
			return err
		}
		for _, g := range page.Groups {
			take(g)
		}
		if page.Next == "" {
			return nil
		}
		filter.Set("NextToken", page.Next)
	}
}

// group returns one group by its name, or errs.NotFound.
func (p *Provider) group(ctx context.Context, name string) (is group, err error) {
	err = p.groups(ctx, url.Values{"AutoScalingGroupNames.member.1": {name}}, func(g group) { is = g })
	if err == nil && is.Name == "" {
		err = errs.Errorf("aws.group", errs.NotFound, name, "there is no such group of machines")
	}
	return is, err
}

// resize sets how many machines a group shall have and may have at most, and how many of them are on demand before the
// first is spot.
func (p *Provider) resize(ctx context.Context, name string, n, most int, onDemand *int) error {
	is, err := p.group(ctx, name)
	if err != nil {
		return err
	}
	size := strconv.Itoa(n)
	other := is.Mixed != nil && onDemand != nil && is.Mixed.OnDemand != *onDemand
	if is.Max == most && !other {
		return p.call.query(ctx, autoscaling, "SetDesiredCapacity",
			url.Values{"AutoScalingGroupName": {name}, "DesiredCapacity": {size}}, nil)
	}
	params := url.Values{"AutoScalingGroupName": {name}, "MinSize": {"0"},
		"MaxSize": {strconv.Itoa(most)}, "DesiredCapacity": {size}}
	is.mixed(params, onDemand)
	return p.call.query(ctx, autoscaling, "UpdateAutoScalingGroup", params, nil)
}

// mixed says the whole of a group's policy, changed or not: a part alone may be taken for all of it.
func (g group) mixed(params url.Values, onDemand *int) {
	if g.Mixed == nil {
		return
	}
	const policy = "MixedInstancesPolicy."
	if onDemand == nil {
		onDemand = &g.Mixed.OnDemand
	}
	params.Set(policy+"InstancesDistribution.OnDemandBaseCapacity", strconv.Itoa(*onDemand))
	params.Set(policy+"InstancesDistribution.OnDemandPercentageAboveBaseCapacity", strconv.Itoa(g.Mixed.Above))
	params.Set(policy+"InstancesDistribution.SpotAllocationStrategy", g.Mixed.Strategy)
	params.Set(policy+"LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId", g.Mixed.Template)
	params.Set(policy+"LaunchTemplate.LaunchTemplateSpecification.Version", g.Mixed.Version)
	for i, o := range g.Mixed.Overrides {
		params.Set(fmt.Sprintf("%sLaunchTemplate.Overrides.member.%d.InstanceType", policy, i+1), o.Type)
	}
}

// postpone moves the deadline: in the switch, in the groups' own schedules, and in the tags that people read. The
// switch comes last, so that until all has worked the old deadline counts.
func (p *Provider) postpone(ctx context.Context, cluster string, at time.Time) error {
	when := at.UTC().Format(time.RFC3339)
	for _, group := range []string{serverGroup(cluster), workerGroup(cluster)} {
		err := p.call.query(ctx, autoscaling, "PutScheduledUpdateGroupAction", url.Values{
			"AutoScalingGroupName": {group}, "ScheduledActionName": {group}, "StartTime": {when},
			"MinSize": {"0"}, "MaxSize": {"0"}, "DesiredCapacity": {"0"}}, nil)
		if err != nil {
			return err
		}
		err = p.call.query(ctx, autoscaling, "CreateOrUpdateTags", url.Values{
			"Tags.member.1.ResourceId": {group}, "Tags.member.1.ResourceType": {"auto-scaling-group"},
			"Tags.member.1.Key": {expiresTag}, "Tags.member.1.Value": {when},
			"Tags.member.1.PropagateAtLaunch": {"false"}}, nil)
		if err != nil {
			return err
		}
		schedule := map[string]any{}
		path := "/schedules/" + group
		in := "?groupName=" + url.QueryEscape(scheduleGroup(cluster))
		if err := p.call.rest(ctx, "GET", path+in, nil, &schedule); err != nil {
			return err
		}
		for _, told := range []string{"Arn", "CreationDate", "LastModificationDate", "Name"} {
			delete(schedule, told)
		}
		for k, v := range schedule {
			if v == nil {
				delete(schedule, k)
			}
		}
		schedule["StartDate"] = at.Unix()
		if err := p.call.rest(ctx, "PUT", path, schedule, nil); err != nil {
			return err
		}
	}
	return nil
}
