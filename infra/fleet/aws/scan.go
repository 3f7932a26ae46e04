package aws

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// atOnce is how many questions of a scan are under way at a time.
const atOnce = 6

// Scan asks every service that can hold a part of a fleet. The order of what it returns is that of removal: what starts
// machines, machines, what hangs on the network, the network, who machines were, and the dead-man switch last, so that
// it still works while there is something for it to do.
func (p *Provider) Scan(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	questions := []func(context.Context, string) ([]fleet.Resource, error){p.scanGroups, p.scanInstances}
	for _, k := range ec2Kinds {
		questions = append(questions, func(ctx context.Context, cluster string) ([]fleet.Resource, error) {
			return p.scanEC2(ctx, k, cluster)
		})
	}
	questions = append(questions, p.scanProfiles, p.scanRoles, p.scanParameters, p.scanSchedules, p.scanBuckets)
	answers := make([][]fleet.Resource, len(questions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, ask := range questions {
		group.Go(func() (err error) {
			answers[i], err = ask(ctx, cluster)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	// What a service lists beyond what it was asked for must not be taken for this cluster's.
	return slices.DeleteFunc(slices.Concat(answers...), func(r fleet.Resource) bool {
		return r.Cluster == "" || cluster != "" && r.Cluster != cluster
	}), nil
}

// tag is one of a resource's tags, in either of the two spellings of XML services.
type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// tagged is an item of EC2's lists; each kind fills the fields that it has.
type tagged struct {
	Tags      []tag  `xml:"tagSet>item"`
	State     string `xml:"state"`
	Status    string `xml:"status"` // of disks and interfaces
	GroupName string `xml:"groupName"`

	Volume    string `xml:"volumeId"`
	Interface string `xml:"networkInterfaceId"`
	Address   string `xml:"allocationId"`
	Endpoint  string `xml:"vpcEndpointId"`
	NAT       string `xml:"natGatewayId"`
	Table     string `xml:"routeTableId"`
	Subnet    string `xml:"subnetId"`
	Group     string `xml:"groupId"`
	Gateway   string `xml:"internetGatewayId"`
	VPC       string `xml:"vpcId"`
	Template  string `xml:"launchTemplateId"`
}

func (t tagged) cluster() string { return tagValue(t.Tags, clusterTag) }

func tagValue(tags []tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// ec2Kind is a kind of resource of EC2, all of which are listed and removed alike.
type ec2Kind struct {
	kind   string
	list   string              // the action that lists them
	id     func(tagged) string // as the kind names itself
	remove string              // the action that removes one
	param  string              // the parameter of both that names it
}

// ec2Kinds are in the order of removal. Kinds that Terraform never makes are among them, since a user may have added
// one to a fleet's network under the fleet's tags.
var ec2Kinds = []ec2Kind{
	{"launch-template", "DescribeLaunchTemplates", func(t tagged) string { return t.Template },
		"DeleteLaunchTemplate", "LaunchTemplateId"},
	{"volume", "DescribeVolumes", func(t tagged) string { return t.Volume }, "DeleteVolume", "VolumeId"},
	{"nat-gateway", "DescribeNatGateways", func(t tagged) string { return t.NAT }, "DeleteNatGateway",
		"NatGatewayId"},
	{"vpc-endpoint", "DescribeVpcEndpoints", func(t tagged) string { return t.Endpoint },
		"DeleteVpcEndpoints", "VpcEndpointId.1"},
	{"network-interface", "DescribeNetworkInterfaces", func(t tagged) string { return t.Interface },
		"DeleteNetworkInterface", "NetworkInterfaceId"},
	{"address", "DescribeAddresses", func(t tagged) string { return t.Address }, "ReleaseAddress",
		"AllocationId"},
	{"subnet", "DescribeSubnets", func(t tagged) string { return t.Subnet }, "DeleteSubnet", "SubnetId"},
	{"route-table", "DescribeRouteTables", func(t tagged) string { return t.Table }, "DeleteRouteTable",
		"RouteTableId"},
	{"security-group", "DescribeSecurityGroups", func(t tagged) string { return t.Group },
		"DeleteSecurityGroup", "GroupId"},
	{"internet-gateway", "DescribeInternetGateways", func(t tagged) string { return t.Gateway },
		"DeleteInternetGateway", "InternetGatewayId"},
	{"vpc", "DescribeVpcs", func(t tagged) string { return t.VPC }, "DeleteVpc", "VpcId"},
}

// going are states of what is on its way out.
var going = []string{"deleting", "deleted", "terminated", "shutting-down"}

func (p *Provider) scanEC2(ctx context.Context, k ec2Kind, cluster string) ([]fleet.Resource, error) {
	var found []fleet.Resource
	err := p.pages(ctx, k.list, clusterFilter(cluster), func(page ec2Page) {
		for _, t := range page.items() {
			switch {
			case slices.Contains(going, strings.ToLower(t.State)), t.cluster() == "":
				continue
			case t.GroupName == "default":
				continue // goes with its network, and not before
			}
			found = append(found, fleet.Resource{Service: "ec2", Kind: k.kind, ID: k.id(t), Cluster: t.cluster(),
				Part: t.Status != "" && t.Status != "available"}) // a disk or an interface of a machine
		}
	})
	return found, err
}

// ec2Page is a page of one of EC2's lists: of all of these the one that was asked for is filled.
type ec2Page struct {
	Next         string        `xml:"nextToken"`
	Templates    []tagged      `xml:"launchTemplates>item"`
	Volumes      []tagged      `xml:"volumeSet>item"`
	NATs         []tagged      `xml:"natGatewaySet>item"`
	Endpoints    []tagged      `xml:"vpcEndpointSet>item"`
	Interfaces   []tagged      `xml:"networkInterfaceSet>item"`
	Addresses    []tagged      `xml:"addressesSet>item"`
	Subnets      []tagged      `xml:"subnetSet>item"`
	Tables       []tagged      `xml:"routeTableSet>item"`
	Groups       []tagged      `xml:"securityGroupInfo>item"`
	Gateways     []tagged      `xml:"internetGatewaySet>item"`
	VPCs         []tagged      `xml:"vpcSet>item"`
	Reservations []reservation `xml:"reservationSet>item"`
}

func (p ec2Page) items() []tagged {
	return slices.Concat(p.Templates, p.Volumes, p.NATs, p.Endpoints, p.Interfaces, p.Addresses, p.Subnets, p.Tables,
		p.Groups,
		p.Gateways, p.VPCs)
}

// pages calls an action of EC2 until it has no more to tell.
func (p *Provider) pages(ctx context.Context, action string, filter url.Values, take func(ec2Page)) error {
	for {
		var page ec2Page
		if err := p.call.query(ctx, ec2, action, filter, &page); err != nil {
			return err
		}
		take(page)
		if page.Next == "" {
			return nil
		}
		filter.Set("NextToken", page.Next)
	}
}

// reservation is how EC2 groups instances.
type reservation struct {
	Instances []instance `xml:"instancesSet>item"`
}

type instance struct {
	ID        string    `xml:"instanceId"`
	State     string    `xml:"instanceState>name"`
	Type      string    `xml:"instanceType"`
	Zone      string    `xml:"placement>availabilityZone"`
	Lifecycle string    `xml:"instanceLifecycle"`
	Private   string    `xml:"privateIpAddress"`
	Public    string    `xml:"ipAddress"`
	Started   time.Time `xml:"launchTime"`
	Tags      []tag     `xml:"tagSet>item"`
}

func (p *Provider) instances(ctx context.Context, cluster string, take func(instance)) error {
	return p.pages(ctx, "DescribeInstances", clusterFilter(cluster), func(page ec2Page) {
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				if i.State != "terminated" { // which EC2 goes on listing for an hour
					take(i)
				}
			}
		}
	})
}

// scanInstances finds machines; those of a group go with it.
func (p *Provider) scanInstances(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	var found []fleet.Resource
	err := p.instances(ctx, cluster, func(i instance) {
		found = append(found, fleet.Resource{Service: "ec2", Kind: "instance", ID: i.ID,
			Cluster: tagValue(i.Tags, clusterTag),
			Created: i.Started, Part: tagValue(i.Tags, "aws:autoscaling:groupName") != ""})
	})
	return found, err
}

// scanGroups finds Auto Scaling groups, which no service but their own lists by tag.
func (p *Provider) scanGroups(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	filter := url.Values{"Filters.member.1.Name": {"tag-key"}, "Filters.member.1.Values.member.1": {clusterTag}}
	var found []fleet.Resource
	err := p.groups(ctx, filter, func(g group) {
		for _, t := range g.Tags {
			if t.Key == clusterTag && g.Status == "" && (cluster == "" || t.Value == cluster) {
				found = append(found, fleet.Resource{Service: "autoscaling", Kind: "group", ID: g.Name, Cluster: t.Value,
					Created: g.Created})
			}
		}
	})
	return found, err
}

// iamPath is the path under which all of a cluster's secrets, roles and profiles are.
func iamPath(cluster string) string {
	if cluster == "" {
		return "/runner/"
	}
	return "/runner/" + cluster + "/"
}

// iamItem is a role or a profile.
type iamItem struct {
	Role    string    `xml:"RoleName"`
	Profile string    `xml:"InstanceProfileName"`
	Path    string    `xml:"Path"`
	Created time.Time `xml:"CreateDate"`
}

func (p *Provider) scanRoles(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	return p.scanIAM(ctx, cluster, "ListRoles", "role", func(i iamItem) string { return i.Role })
}

func (p *Provider) scanProfiles(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	return p.scanIAM(ctx, cluster, "ListInstanceProfiles", "instance-profile", func(i iamItem) string { return i.Profile })
}

// scanIAM leaves out what is of fleets in other regions, since IAM is one for all of them: the region is the last part
// of a path.
func (p *Provider) scanIAM(ctx context.Context, cluster, action, kind string, id func(iamItem) string) (
	[]fleet.Resource, error) {
	params := url.Values{"PathPrefix": {iamPath(cluster)}}
	var found []fleet.Resource
	for {
		var page struct {
			Roles          []iamItem `xml:"ListRolesResult>Roles>member"`
			Profiles       []iamItem `xml:"ListInstanceProfilesResult>InstanceProfiles>member"`
			RolesMarker    string    `xml:"ListRolesResult>Marker"`
			ProfilesMarker string    `xml:"ListInstanceProfilesResult>Marker"`
		}
		if err := p.call.query(ctx, iam, action, params, &page); err != nil {
			return nil, err
		}
		for _, i := range append(page.Roles, page.Profiles...) {
			if path.Base(i.Path) != p.region {
				continue
			}
			found = append(found, fleet.Resource{Service: "iam", Kind: kind, ID: id(i), Cluster: clusterOfPath(i.Path),
				Created: i.Created})
		}
		next := page.RolesMarker + page.ProfilesMarker
		if next == "" {
			return found, nil
		}
		params.Set("Marker", next)
	}
}

func (p *Provider) scanParameters(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	var found []fleet.Resource
	in := map[string]any{"ParameterFilters": []map[string]any{
		{"Key": "Name", "Option": "BeginsWith", "Values": []string{iamPath(cluster)}}}}
	for {
		var page struct {
			Parameters []struct {
				Name             string
				LastModifiedDate float64
			}
			NextToken string
		}
		if err := p.call.json(ctx, ssm, "DescribeParameters", in, &page); err != nil {
			return nil, err
		}
		for _, one := range page.Parameters {
			found = append(found, fleet.Resource{Service: "ssm", Kind: "parameter", ID: one.Name,
				Cluster: clusterOfPath(one.Name), Created: moment(one.LastModifiedDate)}) // what has another value is another
		}
		if page.NextToken == "" {
			return found, nil
		}
		in["NextToken"] = page.NextToken
	}
}

// moment is what services that speak JSON mean by a number: seconds since 1970.
func moment(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC()
}

// scanSchedules finds groups of schedules; their schedules go with them.
func (p *Provider) scanSchedules(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	var found []fleet.Resource
	query := url.Values{"NamePrefix": {scheduleGroup(cluster)}}
	for {
		var page struct {
			ScheduleGroups []struct {
				Arn, Name, State string
				CreationDate     float64
			}
			NextToken string
		}
		if err := p.call.rest(ctx, "GET", "/schedule-groups?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, g := range page.ScheduleGroups {
			var tags struct{ Tags []struct{ Key, Value string } }
			err := p.call.rest(ctx, "GET", "/tags/"+url.PathEscape(g.Arn), nil, &tags)
			if err != nil && errs.KindOf(err) != errs.NotFound { // one of another fleet may have gone since it was listed
				return nil, err
			}
			for _, t := range tags.Tags {
				if t.Key == clusterTag && g.State != "DELETING" && (cluster == "" || t.Value == cluster) {
					found = append(found, fleet.Resource{Service: "scheduler", Kind: "group", ID: g.Name, Cluster: t.Value,
						Created: moment(g.CreationDate)})
				}
			}
		}
		if page.NextToken == "" {
			return found, nil
		}
		query.Set("NextToken", page.NextToken)
	}
}
