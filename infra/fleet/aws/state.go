package aws

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/fleet"
)

// A state bucket holds the states of all fleets of an account and region, and goes with the last of them. An operation
// that has only just begun has no state yet, so it lays down a claim: S3 removes no bucket that something is in.
//
//	<fleet>/terraform.tfstate                  Terraform's
//	<fleet>/terraform.tfstate.tflock           while it runs
//	<fleet>/terraform.tfstate.claim-<random>   from before it runs until the operation ends

// remaking is how long S3 may take until a bucket that was just removed can be made again.
const remaking = 5 * time.Minute

// KeepState implements fleet.StateKeeper.
func (p *Provider) KeepState(ctx context.Context, s fleet.Setup) (leave func(context.Context) error, err error) {
	const op = "s3.KeepState"
	c, bucket, claim := p.s3(), s.Backend["bucket"].(string), s.Backend["key"].(string)+".claim-"+rand.Text()
	var put *s3.PutObjectOutput // nil: not yet
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxElapsedTime(remaking))
	err = backoff.Retry(func() (err error) {
		if put == nil {
			put, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &claim, ExpectedBucketOwner: &s.Account})
		}
		switch {
		case codeOf(err) == noBucket:
			err = cmp.Or(p.makeStateBucket(ctx, bucket), err)
		case err == nil && sdk.ToString(put.VersionId) == "": // who has made the bucket was cut off, or is at it
			err = p.makeStateBucket(ctx, bucket)
		}
		if code := codeOf(err); err == nil || code == noBucket || code == "OperationAborted" { // its removal is not over
			return err
		}
		return backoff.Permanent(err)
	}, backoff.WithContext(pauses, ctx))
	if err != nil {
		return nil, wrap(op, bucket, err)
	}
	return func(ctx context.Context) error {
		// Deleting a version leaves no marker behind, which would keep the bucket.
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &claim,
			VersionId: sdk.String(cmp.Or(sdk.ToString(put.VersionId), "null"))})
		if codeOf(err) == noBucket { // the fleet was removed
			err = nil
		}
		return wrap(op, bucket, err)
	}, nil
}

// makeStateBucket makes a bucket that nobody else can read, and that keeps what is overwritten: that comes last, so one
// that does is whole.
func (p *Provider) makeStateBucket(ctx context.Context, bucket string) error {
	c, in, yes := p.s3(), &s3.CreateBucketInput{Bucket: &bucket}, sdk.Bool(true)
	if p.region != "us-east-1" { // the one region that may not be named
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(p.region)}
	}
	if _, err := c.CreateBucket(ctx, in); err != nil && codeOf(err) != "BucketAlreadyOwnedByYou" {
		return err
	}
	_, err := c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: &bucket,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: yes, BlockPublicPolicy: yes,
			IgnorePublicAcls: yes, RestrictPublicBuckets: yes}})
	if err != nil {
		return err
	}
	_, err = c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	return err
}

// ForgetState implements fleet.StateKeeper. The last fleet's takes the bucket along.
func (p *Provider) ForgetState(ctx context.Context, s fleet.Setup) error {
	bucket, key := s.Backend["bucket"].(string), s.Backend["key"].(string)
	if err := p.empty(ctx, bucket, key); err != nil {
		return err
	}
	_, err := p.s3().DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
	if code := codeOf(err); code == "BucketNotEmpty" || code == noBucket {
		return nil // another fleet's state or claim is in it, or it is gone
	}
	return wrap("s3.DeleteBucket", bucket, err)
}
