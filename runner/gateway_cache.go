package main

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/gateway"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/cache"
	"github.com/seed3322913c/runner/infra/strictyaml"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
)

// bucketCache is how much of a bucket is kept on disk if nothing is said.
const bucketCache = "1GiB"

// maxCaches is how many gateways of one store may run on a machine and have a cache.
const maxCaches = 16

// openCache puts a cache on this machine's disk in front of a store, if there is to be one. The directory has the name
// of what tells the store from others, so that nothing of another one is ever served.
func (o *gatewayOptions) openCache(ctx context.Context, st store.Store) (store.Store, error) {
	size := o.cache
	if size == "" && strings.HasPrefix(o.store, "s3://") {
		size = bucketCache
	}
	if size == "" || size == "0" {
		return st, nil
	}
	limit, err := strictyaml.ParseSize(size)
	if err != nil {
		return nil, say.Errorf(errs.Invalid, "--cache: %s", errs.Cause(err))
	}
	home, err := embedded.HomeDir()
	if err != nil {
		return nil, err
	}
	cluster, err := gateway.Cluster(ctx, st)
	if err != nil {
		return nil, err
	}
	for i := range maxCaches {
		dir := filepath.Join(home, "cache", cluster, strconv.Itoa(i))
		kept, err := cache.New(st, dir, cache.Options{Prefix: block.Prefix, Limit: limit})
		if errs.KindOf(err) == errs.Exist {
			continue // another gateway of this machine has it
		}
		if err != nil {
			return nil, say.Errorf(errs.KindOf(err), "%s cannot be a cache: %s (--cache 0: none)", dir, errs.Cause(err))
		}
		return kept, nil // for as long as the process lives
	}
	return st, nil
}
