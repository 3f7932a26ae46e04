package gateway

import (
	"context"

	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/store"
)

// Secret returns what the proofs of a store's gateways are made with, which the first who asks chooses.
func Secret(ctx context.Context, st store.Store) (string, error) {
	return chosen(ctx, st, webhdfs.SecretName)
}
