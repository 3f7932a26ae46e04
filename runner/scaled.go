package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/scaling"
)

// scaledMachines returns the fleet's machines for a control that can change how many there are; nil if it can't.
func scaledMachines(ctx context.Context, f *fleet.Fleet, log *slog.Logger) (*scaling.Machines, error) {
	where := os.Getenv(fleet.PoolEnv)
	if where == "" {
		return nil, nil
	}
	pool, cluster, err := deploy.OpenPool(ctx, where)
	if err != nil {
		return nil, err
	}
	cfg := scaling.Config{Cluster: cluster, Pool: pool, Eligible: f.Eligible, Log: log}
	d := &cfg.Book.Depot
	if d.Store, d.Base, err = newResolver("")(ctx, os.Getenv(fleet.DepotEnv)); err != nil {
		return nil, err
	}
	return scaling.New(cfg), nil
}
