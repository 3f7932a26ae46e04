package s3

import (
	"context"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// perPage lets the SDK repeat the request for one page: nobody else can go on there, the seam only knows how to list
// from the beginning, and a listing of a million names has a thousand pages.
func perPage(o *s3.Options) { o.Retryer = retry.NewStandard() }

// List implements store.Store. Keys that end with a slash, the "folders" of S3's console, are left out; other keys
// that are no Names end the listing with an error that names them.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	const op = "s3.List"
	return func(yield func(store.Info, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
			Bucket: &s.bucket, Prefix: aws.String(s.prefix + prefix), EncodingType: types.EncodingTypeUrl,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx, perPage)
			if err != nil {
				yield(store.Info{}, failed(op, store.Name(prefix), err))
				return
			}
			for _, o := range page.Contents {
				name, err := s.decode(o.Key, page.EncodingType)
				if err != nil {
					yield(store.Info{}, errs.E(op, errs.Other, prefix, err))
					return
				}
				if isFolder(name) {
					continue
				}
				info := store.Info{
					Name: name, Size: aws.ToInt64(o.Size),
					Modified: aws.ToTime(o.LastModified), Version: aws.ToString(o.ETag),
				}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// Uploads implements store.Multipart.
func (s *Store) Uploads(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	const op = "s3.Uploads"
	return func(yield func(store.Upload, error) bool) {
		pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
			Bucket: &s.bucket, Prefix: aws.String(s.prefix + prefix), EncodingType: types.EncodingTypeUrl,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx, perPage)
			if err != nil {
				yield(store.Upload{}, failed(op, store.Name(prefix), err))
				return
			}
			for _, u := range page.Uploads {
				name, err := s.decode(u.Key, page.EncodingType)
				if err != nil {
					yield(store.Upload{}, errs.E(op, errs.Other, prefix, err))
					return
				}
				if !yield(store.Upload{Name: name, ID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)}, nil) {
					return
				}
			}
		}
	}
}

// decode returns the name of a key in a listing. It is URL-encoded, since XML can't hold every name, if the server
// says so.
func (s *Store) decode(key *string, encoding types.EncodingType) (store.Name, error) {
	text := aws.ToString(key)
	if encoding == types.EncodingTypeUrl {
		var err error
		if text, err = url.QueryUnescape(text); err != nil {
			return "", errs.E("", errs.Corrupt, aws.ToString(key), err)
		}
	}
	name := store.Name(strings.TrimPrefix(text, s.prefix))
	if isFolder(name) {
		return name, nil
	}
	return name, name.Check()
}

// isFolder reports whether a name is that of a "folder", or of the prefix as one.
func isFolder(name store.Name) bool { return name == "" || strings.HasSuffix(string(name), "/") }
