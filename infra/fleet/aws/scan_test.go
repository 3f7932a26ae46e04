package aws

import (
	"net/url"
	"slices"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// TestScanKeepsToItsRegion makes in two regions what fleets of one name have of services that are one for all regions:
// a scan of one must not find what is the other's, since a deploy and a teardown remove what no state of theirs knows.
func TestScanKeepsToItsRegion(t *testing.T) {
	fleettest.Start(t)
	here := newProvider(t)
	there, err := New(t.Context(), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Provider{here, there} {
		p.makeGlobals(t, "twin")
	}
	for _, cluster := range []string{"twin", ""} {
		found, err := here.Scan(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			if r.ID != "runner-twin-"+here.region {
				t.Errorf("a scan of %q finds %v in %s", cluster, r, here.region)
			}
		}
		if len(found) != 3 {
			t.Errorf("a scan of %q finds %v, want a role, a profile and a bucket", cluster, found)
		}
	}
}

// makeGlobals makes a role, a profile and a bucket of a cluster, all of one name.
func (p *Provider) makeGlobals(t *testing.T, cluster string) {
	t.Helper()
	name := "runner-" + cluster + "-" + p.region
	at := iamPath(cluster) + p.region + "/"
	role := url.Values{"RoleName": {name}, "Path": {at}, "AssumeRolePolicyDocument": {"{}"}}
	if err := p.call.query(t.Context(), iam, "CreateRole", role, nil); err != nil {
		t.Fatal(err)
	}
	profile := url.Values{"InstanceProfileName": {name}, "Path": {at}}
	if err := p.call.query(t.Context(), iam, "CreateInstanceProfile", profile, nil); err != nil {
		t.Fatal(err)
	}
	bucket := &s3.CreateBucketInput{Bucket: &name}
	if p.region != fleettest.Region {
		bucket.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(p.region)}
	}
	if _, err := p.s3().CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	tags := &types.Tagging{TagSet: []types.Tag{{Key: sdk.String(clusterTag), Value: &cluster}}}
	_, err := p.s3().PutBucketTagging(t.Context(), &s3.PutBucketTaggingInput{Bucket: &name, Tagging: tags})
	if err != nil {
		t.Fatal(err)
	}
}

// TestScanGoesOn lets another fleet's schedules go in the middle of a scan of all.
func TestScanGoesOn(t *testing.T) {
	cloud := fleettest.Start(t)
	p := newProvider(t)
	for _, cluster := range []string{"goes", "stays"} {
		group := map[string]any{"Tags": []map[string]string{{"Key": clusterTag, "Value": cluster}}}
		if err := p.call.rest(t.Context(), "POST", "/schedule-groups/"+scheduleGroup(cluster), group, nil); err != nil {
			t.Fatal(err)
		}
	}
	cloud.Refuse(fleettest.Refusal{
		Action: "GET", Holds: "schedule-group/" + scheduleGroup("goes"), Code: "ResourceNotFoundException",
	})
	found, err := p.Scan(t.Context(), "")
	if err != nil || len(found) != 1 || found[0].Cluster != "stays" || time.Since(found[0].Created) > time.Hour {
		t.Errorf("a scan finds %v, %v", found, err)
	}
}

// TestScansAgree scans twice what nobody has changed meanwhile: since when it is what it is must not look otherwise.
func TestScansAgree(t *testing.T) {
	fleettest.Start(t)
	p := newProvider(t)
	const name = "same"
	p.makeGlobals(t, name)
	makeGroup(t, p, name)
	group := map[string]any{"Tags": []map[string]string{{"Key": clusterTag, "Value": name}}}
	if err := p.call.rest(t.Context(), "POST", "/schedule-groups/"+scheduleGroup(name), group, nil); err != nil {
		t.Fatal(err)
	}
	secret := map[string]string{"Name": iamPath(name) + "node/ca", "Value": "x", "Type": "SecureString"}
	if err := p.call.json(t.Context(), ssm, "PutParameter", secret, nil); err != nil {
		t.Fatal(err)
	}
	workers := 1
	if err := p.Adjust(t.Context(), name, fleet.Change{Workers: &workers}); err != nil {
		t.Fatal(err)
	}
	first, err := p.Scan(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Scan(t.Context(), name)
	if err != nil || !slices.Equal(first, second) {
		t.Errorf("a second scan finds\n%v instead of\n%v, %v", second, first, err)
	}
	dated := 0
	for _, r := range first {
		if !r.Created.IsZero() {
			dated++
		}
	}
	if dated < 6 {
		t.Errorf("it is known of %d since when they are there: %v", dated, first)
	}
}
