package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/ui"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

type uiOptions struct {
	http string
	json bool
}

// AddFlags adds the flags of `runner ui`.
func (o *uiOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "The page", func(f *pflag.FlagSet) {
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
		does: "Shows jobs in a browser, as they run and as they went.",
		more: "Of this machine it also fires the schedules; with --cluster it shows a fleet's queues and machines, too.\n" +
			"The page is for this machine alone, and works without internet. Programs find the same as JSON under /v1\n" +
			"(as in curl 127.0.0.1:8088/v1/jobs), described by /v1/openapi.json. Interrupting it ends no job.",
		examples: []string{"runner ui", "runner ui --http 127.0.0.1:9000", "runner ui --cluster demo"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.ui(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	p.addCluster(cmd.Flags())
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
	at, end, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	listener, err := net.Listen("tcp", o.http)
	if err != nil {
		return say.Errorf(errs.Unavailable, "%s cannot be served: %s. --http chooses another address", o.http,
			errs.Cause(err))
	}
	page, err := p.pageOf(ctx, at)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: page, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	if home, ok := at.(*embedded.Home); ok { // a fleet's control fires its own
		firing, cease := context.WithCancel(ctx)
		fired := make(chan struct{})
		go func() {
			defer close(fired)
			_ = fireSchedules(firing, home, p.complain) // until firing ends
		}()
		defer func() { cease(); <-fired }()
	}
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

// pageOf is the page of a place and the API below it.
func (p *program) pageOf(ctx context.Context, at place) (http.Handler, error) {
	if f, ok := at.(*fleet.Fleet); ok {
		v1, err := p.fleetAPI(ctx, f)
		return ui.New(v1, ui.Options{Fleet: true}), err
	}
	home := at.(*embedded.Home)
	functions, err := functionsPart(home)
	if err != nil {
		return nil, err
	}
	v1, err := api.New(api.Options{}, api.JobsPart(homeJobs{home}, newResolver("")),
		api.SchedulesPart(bookOf(home), api.Compiler{Spec: compileSchedule}),
		api.FilesPart(browsable("")), functions)
	return ui.New(v1, ui.Options{}), err
}

// fleetAPI answers what this machine knows better itself, and hands on the rest.
func (p *program) fleetAPI(ctx context.Context, f *fleet.Fleet) (http.Handler, error) {
	rest, err := controlAPI(f)
	if err != nil {
		return nil, err
	}
	parts, err := p.ownFleetParts(ctx, f)
	if err != nil {
		return nil, err
	}
	parts = append(parts, api.FilesPart(browsable(f.StoreURI())))
	here, err := api.New(api.Options{}, parts...)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", rest)
	for _, part := range parts {
		for _, route := range part.Routes {
			mux.Handle(route.Pattern, here)
		}
	}
	return mux, nil
}

// controlAPI answers as the control that leads a fleet, to whoever reaches this machine's page: it shows the token of
// the cluster's file itself.
func controlAPI(f *fleet.Fleet) (http.Handler, error) {
	where, token, by, err := f.API()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leader, err := where(r.Context())
		var to *url.URL
		if err == nil {
			to, err = url.Parse(leader)
		}
		if err != nil {
			api.WriteProblem(w, err)
			return
		}
		proxy := httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(to)
				p.Out.Header.Set("Authorization", "Bearer "+token)
			},
			Transport: by, FlushInterval: -1, // events are told at once
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				api.WriteProblem(w, say.Errorf(errs.Unavailable, "the control at %s does not answer: %s", leader, errs.Cause(err)))
			},
		}
		proxy.ServeHTTP(w, r)
	}), nil
}

// homeJobs shows the jobs of a home to the API.
type homeJobs struct{ *embedded.Home }

func (h homeJobs) All(ctx context.Context) ([]scheduler.Job, error) { return h.Jobs().All(ctx) }

func (h homeJobs) Find(ctx context.Context, prefix string) (scheduler.Job, error) {
	return h.Jobs().Find(ctx, prefix)
}

func (h homeJobs) Logs(id scheduler.JobID) fs.FS { return os.DirFS(h.Home.Logs(id)) }

// Used implements api.Meter.
func (homeJobs) Used(_ context.Context, r am.Report) client.Usage { return used(r, time.Now()) }
