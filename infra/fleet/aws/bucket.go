package aws

import (
	"context"
	"errors"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// s3 returns a client of S3. A server of another maker has its buckets in the path.
func (p *Provider) s3() *s3.Client {
	return s3.NewFromConfig(p.call.config, func(o *s3.Options) {
		o.UsePathStyle = sdk.ToString(p.call.config.BaseEndpoint) != ""
	})
}

const noBucket = "NoSuchBucket"

// codeOf is what S3 calls an error; "" if S3 has not said it.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// wrap gives an error of S3 its kind.
func wrap(op, bucket string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return errs.E(op, unreachable(err), bucket, err)
	}
	kind := fleet.KindOf(api.ErrorCode())
	switch {
	case anyIn(api.ErrorCode(), absent):
		kind = errs.NotFound
	case api.ErrorCode() == "Forbidden":
		kind = errs.Permission
	case kind == errs.Other:
		kind = errs.Failed
	}
	return errs.Errorf(op, kind, bucket, "%s: %s", api.ErrorCode(), api.ErrorMessage())
}

// bucketExists reports whether a bucket is there. One that belongs to another account fails with errs.Permission: names
// can be guessed, so somebody may have been first.
func (p *Provider) bucketExists(ctx context.Context, bucket, account string) (bool, error) {
	_, err := p.s3().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket, ExpectedBucketOwner: &account})
	err = wrap("s3.HeadBucket", bucket, err)
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	return err == nil, err
}

// empty removes every version of every object whose name begins with prefix.
func (p *Provider) empty(ctx context.Context, bucket, prefix string) error {
	const op = "s3.Empty"
	c := p.s3()
	pages := s3.NewListObjectVersionsPaginator(c, &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err = wrap(op, bucket, err); errs.KindOf(err) == errs.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		var all []types.ObjectIdentifier
		for _, v := range page.Versions {
			all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range page.DeleteMarkers {
			all = append(all, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
		if len(all) == 0 {
			continue
		}
		out, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket,
			Delete: &types.Delete{Objects: all, Quiet: sdk.Bool(true)}})
		if err != nil {
			return wrap(op, bucket, err)
		}
		if len(out.Errors) > 0 {
			return errs.Errorf(op, fleet.KindOf(sdk.ToString(out.Errors[0].Code)), bucket, "%s: %s",
				sdk.ToString(out.Errors[0].Key), sdk.ToString(out.Errors[0].Message))
		}
	}
	return nil
}

// scanBuckets finds buckets by tag, data and all. Those of other regions are left out, which S3 would list as well: they
// are of other fleets, of the same name perhaps.
func (p *Provider) scanBuckets(ctx context.Context, cluster string) ([]fleet.Resource, error) {
	c := p.s3()
	prefix := "runner-" + cluster
	out, err := c.ListBuckets(ctx, &s3.ListBucketsInput{Prefix: &prefix, BucketRegion: &p.region})
	if err != nil {
		return nil, wrap("s3.ListBuckets", prefix, err)
	}
	var found []fleet.Resource
	for _, b := range out.Buckets {
		if !strings.HasPrefix(*b.Name, prefix) {
			continue // a server that knows no prefixes
		}
		of, err := p.bucketTag(ctx, *b.Name)
		if err != nil {
			return nil, err
		}
		if of != "" && (cluster == "" || of == cluster) {
			found = append(found, fleet.Resource{Service: "s3", Kind: "bucket", ID: *b.Name, Cluster: of,
				Created: sdk.ToTime(b.CreationDate), Data: true})
		}
	}
	return found, nil
}

// bucketTag is the cluster that a bucket belongs to, or "".
func (p *Provider) bucketTag(ctx context.Context, bucket string) (string, error) {
	tags, err := p.s3().GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &bucket})
	if code := codeOf(err); code == "NoSuchTagSet" || code == noBucket {
		return "", nil
	}
	if err != nil {
		return "", wrap("s3.GetBucketTagging", bucket, err)
	}
	for _, t := range tags.TagSet {
		if sdk.ToString(t.Key) == clusterTag {
			return sdk.ToString(t.Value), nil
		}
	}
	return "", nil
}

func (p *Provider) removeBucket(ctx context.Context, bucket string) error {
	if err := p.empty(ctx, bucket, ""); err != nil {
		return err
	}
	_, err := p.s3().DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
	return wrap("s3.DeleteBucket", bucket, err)
}
