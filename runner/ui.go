package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/ui"
	"github.com/seed3322913c/runner/scheduler"
)

type uiOptions struct {
	http string
	json bool
}

// AddFlags adds the flags of `runner ui`.
func (o *uiOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "Where", func(f *pflag.FlagSet) {
		f.StringVar(&o.http, "http", "127.0.0.1:8088", "`ADDRESS` of this machine to serve on; 127.0.0.1:8088 by default")
	})
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "one line of JSON with the page's URL")
	})
}

func newUI(p *program) *cobra.Command {
	var o uiOptions
	cmd := verb{
		use:  "ui [flags]",
		does: "Shows this machine's jobs in a browser, as they run and as they went, and fires its schedules.",
		more: "The page is for this machine alone, and works without internet. Programs find the same as JSON under /v1\n" +
			"(as in curl 127.0.0.1:8088/v1/jobs), described by /v1/openapi.json. Interrupting it ends no job.",
		examples: []string{"runner ui", "runner ui --http 127.0.0.1:9000", "runner ui --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.ui(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// ui serves until it is interrupted.
func (p *program) ui(ctx context.Context, o uiOptions) error {
	if host, _, err := net.SplitHostPort(o.http); err != nil {
		return say.Errorf(errs.Invalid, "--http %s is not HOST:PORT", o.http)
	} else if !ui.Loopback(host) {
		return say.Errorf(errs.Unsupported, "--http %s can be reached from other machines, and the page knows nobody: "+
			"serve it on 127.0.0.1, and reach it through ssh -L", o.http)
	}
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.http)
	if err != nil {
		return say.Errorf(errs.Unavailable, "%s cannot be served: %s. --http chooses another address", o.http, errs.Cause(err))
	}
	functions, err := functionsPart(home)
	if err != nil {
		return err
	}
	v1, err := api.New(api.Options{}, api.JobsPart(homeJobs{home}, newResolver("")), api.SchedulesPart(bookOf(home), compileSchedule), functions)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: ui.New(v1, ui.Options{}), ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	fired := make(chan struct{})
	go func() {
		defer close(fired)
		_ = fireSchedules(ctx, home, p.complain) // until ctx ends
	}()
	defer func() { <-fired }()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // nothing that is served is worth waiting for
	url := fmt.Sprintf("http://%s/", listener.Addr())
	if o.json {
		if err := writeJSON(p.out, struct {
			URL string `json:"url"`
		}{url}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.err, "Your jobs: %s   (Ctrl-C ends the page, not the jobs)\n", url)
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return toldError{errs.E("ui", errs.Canceled, o.http, ctx.Err())} // who has ended it knows
}

// homeJobs shows the jobs of a home to the API.
type homeJobs struct{ *embedded.Home }

func (h homeJobs) All(ctx context.Context) ([]scheduler.Job, error) { return h.Jobs().All(ctx) }

func (h homeJobs) Find(ctx context.Context, prefix string) (scheduler.Job, error) {
	return h.Jobs().Find(ctx, prefix)
}

func (h homeJobs) Logs(id scheduler.JobID) fs.FS { return os.DirFS(h.Home.Logs(id)) }
