package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/fnhost"
	"github.com/seed3322913c/runner/runner/say"
)

// This file is where functions are kept and answered: at home, or on a fleet.

// functionPlace is where functions are kept and invoked.
type functionPlace struct {
	place
	register
	told
	*fnhost.Client        // asks the host
	dir            string // for packages, on this machine
	logs           string // of the host, if it is on this machine
}

// register is where versions of functions are written down, and what aliases mean.
type register interface {
	Function(ctx context.Context, name string) (pack.Function, error)
	Push(ctx context.Context, folder, alias string) (v pack.Version, pushed bool, err error)
	SetAlias(ctx context.Context, name, alias string, n int) (pack.Version, error)
	Rollback(ctx context.Context, name, alias string) (pack.Version, error)
	RemoveFunction(ctx context.Context, name string) error
}

// told is what is known of functions and of what they have answered.
type told interface {
	Functions(ctx context.Context) ([]client.Function, error)
	Invocation(ctx context.Context, id invoke.ID) (client.Invocation, error)
	DeadLetters(ctx context.Context, function string) ([]client.Invocation, error)
}

// openFunctions opens the place that was asked for. The returned function gives it back.
func (p *program) openFunctions(ctx context.Context) (functionPlace, func(), error) {
	at, end, err := p.open(ctx)
	if err != nil {
		return functionPlace{}, nil, err
	}
	fp := functionPlace{place: at}
	if home, ok := at.(*embedded.Home); ok {
		own := ownFunctions{pack.Registry{Store: home.Store}}
		fp.register, fp.told, fp.Client = own, own, fnhost.NewClient(home)
		fp.dir, fp.logs = fnhost.Dir(home), fnhost.Dir(home)
	} else if err = fp.openFleet(at.(*fleet.Fleet)); err != nil {
		end()
		return functionPlace{}, nil, err
	}
	return fp, func() { fp.Client.Close(); end() }, nil
}

// openFleet asks a fleet's control about everything.
func (at *functionPlace) openFleet(f *fleet.Fleet) error {
	control, err := f.Control()
	if err != nil {
		return err
	}
	home, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	shared := sharedFunctions{control, f.Jobs().Store}
	at.register, at.told, at.dir = shared, shared, filepath.Join(home, "functions")
	at.Client, err = fnhost.FleetClient(f)
	return err
}

// resolve returns what a reference means: NAME, NAME@ALIAS or NAME@VERSION.
func (at functionPlace) resolve(ctx context.Context, ref string) (pack.Version, error) {
	name, word, said := strings.Cut(ref, "@")
	if said && word == "" {
		return pack.Version{}, say.Errorf(errs.Invalid, "%q says no version; want NAME, NAME@ALIAS or NAME@3", ref)
	}
	f, err := at.Function(ctx, name)
	if err != nil {
		return pack.Version{}, err
	}
	return f.Version(word)
}

// result waits for the answer of an invocation. For one that is over no host is started.
func (at functionPlace) result(ctx context.Context, id invoke.ID) (fnhost.Answer, error) {
	own, ok := at.register.(ownFunctions)
	if !ok {
		return at.Result(ctx, id)
	}
	ledger, err := own.ledger(ctx)
	if err != nil {
		return fnhost.Answer{}, err
	}
	inv, ok := ledger.Get(id)
	if !ok {
		return fnhost.Answer{}, noInvocation(id)
	}
	a := fnhost.Answer{ID: id}
	switch inv.State {
	case invoke.Succeeded:
		a.Result, err = invoke.Load(ctx, own.Store, inv.Result)
	case invoke.Dead:
		err = api.DeadLetter(inv)
	default:
		return at.Result(ctx, id)
	}
	return a, err
}

// ownFunctions are those of a home folder.
type ownFunctions struct{ pack.Registry }

func (o ownFunctions) Function(ctx context.Context, name string) (pack.Function, error) {
	return o.Get(ctx, name)
}

func (o ownFunctions) Push(ctx context.Context, folder, alias string) (pack.Version, bool, error) {
	return o.Registry.Push(ctx, folder, alias, os.Getenv("USER"))
}

func (o ownFunctions) SetAlias(ctx context.Context, name, alias string, n int) (pack.Version, error) {
	if err := o.Point(ctx, name, alias, n); err != nil {
		return pack.Version{}, err
	}
	return o.Version(ctx, name, n)
}

func (o ownFunctions) Rollback(ctx context.Context, name, alias string) (pack.Version, error) {
	return o.Registry.Rollback(ctx, name, alias, 0)
}

func (o ownFunctions) RemoveFunction(ctx context.Context, name string) error {
	return o.Remove(ctx, name)
}

func (o ownFunctions) ledger(ctx context.Context) (*invoke.Ledger, error) {
	f, err := invoke.Follow(o.Store)
	if err != nil {
		return nil, err
	}
	return f.Ledger(ctx)
}

func (o ownFunctions) Functions(ctx context.Context) ([]client.Function, error) {
	names, err := o.Names(ctx)
	if err != nil {
		return nil, err
	}
	ledger, err := o.ledger(ctx)
	if err != nil {
		return nil, err
	}
	all := []client.Function{}
	for _, name := range names {
		f, err := o.Get(ctx, name)
		if errs.KindOf(err) == errs.NotFound {
			continue // it was removed just now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, client.BriefOf(f, ledger.Stats(name)))
	}
	return all, nil
}

func (o ownFunctions) Invocation(ctx context.Context, id invoke.ID) (client.Invocation, error) {
	ledger, err := o.ledger(ctx)
	if err != nil {
		return client.Invocation{}, err
	}
	inv, ok := ledger.Get(id)
	if !ok {
		return client.Invocation{}, noInvocation(id)
	}
	return client.InvocationOf(inv), nil
}

func noInvocation(id invoke.ID) error {
	return say.Errorf(errs.NotFound, "there is no invocation %q; what is over is kept for a day", id)
}

func (o ownFunctions) DeadLetters(ctx context.Context, function string) ([]client.Invocation, error) {
	ledger, err := o.ledger(ctx)
	if err != nil {
		return nil, err
	}
	all := []client.Invocation{}
	for _, inv := range ledger.List(function, invoke.Dead) {
		all = append(all, client.InvocationOf(inv))
	}
	return all, nil
}

// sharedFunctions are those of a fleet, as its control has them. Packages alone go to its store.
type sharedFunctions struct {
	*client.Client
	store store.Store
}

func (s sharedFunctions) Push(ctx context.Context, folder, alias string) (pack.Version, bool, error) {
	var done client.FunctionPushed
	err := pack.Ship(ctx, s.store, folder, func(m pack.Manifest, sum string) error {
		text, err := os.ReadFile(filepath.Join(folder, pack.ManifestFile))
		if err != nil {
			return errs.E("fn.push", errs.Other, folder, err)
		}
		push := client.FunctionPush{
			Package: sum, Manifest: string(text), Alias: alias, By: os.Getenv("USER"), Env: map[string]string{},
		}
		for _, name := range m.SecretVariables() {
			value, ok := os.LookupEnv(name)
			if !ok || value == "" {
				return say.Errorf(errs.Invalid, "%s needs the secret %s, which is not in your environment", m.Name, name)
			}
			push.Env[name] = value
		}
		done, err = s.PushFunction(ctx, m.Name, push)
		return err
	})
	return done.Version, done.Pushed, err
}

func (s sharedFunctions) Rollback(ctx context.Context, name, alias string) (pack.Version, error) {
	f, err := s.Function(ctx, name)
	if err != nil {
		return pack.Version{}, err
	}
	return s.Client.Rollback(ctx, name, alias, f.Aliases[alias].Version)
}

func (s sharedFunctions) DeadLetters(ctx context.Context, function string) ([]client.Invocation, error) {
	names := []string{function}
	if function == "" {
		all, err := s.Functions(ctx)
		if err != nil {
			return nil, err
		}
		names = names[:0]
		for _, f := range all {
			names = append(names, f.Name)
		}
	}
	letters := []client.Invocation{}
	for _, name := range names {
		some, err := s.Client.DeadLetters(ctx, name)
		if function == "" && errs.KindOf(err) == errs.NotFound {
			continue // it was removed just now
		}
		if err != nil {
			return nil, err
		}
		letters = append(letters, some...)
	}
	return letters, nil
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
	// Not where workers have their files: those are another user's, who could not use what the host has made there.
	return fnhost.InFleet(m, around, filepath.Join(dir, "functions-host")), err
}
