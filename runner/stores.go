package main

import (
	"cmp"
	"context"
	"os"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/functions/tera"
	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/limit"
	"github.com/seed3322913c/runner/infra/store/meter"
	"github.com/seed3322913c/runner/infra/store/retry"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/runner/say"
)

// resolver gives URIs their meaning: here alone a scheme is tied to a driver. A driver is opened when it is first
// needed.
type resolver struct {
	sync.Mutex
	open  map[string]store.Store // by scheme and authority
	probe string
}

// newResolver returns a store.Resolve for what jobs read and write. A store that is to be written to must honour
// conditional writes; that is tried out once, before a job is submitted, if probe is a URI in that store. Processes of
// the job trust it then. What is only read is left alone: it need not honour them, and may not be written to.
func newResolver(probe string) store.Resolve {
	r := &resolver{open: map[string]store.Store{}}
	r.probe, _ = cut(probe)
	return r.resolve
}

// cut splits a URI into scheme with authority, and the name there.
func cut(uri string) (place string, name store.Name) {
	scheme, rest, _ := strings.Cut(uri, "://")
	authority, path, _ := strings.Cut(rest, "/")
	return scheme + "://" + authority, store.Name(strings.Trim(path, "/"))
}

func (r *resolver) resolve(ctx context.Context, uri string) (store.Store, store.Name, error) {
	place, name := cut(uri)
	r.Lock()
	defer r.Unlock()
	if st, ok := r.open[place]; ok {
		return st, name, nil
	}
	st, err := openStore(ctx, place, place == r.probe)
	if err != nil {
		return nil, "", err
	}
	r.open[place] = st
	return st, name, nil
}

func openStore(ctx context.Context, place string, probe bool) (store.Store, error) {
	if place == "file://" {
		return file.New("/", file.Options{KeepDirs: true})
	}
	if place == "teragen://rows" {
		return tera.Store{}, nil
	}
	if bucket, ok := strings.CutPrefix(place, "s3://"); ok && bucket != "" {
		return openBucket(ctx, bucket, probe)
	}
	if isGateway(place) {
		c, err := openGateway(place, newResolver(""))
		if err != nil {
			return nil, err
		}
		return client.NewStore(c), nil
	}
	return nil, say.Errorf(errs.Unsupported,
		"there is no way to %s: this version knows local files, s3://BUCKET, hdfs:// and webhdfs://", place)
}

// openBucket opens a bucket as the environment of the AWS tools says. Reads outside in: what fails for a passing
// reason is repeated, at most so many requests are under way, and what is asked is counted.
func openBucket(ctx context.Context, bucket string, probe bool) (store.Store, error) {
	const calls = 64
	endpoint := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	st, err := s3.Open(ctx, s3.Config{Bucket: bucket, Endpoint: endpoint, PathStyle: endpoint != "", NoProbe: !probe})
	if err != nil {
		return nil, say.Errorf(errs.KindOf(err), "s3://%s cannot be opened: %s", bucket, say.Sentence(err))
	}
	return meter.New(retry.New(limit.New(st, limit.Options{Calls: calls}), retry.Defaults())), nil
}
