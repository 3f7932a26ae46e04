// Package aws is the provider of fleets on Amazon's cloud: who asks, where the state is kept, and what is there
// whatever a state says.
//
// Machines are two Auto Scaling groups, servers and workers, whose sizes are set here and nowhere else: Terraform makes
// them empty. The dead-man switch sets them to 0 again.
//
// The SDK signs and finds credentials and speaks S3. The few calls of other services are made by hand, since their
// packages, EC2's above all, would double the time that this program takes to build.
package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// Provider is AWS in one region, for who the environment says (AWS_PROFILE, AWS_ACCESS_KEY_ID, ...). AWS_ENDPOINT_URL
// leads it elsewhere. It may be used by many goroutines at once.
type Provider struct {
	call   *caller
	region string
}

var (
	_ fleet.Provider     = (*Provider)(nil)
	_ fleet.StateKeeper  = (*Provider)(nil)
	_ fleet.StateReader  = (*Provider)(nil)
	_ fleet.SecretKeeper = (*Provider)(nil)
	_ fleet.Waker        = (*Provider)(nil)
)

// New returns the provider of a region; with "" of the one that the environment names.
func New(ctx context.Context, region string) (*Provider, error) {
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, errs.E("aws.New", errs.Invalid, nil, err)
	}
	if c.Region == "" {
		return nil, errs.E("", errs.Invalid, nil, fmt.Errorf("AWS needs a region: say --region, or set AWS_REGION"))
	}
	return &Provider{call: newCaller(c), region: c.Region}, nil
}

// Region is where the provider's fleets are.
func (p *Provider) Region() string { return p.region }

// clusterTag is on everything, and names the cluster that it belongs to.
const clusterTag = "runner:cluster"

// expiresTag is on the groups of machines, and says until when they live.
const expiresTag = "runner:expires-at"

func serverGroup(cluster string) string   { return "runner-" + cluster + "-servers" }
func workerGroup(cluster string) string   { return "runner-" + cluster + "-workers" }
func scheduleGroup(cluster string) string { return "runner-" + cluster }

// bucketName is the name of a cluster's bucket: always the same, so that the next fleet of the name finds the data, and
// nobody else's, since names of buckets are the whole world's.
func bucketName(account, region, cluster string) string {
	sum := sha256.Sum256([]byte(account + "/" + region + "/" + cluster))
	return "runner-" + cluster + "-" + hex.EncodeToString(sum[:4])
}

// Setup checks the credentials, and whether the cluster's bucket is there from an earlier fleet.
func (p *Provider) Setup(ctx context.Context, r fleet.Request) (fleet.Setup, error) {
	if r.Region != "" && r.Region != p.region {
		return fleet.Setup{}, errs.Errorf("aws.Setup", errs.Internal, r.Region, "this is the provider of %s", p.region)
	}
	account, err := p.account(ctx)
	if err != nil {
		return fleet.Setup{}, err
	}
	bucket := bucketName(account, p.region, r.Name)
	adopt, err := p.bucketExists(ctx, bucket, account)
	if err != nil {
		return fleet.Setup{}, err
	}
	return fleet.Setup{
		Root: "aws", Account: account, Bucket: bucket, Priced: true,
		Backend: map[string]any{"bucket": "runner-state-" + account + "-" + p.region, "key": r.Name + "/terraform.tfstate",
			"region":       p.region,
			"use_lockfile": true, "encrypt": true},
		Vars: vars(r, account, p.region, bucket, adopt),
		Targets: []string{"module.wake", "module.workers", "module.servers", "module.identity", "module.network",
			"aws_s3_object.binary", "module.deadman"},
		Wakes: []string{"module.wake"},
	}, nil
}

// vars are the variables of roots/aws.
func vars(r fleet.Request, account, region, bucket string, adopt bool) map[string]any {
	binaries := map[string]any{}
	for name, path := range r.Binaries {
		binaries[name] = map[string]string{"path": path, "sha256": r.Sums[name]}
	}
	architecture := "x86_64"
	if r.Arch == fleet.ARM {
		architecture = "arm64"
	}
	return map[string]any{
		"cluster": r.Name, "owner": r.Owner, "run_id": r.RunID, "region": region, "account": account,
		"ttl_minutes": int(r.TTL / time.Minute), "expires_at": r.ExpiresAt.UTC().Format(time.RFC3339),
		"servers": r.Servers, "server_type": r.ServerType, "workers": r.Most(), "worker_types": r.WorkerTypes,
		"on_demand": fleet.OnDemand(r.Workers, r.Spot), "architecture": architecture, "disk_gib": r.DiskGiB,
		"allow_from": append([]string{}, r.AllowFrom...), "bucket": bucket, "adopt_bucket": adopt, "binaries": binaries,
		"idle_minutes": int(r.Idle / time.Minute), "ca": r.CA, "wakes": wakes(r.Wakes),
		"driver": cmp.Or(r.Driver, "exec"),
	}
}

// account is who pays for what these credentials make.
func (p *Provider) account(ctx context.Context) (string, error) {
	var out struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	if err := p.call.query(ctx, sts, "GetCallerIdentity", nil, &out); err != nil {
		return "", err
	}
	return out.Account, nil
}

// Machines returns the machines of a cluster.
func (p *Provider) Machines(ctx context.Context, cluster string) ([]fleet.Machine, error) {
	var all []fleet.Machine
	err := p.instances(ctx, cluster, func(i instance) {
		all = append(all, fleet.Machine{
			ID: i.ID, Role: fleet.Role(tagValue(i.Tags, "runner:role")), State: i.State, Type: i.Type, Zone: i.Zone,
			Spot:    i.Lifecycle == "spot",
			Private: i.Private, Public: i.Public, Started: i.Started,
		})
	})
	return all, err
}

// clusterFilter is EC2's filter for what belongs to a cluster, or to any.
func clusterFilter(cluster string) url.Values {
	if cluster == "" {
		return url.Values{"Filter.1.Name": {"tag-key"}, "Filter.1.Value.1": {clusterTag}}
	}
	return url.Values{"Filter.1.Name": {"tag:" + clusterTag}, "Filter.1.Value.1": {cluster}}
}

// clusterOfPath is the cluster in "/runner/NAME/...".
func clusterOfPath(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/runner/"), "/")
	return name
}
