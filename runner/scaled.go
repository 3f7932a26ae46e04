package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
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

// fixedOrElastic refuses flags that say of one fleet how many workers it has, and how many it may have.
func fixedOrElastic(cmd *cobra.Command) error {
	said := cmd.Flags().Changed
	switch {
	case said("workers") && (said("max") || said("min")):
		return say.Errorf(errs.Invalid, "--workers is for a fleet that stays as it is, --min and --max for one that does not")
	case (said("min") || said("cooldown")) && !said("max"):
		return say.Errorf(errs.Invalid, "say with --max how many workers there may be")
	}
	return nil
}

// tellScalings are lines for people about what a fleet has decided about its size.
func tellScalings(events []scaling.Event) string {
	var b strings.Builder
	const most = 3
	for _, e := range events[:min(most, len(events))] {
		fmt.Fprintf(&b, "  %s  %s\n", clock(e.Time), e.Decision)
		if e.Error != "" {
			fmt.Fprintf(&b, "    which did not work: %s\n", e.Error)
		}
	}
	return b.String()
}
