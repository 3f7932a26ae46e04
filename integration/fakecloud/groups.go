package fakecloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// group is an Auto Scaling group.
type group struct {
	Name    string `xml:"AutoScalingGroupName"`
	Desired int    `xml:"DesiredCapacity"`
	Members []struct {
		ID string `xml:"InstanceId"`
	} `xml:"Instances>member"`
}

// noSpot is a tag of groups for which there are no spot machines; fleettest's server knows it, too.
const noSpot = "fakecloud:no-spot"

// Shortage takes the spot machines away that groups could start. Those that run go on.
func (c *Cloud) Shortage(ctx context.Context) error {
	return c.eachGroup(ctx, func(g group) error {
		return c.moto.query(ctx, "autoscaling", "CreateOrUpdateTags", url.Values{
			"Tags.member.1.ResourceId": {g.Name}, "Tags.member.1.ResourceType": {"auto-scaling-group"},
			"Tags.member.1.Key": {noSpot}, "Tags.member.1.Value": {"true"}, "Tags.member.1.PropagateAtLaunch": {"false"},
		}, nil)
	})
}

// Plenty ends a shortage: groups start what they have lacked.
func (c *Cloud) Plenty(ctx context.Context) error {
	return c.eachGroup(ctx, func(g group) error {
		err := c.moto.query(ctx, "autoscaling", "DeleteTags", url.Values{
			"Tags.member.1.ResourceId": {g.Name}, "Tags.member.1.ResourceType": {"auto-scaling-group"},
			"Tags.member.1.Key": {noSpot},
		}, nil)
		if err != nil || len(g.Members) >= g.Desired {
			return err
		}
		return c.moto.query(ctx, "autoscaling", "SetDesiredCapacity",
			url.Values{"AutoScalingGroupName": {g.Name}, "DesiredCapacity": {strconv.Itoa(g.Desired)}}, nil)
	})
}

// eachGroup does something with every Auto Scaling group.
func (c *Cloud) eachGroup(ctx context.Context, do func(group) error) error {
	var out struct {
		Groups []group `xml:"DescribeAutoScalingGroupsResult>AutoScalingGroups>member"`
	}
	if err := c.moto.query(ctx, "autoscaling", "DescribeAutoScalingGroups", url.Values{}, &out); err != nil {
		return err
	}
	var all []error
	for _, g := range out.Groups {
		all = append(all, do(g))
	}
	return errors.Join(all...)
}

// Schedule is an entry of the service that works by the clock.
type Schedule struct {
	Name      string
	GroupName string
	State     string
	StartDate float64 // seconds since 1970
	Target    struct{ Arn, Input string }
}

// Schedules returns what the cloud is to do by itself from some moment on, but for what goes while it looks: fleets come
// and go side by side.
func (c *Cloud) Schedules(ctx context.Context) ([]Schedule, error) {
	var list struct{ Schedules []Schedule }
	if err := c.moto.schedules(ctx, "/schedules", &list); err != nil {
		return nil, err
	}
	var all []Schedule
	for _, s := range list.Schedules {
		path := "/schedules/" + url.PathEscape(s.Name) + "?groupName=" + url.QueryEscape(s.GroupName)
		err := c.moto.schedules(ctx, path, &s)
		if errs.KindOf(err) == errs.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Fire does what schedules say that have begun by a time, as the cloud would then, and returns how many there are.
func (c *Cloud) Fire(ctx context.Context, at time.Time) (fired int, err error) {
	all, err := c.Schedules(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if s.State != "ENABLED" || int64(s.StartDate) > at.Unix() {
			continue
		}
		if err := c.fire(ctx, s); err != nil {
			return fired, err
		}
		fired++
	}
	return fired, nil
}

// fire calls the action of a service that a schedule names: arn:aws:scheduler:::aws-sdk:SERVICE:ACTION.
func (c *Cloud) fire(ctx context.Context, s Schedule) error {
	call, ok := strings.CutPrefix(s.Target.Arn, "arn:aws:scheduler:::aws-sdk:")
	service, action, _ := strings.Cut(call, ":")
	if !ok || service != "autoscaling" || action == "" {
		return fmt.Errorf("schedule %s calls %s, which this cloud can't", s.Name, s.Target.Arn)
	}
	var input map[string]any
	if err := json.Unmarshal([]byte(s.Target.Input), &input); err != nil {
		return fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	params := url.Values{}
	for k, v := range input {
		params.Set(k, fmt.Sprint(v))
	}
	c.options.Log("schedule %s: %s %s", s.Name, call, s.Target.Input)
	return c.moto.query(ctx, service, strings.ToUpper(action[:1])+action[1:], params, nil)
}
