package main

import (
	"cmp"
	"context"
	"os"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/limit"
	"github.com/seed3322913c/runner/infra/store/retry"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/runner/say"
)

// resolver gives URIs their meaning: here alone a scheme is tied to a driver. A driver is opened when it is first needed.
type resolver struct {
	sync.Mutex
	open map[string]store.Store // by scheme and authority
}

// newResolver returns a store.Resolve for what jobs read.
func newResolver() store.Resolve {
	r := &resolver{open: map[string]store.Store{}}
	return r.resolve
}

func (r *resolver) resolve(ctx context.Context, uri string) (store.Store, store.Name, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	authority, path, _ := strings.Cut(rest, "/")
	name := store.Name(strings.Trim(path, "/"))
	place := scheme + "://" + authority
	r.Lock()
	defer r.Unlock()
	if st, ok := r.open[place]; ok {
		return st, name, nil
	}
	st, err := openStore(ctx, scheme, authority)
	if err != nil {
		return nil, "", err
	}
	r.open[place] = st
	return st, name, nil
}

func openStore(ctx context.Context, scheme, authority string) (store.Store, error) {
	switch {
	case scheme == "file" && authority == "":
		return file.New("/", file.Options{KeepDirs: true})
	case scheme == "s3" && authority != "":
		return openBucket(ctx, authority)
	}
	return nil, say.Errorf(errs.Unsupported, "%s://%s cannot be read: this version reads local files and s3://BUCKET", scheme, authority)
}

// openBucket opens a bucket for reading, as the environment of the AWS tools says. Reads outside in: what fails for a
// passing reason is repeated, and at most so many requests are under way.
func openBucket(ctx context.Context, bucket string) (store.Store, error) {
	const calls = 64
	endpoint := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	st, err := s3.Open(ctx, s3.Config{
		Bucket: bucket, Endpoint: endpoint, PathStyle: endpoint != "",
		NoProbe: true, // what is only read need not honour conditional writes, and may not be written to
	})
	if err != nil {
		return nil, say.Errorf(errs.KindOf(err), "s3://%s cannot be opened: %s", bucket, say.Sentence(err))
	}
	return retry.New(limit.New(st, limit.Options{Calls: calls}), retry.Defaults()), nil
}
