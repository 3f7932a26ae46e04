package aws

import (
	"context"
	"net/url"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// Remove removes one resource that Scan has found.
func (p *Provider) Remove(ctx context.Context, r fleet.Resource) error {
	err := p.remove(ctx, r)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}

func (p *Provider) remove(ctx context.Context, r fleet.Resource) error {
	switch r.Service + " " + r.Kind {
	case "autoscaling group":
		return p.call.query(ctx, autoscaling, "DeleteAutoScalingGroup",
			url.Values{"AutoScalingGroupName": {r.ID}, "ForceDelete": {"true"}}, nil)
	case "ec2 instance":
		return p.call.query(ctx, ec2, "TerminateInstances", url.Values{"InstanceId.1": {r.ID}}, nil)
	case "ec2 internet-gateway":
		if err := p.detachGateway(ctx, r.ID); err != nil {
			return err
		}
	case "ec2 route-table":
		if err := p.disassociate(ctx, r.ID); err != nil {
			return err
		}
	case "iam role":
		return p.removeRole(ctx, r.ID)
	case "iam instance-profile":
		return p.removeProfile(ctx, r.ID)
	case "ssm parameter":
		return p.call.json(ctx, ssm, "DeleteParameter", map[string]string{"Name": r.ID}, nil)
	case "scheduler group":
		return p.call.rest(ctx, "DELETE", "/schedule-groups/"+url.PathEscape(r.ID), nil, nil)
	case "s3 bucket":
		return p.removeBucket(ctx, r.ID)
	}
	at := slices.IndexFunc(ec2Kinds, func(k ec2Kind) bool { return r.Service == "ec2" && r.Kind == k.kind })
	if at < 0 {
		return errs.Errorf("aws.Remove", errs.Internal, r, "it is of no kind that a scan finds")
	}
	return p.call.query(ctx, ec2, ec2Kinds[at].remove, url.Values{ec2Kinds[at].param: {r.ID}}, nil)
}

// detachGateway takes an internet gateway from its network.
func (p *Provider) detachGateway(ctx context.Context, id string) error {
	var out struct {
		VPCs []string `xml:"internetGatewaySet>item>attachmentSet>item>vpcId"`
	}
	err := p.call.query(ctx, ec2, "DescribeInternetGateways", url.Values{"InternetGatewayId.1": {id}}, &out)
	if err != nil {
		return err
	}
	for _, vpc := range out.VPCs {
		err := p.call.query(ctx, ec2, "DetachInternetGateway", url.Values{"InternetGatewayId": {id}, "VpcId": {vpc}}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// disassociate takes a route table from its subnets.
func (p *Provider) disassociate(ctx context.Context, table string) error {
	var out struct {
		Associations []string `xml:"routeTableSet>item>associationSet>item>routeTableAssociationId"`
	}
	err := p.call.query(ctx, ec2, "DescribeRouteTables", url.Values{"RouteTableId.1": {table}}, &out)
	if err != nil {
		return err
	}
	for _, id := range out.Associations {
		err := p.call.query(ctx, ec2, "DisassociateRouteTable", url.Values{"AssociationId": {id}}, nil)
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
	}
	return nil
}

// removeRole removes a role with its policies; nobody else's hang on it, since it is under the cluster's own path.
func (p *Provider) removeRole(ctx context.Context, name string) error {
	role := url.Values{"RoleName": {name}}
	var own struct {
		Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
	}
	if err := p.call.query(ctx, iam, "ListRolePolicies", role, &own); err != nil {
		return err
	}
	for _, policy := range own.Names {
		err := p.call.query(ctx, iam, "DeleteRolePolicy", url.Values{"RoleName": {name}, "PolicyName": {policy}}, nil)
		if err != nil {
			return err
		}
	}
	var attached struct {
		ARNs []string `xml:"ListAttachedRolePoliciesResult>AttachedPolicies>member>PolicyArn"`
	}
	if err := p.call.query(ctx, iam, "ListAttachedRolePolicies", role, &attached); err != nil {
		return err
	}
	for _, arn := range attached.ARNs { // by hand; it would be in the way
		err := p.call.query(ctx, iam, "DetachRolePolicy", url.Values{"RoleName": {name}, "PolicyArn": {arn}}, nil)
		if err != nil {
			return err
		}
	}
	return p.call.query(ctx, iam, "DeleteRole", role, nil)
}

func (p *Provider) removeProfile(ctx context.Context, name string) error {
	profile := url.Values{"InstanceProfileName": {name}}
	var out struct {
		Roles []string `xml:"GetInstanceProfileResult>InstanceProfile>Roles>member>RoleName"`
	}
	if err := p.call.query(ctx, iam, "GetInstanceProfile", profile, &out); err != nil {
		return err
	}
	for _, role := range out.Roles {
		err := p.call.query(ctx, iam, "RemoveRoleFromInstanceProfile",
			url.Values{"InstanceProfileName": {name}, "RoleName": {role}}, nil)
		if err != nil {
			return err
		}
	}
	return p.call.query(ctx, iam, "DeleteInstanceProfile", profile, nil)
}
