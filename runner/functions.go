package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/fnhost"
	"github.com/seed3322913c/runner/runner/say"
)

// This file is where functions are kept and answered: at home, or on a fleet.

// functionPlace is where functions are kept and invoked.
type functionPlace struct {
	place
	pack.Registry
	*fnhost.Client        // asks the host
	dir            string // for packages, on this machine
	logs           string // of the host, if it is on this machine
}

// openFunctions opens the place that was asked for. The returned function gives it back.
func (p *program) openFunctions(ctx context.Context) (functionPlace, func(), error) {
	at, end, err := p.open(ctx)
	if err != nil {
		return functionPlace{}, nil, err
	}
	fp := functionPlace{place: at, Registry: pack.Registry{Store: at.Jobs().Store}}
	if home, ok := at.(*embedded.Home); ok {
		fp.Client, fp.dir, fp.logs = fnhost.NewClient(home), fnhost.Dir(home), fnhost.Dir(home)
	} else if fp.Client, err = fnhost.FleetClient(at.(*fleet.Fleet)); err == nil {
		fp.dir, err = embedded.HomeDir()
		fp.dir = filepath.Join(fp.dir, "functions")
	}
	if err != nil {
		end()
		return functionPlace{}, nil, err
	}
	return fp, func() { fp.Client.Close(); end() }, nil
}

// ledger returns what is known of invocations.
func (at functionPlace) ledger(ctx context.Context) (*invoke.Ledger, error) {
	f, err := invoke.Follow(at.Store)
	if err != nil {
		return nil, err
	}
	return f.Ledger(ctx)
}

// ofRegistry makes a command with so many arguments about functions.
func ofRegistry(
	p *program, v verb, n int, action func(ctx context.Context, at functionPlace, args []string) error,
) *cobra.Command {
	_, wants, _ := strings.Cut(strings.TrimSuffix(v.use, " [flags]"), " ")
	if n == 0 {
		wants = "no argument"
	}
	return v.command(func(cmd *cobra.Command, args []string) error {
		if n >= 0 {
			if err := wantArgs(cmd, args, n, wants); err != nil {
				return err
			}
		}
		at, end, err := p.openFunctions(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		return action(cmd.Context(), at, args)
	})
}

// functionsPart shows the functions of a home to the API, and asks its host, which is started if need be.
func functionsPart(home *embedded.Home) (api.Part, error) {
	known, err := invoke.Follow(home.Store)
	if err != nil {
		return api.Part{}, err
	}
	return api.FunctionsPart(api.Functions{
		Store: home.Store, Dir: fnhost.Dir(home), Ledger: known.Ledger, Forward: fnhost.NewClient(home).Forward,
	}), nil
}

func newFnServe(p *program) *cobra.Command {
	var o fnServeOptions
	cmd := verb{
		use: "serve [flags]", does: "Answers invocations on this machine; the first invocation starts one by itself.",
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.fnServe(cmd.Context(), o)
	})
	cmd.Flags().BoolVar(&o.background, "background", false, "say when it answers, and end when it has been idle")
	cmd.Flags().DurationVar(&o.idle, "idle", 10*time.Minute,
		"`TIME` without an event after which a host in the background ends; 10m by default")
	groupAll(cmd.Flags(), "How long")
	return cmd
}

type fnServeOptions struct {
	background bool
	idle       time.Duration
}

func (p *program) fnServe(ctx context.Context, o fnServeOptions) error {
	host := fnhost.Options{Log: slog.New(slog.NewTextHandler(p.err, nil))}
	if o.background {
		host.Idle, host.Ready = o.idle, fnhost.Ready(p.out)
	}
	site, err := p.functionSite(ctx)
	if err != nil {
		return err
	}
	if !fleet.Inside() {
		host.Submit = p.submitFunction
	}
	if err := fnhost.Serve(ctx, site, host); err != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return toldError{errs.E("fn.serve", errs.Canceled, nil, cause)} // who has ended it knows
	}
	return nil
}

func newFnWork(p *program) *cobra.Command {
	does := "Takes the events of a function on a machine of a fleet, whose host of functions starts it."
	cmd := verb{use: "work", does: does, hidden: true}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.fnWork(cmd.Context())
	})
	return cmd
}

func (p *program) fnWork(ctx context.Context) error {
	if !fleet.Inside() {
		return say.Errorf(errs.Invalid, "a worker is part of a fleet, which starts it")
	}
	around, err := fleet.FromEnv()
	if err != nil {
		return err
	}
	st, err := fleetStore(ctx, around.Cluster.Store)
	if err != nil {
		return err
	}
	dir, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	return fnhost.Work(ctx, around, st, filepath.Join(dir, "functions"), nil)
}

// functionSite is where this process hosts functions: the home folder, or the machine of the fleet that has started it.
func (p *program) functionSite(ctx context.Context) (fnhost.Site, error) {
	if !fleet.Inside() {
		home, err := embedded.OpenHome()
		if err != nil {
			return fnhost.Site{}, err
		}
		return fnhost.AtHome(home), nil
	}
	m, err := fleet.Join(ctx, fleetStore)
	if err != nil {
		return fnhost.Site{}, err
	}
	around, err := fleet.FromEnv()
	if err != nil {
		return fnhost.Site{}, err
	}
	dir, err := embedded.HomeDir()
	return fnhost.InFleet(m, around, filepath.Join(dir, "functions")), err
}
