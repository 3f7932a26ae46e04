package deploy

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/scaling"
)

// OpenPool returns the workers of which a machine was told (nodeinit.Machine.Pool), and the name of their cluster:
// "local:FOLDER" or "aws:REGION/CLUSTER".
func OpenPool(ctx context.Context, where string) (pool scaling.Pool, cluster string, err error) {
	provider, place, _ := strings.Cut(where, ":")
	dir, cluster := filepath.Split(place)
	switch provider {
	case local.Name:
		return local.New(filepath.Dir(filepath.Clean(dir))), cluster, nil // FOLDER is <home>/local/CLUSTER
	case "aws":
		pool, err = aws.New(ctx, filepath.Clean(dir))
		return pool, cluster, err
	}
	return nil, "", errs.Errorf("deploy.OpenPool", errs.Invalid, where, "no such provider")
}
