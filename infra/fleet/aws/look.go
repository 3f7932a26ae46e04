package aws

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// ReadState implements fleet.StateReader. Terraform's lock is an object beside the state.
func (p *Provider) ReadState(ctx context.Context, s fleet.Setup) (state []byte, locked bool, err error) {
	bucket, key := s.Backend["bucket"].(string), s.Backend["key"].(string)
	lock, err := p.object(ctx, bucket, key+".tflock", s.Account)
	if err == nil {
		state, err = p.object(ctx, bucket, key, s.Account)
	}
	return state, lock != nil, err
}

// object returns what an object of an account's bucket holds; nil if there is none, or no bucket.
func (p *Provider) object(ctx context.Context, bucket, key, account string) ([]byte, error) {
	const op = "s3.GetObject"
	out, err := p.s3().GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, ExpectedBucketOwner: &account})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return nil, nil
	}
	if err = wrap(op, bucket, err); errs.KindOf(err) == errs.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer out.Body.Close() // read to its end, or given up
	text, err := io.ReadAll(io.LimitReader(out.Body, longestAnswer))
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, bucket, err)
	}
	return text, nil
}
